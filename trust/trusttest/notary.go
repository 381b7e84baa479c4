// Package trusttest signs repositories of trust data, and attacks them. It is for tests and demo data only: its keys are
// made on the spot and kept nowhere.
package trusttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
)

// A Notary is a Notary v1 repository and the server that publishes it. Change its roles, then Publish. It implements
// trust.Source, and counts what it was asked.
type Notary struct {
	GUN                                string
	Root, Timestamp, Snapshot, Targets *Role
	// Delegations are the delegated roles in pre-order; a role's parent is named by its own name.
	Delegations []*Role

	mu    sync.Mutex
	files map[string][]byte
	asked []string
	fault error
}

// A Role is one signed file.
type Role struct {
	Name      string
	Keys      []*Key
	Threshold int
	Version   int64
	Expires   time.Time
	// Entries are the signed names.
	Entries map[string]Entry
	// Paths are granted to a delegation; nil leaves the member out.
	Paths []string
	// Signers sign instead of Keys when they are not nil.
	Signers []*Key
	// Edit changes the content before it is signed.
	Edit func(signed map[string]any)
	// Tamper changes the file after it was signed.
	Tamper func(raw []byte) []byte
	// Hidden leaves the role out of the snapshot.
	Hidden bool
}

// An Entry is the content that a name means.
type Entry struct {
	Digest digest.Digest
	Length int64
}

// NewNotary returns an unpublished repository, as "docker trust signer add" makes one: all keys are of ECDSA P-256, the
// root key has a certificate for the GUN, nothing is signed.
func NewNotary(gun string, now time.Time) *Notary {
	year := now.AddDate(1, 0, 0)
	role := func(name string) *Role {
		return &Role{Name: name, Keys: []*Key{NewKey(ECDSA)}, Threshold: 1, Version: 1, Expires: year, Entries: make(map[string]Entry)}
	}
	n := &Notary{GUN: gun, Root: role("root"), Timestamp: role("timestamp"), Snapshot: role("snapshot"), Targets: role("targets"), files: make(map[string][]byte)}
	n.Root.Keys = []*Key{NewCertKey(ECDSA, gun, now)}
	n.Timestamp.Expires = now.AddDate(0, 0, 14)
	return n
}

// Delegate adds a role with a key of its own, which may speak for names with the given prefixes.
func (n *Notary) Delegate(name string, paths ...string) *Role {
	r := &Role{Name: name, Keys: []*Key{NewKey(ECDSA)}, Threshold: 1, Version: 1, Expires: n.Targets.Expires, Entries: make(map[string]Entry), Paths: paths}
	n.Delegations = append(n.Delegations, r)
	return r
}

// Sign adds a tag that means the content of that text, and raises the role's version when it was published before.
func (r *Role) Sign(tag, content string) digest.Digest {
	d := digest.FromString(content)
	r.Entries[tag] = Entry{d, int64(len(content))}
	return d
}

// RotateRoot replaces the root key. The next root is signed by both, and the old one after that by the new alone.
func (n *Notary) RotateRoot(now time.Time) {
	old := n.Root.Keys
	n.Root.Keys = []*Key{NewCertKey(ECDSA, n.GUN, now)}
	n.Root.Version++
	n.Root.Signers = append(slices.Clone(n.Root.Keys), old...)
}

// Publish signs all files as they are now and puts them where clients ask for them. A root of a version that is
// published already stays as it is.
func (n *Notary) Publish() {
	versioned := fmt.Sprintf("%d.root.json", n.Root.Version)
	root, ok := n.Files()[versioned]
	if !ok {
		root = n.sign(n.Root, n.rootContent())
	}
	n.put(versioned, root)
	n.put("root.json", root)
	meta := map[string]any{"root": info(root)}
	for _, r := range append([]*Role{n.Targets}, n.Delegations...) {
		raw := n.sign(r, n.targetsContent(r))
		if !r.Hidden {
			meta[r.Name] = info(raw)
			n.put(hashed(r.Name, raw), raw)
		}
	}
	snapshot := n.sign(n.Snapshot, content("Snapshot", n.Snapshot, map[string]any{"meta": meta}))
	n.put(hashed("snapshot", snapshot), snapshot)
	n.put("timestamp.json", n.sign(n.Timestamp, content("Timestamp", n.Timestamp, map[string]any{"meta": map[string]any{"snapshot": info(snapshot)}})))
}

// Next raises the versions of timestamp, snapshot and the given roles, and publishes.
func (n *Notary) Next(roles ...*Role) {
	for _, r := range append(roles, n.Timestamp, n.Snapshot) {
		r.Version++
	}
	n.Publish()
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

// sign returns the role's file.
func (n *Notary) sign(r *Role, signed map[string]any) []byte {
	if r.Edit != nil {
		r.Edit(signed)
	}
	message, err := cjson.EncodeCanonical(signed)
	if err != nil {
		panic(err) // the content is of this package's own making
	}
	signers := r.Signers
	if signers == nil {
		signers = r.Keys
	}
	var raw bytes.Buffer
	fmt.Fprintf(&raw, `{"signed":%s,"signatures":[`, message)
	for i, k := range signers {
		if i > 0 {
			raw.WriteByte(',')
		}
		raw.WriteString(k.signature(message))
	}
	raw.WriteString("]}")
	if r.Tamper != nil {
		return r.Tamper(raw.Bytes())
	}
	return raw.Bytes()
}

func (n *Notary) put(name string, raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files[name] = raw
}

// Fetch implements trust.Source.
func (n *Notary) Fetch(_ context.Context, file string, limit int64) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, file)
	if n.fault != nil {
		return nil, n.fault
	}
	raw, ok := n.files[file]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if int64(len(raw)) > limit {
		return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: file + " is too large"}
	}
	return bytes.Clone(raw), nil
}

// Asked returns the files that were asked for since it was last called.
func (n *Notary) Asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked
	n.asked = nil
	return asked
}

// Fail makes every Fetch fail with err, until it is nil again.
func (n *Notary) Fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = err
}

// Files returns what is published now; Serve publishes it again, whatever has happened since.
func (n *Notary) Files() map[string][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.files)
}

// Serve makes the server publish exactly these files.
func (n *Notary) Serve(files map[string][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files = maps.Clone(files)
}

// Remove takes a file away.
func (n *Notary) Remove(file string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.files, file)
}
