package trusttest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"time"
)

// A Notary is a Notary v1 repository.
type Notary struct {
	Repository
	GUN string
}

// NewNotary returns an unpublished repository, as "docker trust signer add" makes one: all keys are of ECDSA P-256, the
// root key has a certificate for the GUN, nothing is signed.
func NewNotary(gun string, now time.Time) *Notary {
	n := &Notary{GUN: gun}
	n.begin(n, ECDSA, now)
	n.Root.Keys = []*Key{n.rootKey()}
	return n
}

// Delegate adds a role with a key of its own, which may speak for names with the given prefixes. Its parent is named by
// its own name.
func (n *Notary) Delegate(name string, paths ...string) *Role {
	r := newRole(name, ECDSA, n.Now)
	r.Paths = paths
	n.Delegations = append(n.Delegations, r)
	return r
}

func (n *Notary) under(parent *Role, name string, paths ...string) *Role {
	return n.Delegate(parent.Name+"/"+name, paths...)
}

func (n *Notary) rootKey() *Key { return NewCertKey(ECDSA, n.GUN, n.Now) }

func (n *Notary) aliases(k *Key) []*Key {
	return []*Key{k.Certify(Template("a", n.Now), nil, nil), k.Certify(Template("b", n.Now), nil, nil)}
}

// Publish signs all files as they are now and puts them where clients ask for them. A root of a version that is
// published already stays as it is.
func (n *Notary) Publish() {
	root := n.root(n.rootContent(), (*Key).signature)
	n.put("root.json", root)
	meta := map[string]any{"root": info(root)}
	for _, r := range append([]*Role{n.Targets}, n.Delegations...) {
		raw := r.sign(n.targetsContent(r), (*Key).signature)
		if !r.Hidden {
			meta[r.Name] = info(raw)
			n.publish(r, hashed(r.Name, raw), raw)
		}
	}
	snapshot := n.Snapshot.sign(content("Snapshot", n.Snapshot, map[string]any{"meta": meta}), (*Key).signature)
	n.publish(n.Snapshot, hashed("snapshot", snapshot), snapshot)
	timestamp := content("Timestamp", n.Timestamp, map[string]any{"meta": map[string]any{"snapshot": info(snapshot)}})
	n.publish(n.Timestamp, "timestamp.json", n.Timestamp.sign(timestamp, (*Key).signature))
}

func (n *Notary) rootContent() map[string]any {
	keys, roles := make(map[string]any), make(map[string]any)
	for _, r := range []*Role{n.Root, n.Timestamp, n.Snapshot, n.Targets} {
		roles[r.Name] = authority(r, keys)
	}
	return content("Root", n.Root, map[string]any{"keys": keys, "roles": roles, "consistent_snapshot": false})
}

func (n *Notary) targetsContent(r *Role) map[string]any {
	entries := make(map[string]any)
	for name, e := range r.Entries {
		sum, _ := hex.DecodeString(e.Digest.Encoded()) // a digest is hexadecimal
		entries[name] = map[string]any{"length": e.Length, "hashes": map[string]any{"sha256": sum}}
	}
	keys, roles := make(map[string]any), []any{}
	for _, c := range n.Delegations {
		if parent(c.Name) != r.Name {
			continue
		}
		a := authority(c, keys)
		a["name"] = c.Name
		if c.Paths != nil {
			a["paths"] = c.Paths
		}
		roles = append(roles, a)
	}
	return content("Targets", r, map[string]any{"targets": entries, "delegations": map[string]any{"keys": keys, "roles": roles}})
}

func parent(role string) string {
	i := bytes.LastIndexByte([]byte(role), '/')
	return role[:max(i, 0)]
}

func authority(r *Role, keys map[string]any) map[string]any {
	ids := []string{}
	for _, k := range r.Keys {
		keys[k.ID()] = k.object()
		ids = append(ids, k.ID())
	}
	return map[string]any{"keyids": ids, "threshold": r.Threshold}
}

func content(typ string, r *Role, m map[string]any) map[string]any {
	m["_type"], m["version"], m["expires"] = typ, r.Version, r.Expires.Format(time.RFC3339Nano)
	return m
}

func info(raw []byte) map[string]any {
	a, b := sha256.Sum256(raw), sha512.Sum512(raw)
	return map[string]any{"length": len(raw), "hashes": map[string]any{"sha256": a[:], "sha512": b[:]}}
}

func hashed(role string, raw []byte) string {
	sum := sha256.Sum256(raw)
	return role + "." + hex.EncodeToString(sum[:]) + ".json"
}
