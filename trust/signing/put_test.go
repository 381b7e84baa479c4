package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestPut: what a publisher takes, and everything that it does not.
func TestPut(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	s.signer("bob", "ghcr.io/team/*")
	p := s.publisher(t)
	n := entry("ghcr.io/team/app", "v1", "one")
	enter := func(m *metadata.TargetsType) {
		f, err := n.file(s.now)
		must(t, err)
		m.Targets[n.Name.String()] = f
	}
	good := s.resign("alice", enter)
	edited := func(edit func(*metadata.TargetFiles)) []byte {
		return s.resign("alice", func(m *metadata.TargetsType) { enter(m); edit(m.Targets[n.Name.String()]) })
	}
	twice := bytes.Replace(good, []byte(`"signed":`), []byte(`"signatures":[],"signed":`), 1)
	for _, c := range []struct {
		name, file string
		data       []byte
		reason     trust.Reason
		text       string
	}{
		{"another's keys", "2.alice.json", s.resign("bob", enter), trust.ThresholdNotMet, "not signed by enough"},
		{"not delegated to", "1.carol.json", good, trust.ThresholdNotMet, "no role delegates to it"},
		{"stripped", "2.alice.json", strip(t, good), trust.ThresholdNotMet, "not signed by enough"},
		{"another version inside", "2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { m.Version = 7 }), trust.MetadataInvalid, "something else"},
		{"expired", "2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { m.Expires = s.now.Add(-time.Second) }), trust.MetadataExpired, "has expired"},
		{"no sha256", "2.alice.json", edited(func(f *metadata.TargetFiles) { f.Hashes = metadata.Hashes{"sha512": make([]byte, 64)} }), trust.MetadataInvalid, "has no sha256"},
		{"short sha256", "2.alice.json", edited(func(f *metadata.TargetFiles) { f.Hashes["sha256"] = f.Hashes["sha256"][:31] }), trust.MetadataInvalid, "has no sha256"},
		{"odd sha512", "2.alice.json", edited(func(f *metadata.TargetFiles) { f.Hashes["sha512"] = f.Hashes["sha256"] }), trust.MetadataInvalid, "sha512 is not one"},
		{"no length", "2.alice.json", edited(func(f *metadata.TargetFiles) { f.Length = 0 }), trust.MetadataInvalid, "length of 0 bytes"},
		{"too long", "2.alice.json", edited(func(f *metadata.TargetFiles) { f.Length = maxManifest + 1 }), trust.MetadataInvalid, "length of 4194305 bytes"},
		{"odd media type", "2.alice.json", edited(func(f *metadata.TargetFiles) { c := json.RawMessage(`{"mediaType":7}`); f.Custom = &c }), trust.MetadataInvalid, "custom"},
		{"null entry", "2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { m.Targets["x"] = nil }), trust.MetadataInvalid, "null"},
		{"unsigned null entry", "2.alice.json", []byte(`{"signatures":[],"signed":{"_type":"targets","version":2,"targets":{"x":null}}}`), trust.ThresholdNotMet, "not signed by enough"},
		{"duplicate member", "2.alice.json", twice, trust.MetadataInvalid, "duplicate"},
		{"trailing data", "2.alice.json", append(bytes.Clone(good), " {}"...), trust.MetadataInvalid, ""},
		{"truncated", "2.alice.json", good[:len(good)/2], trust.MetadataInvalid, ""},
		{"no JSON", "2.alice.json", []byte("hello"), trust.MetadataInvalid, ""},
		{"too large", "2.alice.json", make([]byte, maxPut+1), trust.MetadataInvalid, "larger than 4194304 bytes, which hold about 18000 tags"},
		{"root too large", "2.root.json", make([]byte, maxRoot+1), trust.MetadataInvalid, "larger than 524288 bytes"},
		{"timestamp", "timestamp.json", good, trust.MetadataInvalid, "not the name of a role's file"},
		{"snapshot", "4.snapshot.json", good, trust.MetadataInvalid, "not the name of a role's file"},
		{"versioned timestamp", "2.timestamp.json", good, trust.MetadataInvalid, "not the name of a role's file"},
		{"folder", "../2.alice.json", good, trust.MetadataInvalid, "not the name of a role's file"},
		{"a root that is a targets file", "2.root.json", good, trust.MetadataInvalid, ""},
	} {
		before := s.files()
		err := p.Put(context.Background(), c.file, c.data)
		var r *trust.Refusal
		if !errors.As(err, &r) || r.Reason != c.reason || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %s, %q", c.name, err, c.reason, c.text)
		}
		if after := s.files(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: published %v", c.name, after)
		}
	}
	for _, file := range []string{"1.alice.json", "3.alice.json"} {
		if err := p.Put(context.Background(), file, good); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", file, err)
		}
	}
	for range 2 { // an answer may be lost
		must(t, p.Put(context.Background(), "2.alice.json", good))
	}
	s.means(n, "alice")
	newReader(t, s).finds(n)
	if err := p.Put(context.Background(), "2.alice.json", edited(func(*metadata.TargetFiles) {})); !errors.Is(err, ErrConflict) {
		t.Errorf("another version 2: %v", err)
	}
}

// strip takes the signatures away.
func strip(t testing.TB, data []byte) []byte {
	t.Helper()
	m, err := parse[metadata.TargetsType](data)
	must(t, err)
	m.ClearSignatures()
	out, err := m.ToBytes(false)
	must(t, err)
	return out
}

// TestPutRoot: a new root is taken as TUF says, if everything that is published verifies by it and goes on being signed.
func TestPutRoot(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: 2, RootThreshold: 2})
	p := s.publisher(t)
	v := s.read()
	outsider := plainKeychain(t.TempDir())
	fresh, err := outsider.Generate("root", Ed25519)
	must(t, err)
	both := plainKeychain(t.TempDir())
	must(t, os.CopyFS(both.Dir(), os.DirFS(s.keys.Dir())))
	must(t, os.CopyFS(both.Dir(), os.DirFS(outsider.Dir())))
	next := func(k *Keychain, edit func(*metadata.RootType)) []byte {
		m, err := clone(v.root)
		must(t, err)
		m.Signed.Version++
		edit(&m.Signed)
		message, err := cjson.EncodeCanonical(m.Signed)
		must(t, err)
		for _, a := range append((&View{root: m}).authorities("root"), v.authorities("root")...) {
			for _, id := range a.local(k) {
				must(t, countersign(m, k, "root", id, id, message))
			}
		}
		data, err := m.ToBytes(false)
		must(t, err)
		return data
	}
	replace := func(role string) func(*metadata.RootType) {
		return func(m *metadata.RootType) {
			m.Keys[fresh.ID] = fresh.key
			m.Roles[role] = &metadata.Role{KeyIDs: []string{fresh.ID}, Threshold: 1}
		}
	}
	for _, c := range []struct {
		name   string
		data   []byte
		reason trust.Reason
		text   string
	}{
		{"not signed by the new keys", next(s.keys, replace("root")), trust.RootMismatch, "its own keys"},
		{"not signed by the old keys", next(outsider, replace("root")), trust.RootMismatch, "the root before it"},
		{"skips a version", next(both, func(m *metadata.RootType) { m.Version++ }), trust.MetadataInvalid, "something else"},
		{"expired", next(both, func(m *metadata.RootType) { m.Expires = s.now.Add(-time.Second) }), trust.MetadataExpired, "has expired"},
		{"inconsistent", next(both, func(m *metadata.RootType) { m.ConsistentSnapshot = false }), trust.MetadataInvalid, "consistent"},
		{"without a role", next(both, func(m *metadata.RootType) { delete(m.Roles, "targets") }), trust.MetadataInvalid, "who signs targets"},
		{"a timestamp key that is not here", next(both, replace("timestamp")), trust.MetadataInvalid, "keys that the publisher does not have"},
		{"targets that do not verify", next(both, replace("targets")), trust.ThresholdNotMet, "targets"},
	} {
		err := p.Put(context.Background(), "2.root.json", c.data)
		var r *trust.Refusal
		if !errors.As(err, &r) || r.Reason != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %s, %q", c.name, err, c.reason, c.text)
		}
	}
	if got := s.files(); len(got) != 4 {
		t.Errorf("published %v", got)
	}
	must(t, p.Put(context.Background(), "2.root.json", next(both, replace("root"))))
	if got := keysOf(s.read(), "root"); len(got) != 1 || got[0] != fresh.ID {
		t.Errorf("root keys %v", got)
	}
	if err := p.Put(context.Background(), "1.root.json", s.root()); !errors.Is(err, ErrConflict) {
		t.Errorf("the root before: %v", err)
	}
}
