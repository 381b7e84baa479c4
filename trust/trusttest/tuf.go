package trusttest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"
)

// A TUF is a TUF 1.0 repository. It is written by hand, so that it can be wrong in every way.
type TUF struct {
	Repository
	// Consistent publishes files under their versions.
	Consistent bool
	// Bare leaves lengths and hashes out of timestamp and snapshot, which the format allows.
	Bare bool
}

// A Grant is one delegation: what a role lets another speak for. Where it says nothing of its own, it says what the
// other role has: its keys, its threshold, its paths.
type Grant struct {
	To          *Role
	Keys        []*Key
	Threshold   int
	Paths       []string
	Terminating bool
}

// NewTUF returns an unpublished repository with consistent snapshots and ed25519 keys, in which nothing is signed. Its
// target paths are what the tests make of them: "r.example/team/app:v1".
func NewTUF(now time.Time) *TUF {
	t := &TUF{Consistent: true}
	t.begin(t, Ed25519, now)
	return t
}

// Delegate adds a role with an ed25519 key of its own, which from lets speak for names that match the paths. Its grant
// is the last of from's.
func (t *TUF) Delegate(from *Role, name string, paths ...string) *Role {
	r := newRole(name, Ed25519, t.Now)
	r.Paths = paths
	t.Delegations = append(t.Delegations, r)
	from.Grant(r)
	return r
}

// Grant adds a delegation to a role that exists, as its keys, threshold and paths are.
func (r *Role) Grant(to *Role) *Grant {
	g := &Grant{To: to}
	r.Grants = append(r.Grants, g)
	return g
}

func (t *TUF) under(parent *Role, name string, paths ...string) *Role {
	return t.Delegate(parent, name, paths...)
}

func (t *TUF) rootKey() *Key { return NewKey(Ed25519) }

// aliases returns one key under the two names that its type has.
func (t *TUF) aliases(*Key) []*Key {
	a := NewKey(ECDSA)
	b := *a
	b.Type = "ecdsa-sha2-nistp256"
	return []*Key{a, &b}
}

// Publish signs all files as they are now and puts them where clients ask for them. A root of a version that is
// published already stays as it is.
func (t *TUF) Publish() {
	t.root(t.rootContent(), (*Key).tufSignature)
	meta := make(map[string]any)
	for _, r := range append([]*Role{t.Targets}, t.Delegations...) {
		raw := r.sign(t.targetsContent(r), (*Key).tufSignature)
		if !r.Hidden {
			meta[r.Name+".json"] = t.info(r, raw)
			t.publish(r, t.file(r), raw)
		}
	}
	snapshot := t.Snapshot.sign(tufContent("snapshot", t.Snapshot, map[string]any{"meta": meta}), (*Key).tufSignature)
	t.publish(t.Snapshot, t.file(t.Snapshot), snapshot)
	timestamp := tufContent("timestamp", t.Timestamp, map[string]any{"meta": map[string]any{"snapshot.json": t.info(t.Snapshot, snapshot)}})
	t.publish(t.Timestamp, "timestamp.json", t.Timestamp.sign(timestamp, (*Key).tufSignature))
}

// file returns the name under which a role is published.
func (t *TUF) file(r *Role) string {
	name := url.PathEscape(r.Name) + ".json"
	if t.Consistent {
		name = fmt.Sprintf("%d.%s", r.Version, name)
	}
	return name
}

// info returns what timestamp or snapshot say about a file.
func (t *TUF) info(r *Role, raw []byte) map[string]any {
	m := map[string]any{"version": r.Version}
	if !t.Bare {
		sum := sha256.Sum256(raw)
		m["length"], m["hashes"] = len(raw), map[string]any{"sha256": hex.EncodeToString(sum[:])}
	}
	return m
}

func (t *TUF) rootContent() map[string]any {
	keys, roles := make(map[string]any), make(map[string]any)
	for _, r := range []*Role{t.Root, t.Timestamp, t.Snapshot, t.Targets} {
		roles[r.Name] = tufAuthority(r.Keys, r.Threshold, keys)
	}
	return tufContent("root", t.Root, map[string]any{"keys": keys, "roles": roles, "consistent_snapshot": t.Consistent})
}

func (t *TUF) targetsContent(r *Role) map[string]any {
	entries := make(map[string]any)
	for name, e := range r.Entries {
		m := map[string]any{"length": e.Length, "hashes": map[string]any{"sha256": e.Digest.Encoded()}}
		if e.MediaType != "" {
			m["custom"] = map[string]any{"mediaType": e.MediaType}
		}
		entries[name] = m
	}
	m := map[string]any{"targets": entries}
	if len(r.Grants) > 0 {
		keys, roles := make(map[string]any), []any{}
		for _, g := range r.Grants {
			roles = append(roles, g.content(keys))
		}
		m["delegations"] = map[string]any{"keys": keys, "roles": roles}
	}
	return tufContent("targets", r, m)
}

// content returns the delegation, and adds its keys.
func (g *Grant) content(keys map[string]any) map[string]any {
	own := *g
	if own.Keys == nil {
		own.Keys = g.To.Keys
	}
	if own.Threshold == 0 {
		own.Threshold = g.To.Threshold
	}
	if own.Paths == nil {
		own.Paths = g.To.Paths
	}
	m := tufAuthority(own.Keys, own.Threshold, keys)
	m["name"], m["terminating"] = g.To.Name, g.Terminating
	if own.Paths != nil {
		m["paths"] = own.Paths
	}
	return m
}

func tufAuthority(by []*Key, threshold int, keys map[string]any) map[string]any {
	ids := []string{}
	for _, k := range by {
		keys[k.TUFID()] = k.tufObject()
		ids = append(ids, k.TUFID())
	}
	return map[string]any{"keyids": ids, "threshold": threshold}
}

func tufContent(typ string, r *Role, m map[string]any) map[string]any {
	m["_type"], m["version"], m["spec_version"] = typ, r.Version, "1.0.31"
	m["expires"] = r.Expires.UTC().Format(time.RFC3339)
	return m
}
