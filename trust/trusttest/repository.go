// Package trusttest signs repositories in both formats, and attacks them. It is for tests and demo data only: its keys
// are made on the spot and kept nowhere.
//
// A Notary and a TUF are repositories with the server that publishes them: change their roles, then Publish. What they
// have in common is a Repository, and how it is attacked are its verbs. TestVerifier is the one table of attacks that
// the verifier of either format must stand.
package trusttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// A Repository is what the formats have in common: four top-level roles, delegated ones, and a server.
type Repository struct {
	Server
	Root, Timestamp, Snapshot, Targets *Role
	// Delegations are the delegated roles, each with one file; for Notary in pre-order.
	Delegations []*Role
	// Now is the time at which everybody looks at the repository.
	Now time.Time

	format format
	// names are the files under which the roles were published last.
	names map[string]string
	// revoked are the keys that roles had before they were given others.
	revoked map[*Role][]*Key
}

// A format is what a Repository leaves to its kind.
type format interface {
	// Publish signs all files as they are now and puts them where clients ask for them.
	Publish()
	// rootKey returns a fresh key for the root role.
	rootKey() *Key
	// aliases returns one key under two ids.
	aliases(k *Key) []*Key
	// under adds a role that the parent lets speak for the paths.
	under(parent *Role, name string, paths ...string) *Role
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
	// Grants are what the role delegates, in order, in a TUF repository.
	Grants []*Grant
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
	// MediaType is signed in a TUF repository when it is not empty.
	MediaType string
}

// Sign adds a name that means the content of that text.
func (r *Role) Sign(name, content string) digest.Digest {
	d := digest.FromString(content)
	r.Entries[name] = Entry{Digest: d, Length: int64(len(content))}
	return d
}

// newRole returns a role with one key that ends in a year.
func newRole(name string, t KeyType, now time.Time) *Role {
	return &Role{Name: name, Keys: []*Key{NewKey(t)}, Threshold: 1, Version: 1, Expires: now.AddDate(1, 0, 0), Entries: make(map[string]Entry)}
}

// begin makes the top-level roles. The timestamp ends in two weeks.
func (r *Repository) begin(f format, t KeyType, now time.Time) {
	r.Root, r.Timestamp, r.Snapshot, r.Targets = newRole("root", t, now), newRole("timestamp", t, now), newRole("snapshot", t, now), newRole("targets", t, now)
	r.Timestamp.Expires = now.AddDate(0, 0, 14)
	r.Now, r.format, r.names, r.files, r.limit = now, f, make(map[string]string), make(map[string][]byte), make(map[string]int64)
	r.revoked = make(map[*Role][]*Key)
}

// Publish signs all files as they are now and puts them where clients ask for them. A root of a version that is
// published already stays as it is.
func (r *Repository) Publish() { r.format.Publish() }

// Next raises the versions of timestamp, snapshot and the given roles by one, and publishes.
func (r *Repository) Next(roles ...*Role) {
	raised := make(map[*Role]bool)
	for _, role := range append(roles, r.Timestamp, r.Snapshot) {
		if !raised[role] {
			role.Version++
		}
		raised[role] = true
	}
	r.Publish()
}

// RotateRoot replaces the root key. The next root is signed by both, and the old one after that by the new alone.
func (r *Repository) RotateRoot() {
	old := r.Root.Keys
	r.Root.Keys = []*Key{r.format.rootKey()}
	r.Root.Version++
	r.Root.Signers = append(slices.Clone(r.Root.Keys), old...)
}

// File returns the name under which the role was published last.
func (r *Repository) File(role *Role) string { return r.names[role.Name] }

// publish puts the role's file under a name.
func (r *Repository) publish(role *Role, name string, raw []byte) {
	r.names[role.Name] = name
	r.put(name, raw)
}

// root returns the file of the root's version, which never changes once it is published.
func (r *Repository) root(content map[string]any, signature func(*Key, []byte) string) []byte {
	versioned := fmt.Sprintf("%d.root.json", r.Root.Version)
	raw, ok := r.Files()[versioned]
	if !ok {
		raw = r.Root.sign(content, signature)
	}
	r.publish(r.Root, versioned, raw)
	return raw
}

// sign returns the role's file.
func (r *Role) sign(signed map[string]any, signature func(*Key, []byte) string) []byte {
	if r.Edit != nil {
		r.Edit(signed)
	}
	message, err := cjson.EncodeCanonical(signed)
	must(err)
	signers := r.Signers
	if signers == nil {
		signers = r.Keys
	}
	var raw bytes.Buffer
	raw.WriteString(`{"signed":`)
	wire := json.NewEncoder(&raw) // the canonical form leaves line ends as they are, which JSON does not allow
	wire.SetEscapeHTML(false)
	must(wire.Encode(signed))
	raw.Truncate(raw.Len() - 1)
	raw.WriteString(`,"signatures":[`)
	for i, k := range signers {
		if i > 0 {
			raw.WriteByte(',')
		}
		raw.WriteString(signature(k, message))
	}
	raw.WriteString("]}")
	if r.Tamper != nil {
		return r.Tamper(raw.Bytes())
	}
	return raw.Bytes()
}
