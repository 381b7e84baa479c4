package signing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// TestWithoutSigners: before there is a signer, the repository's own key signs, as docker does it.
func TestWithoutSigners(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	n := entry("docker.io/library/nginx", "1.27", "one")
	s.change(signs("", n))
	s.means(n, "targets")
	r.finds(n)
	got := s.read().targets["targets"].Signed.Targets[n.Name.String()]
	if want := `{"mediaType":"application/vnd.oci.image.index.v1+json","signedAt":"2026-03-01T12:00:00Z"}`; string(*got.Custom) != want || len(got.Hashes) != 1 {
		t.Errorf("custom %s, hashes %v", *got.Custom, got.Hashes)
	}
}

// TestTwoSigners: each with keys of their own, both of them heard.
func TestTwoSigners(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	s.signer("alice", "ghcr.io/team/**")
	s.signer("bob", "ghcr.io/team/app")
	one, two := entry("ghcr.io/team/app", "v1", "one"), entry("ghcr.io/team/sub/tool", "v2", "two")
	res := s.change(signs("", one, two))
	s.means(one, "alice", "bob")
	s.means(two, "alice")
	r.finds(one)
	r.finds(two)
	if want := "[2.alice.json 2.bob.json 4.snapshot.json timestamp.json]"; fmt.Sprint(res.Files) != want {
		t.Errorf("published %v, want %s", res.Files, want)
	}
	if res := s.change(signs("", one, two)); len(res.Files) != 0 {
		t.Errorf("signed the same again: %v", res.Files)
	}
	err := s.refused(signs("alice", entry("docker.io/library/nginx", "1", "x")))
	if !strings.Contains(err.Error(), "alice does not sign for this repository") {
		t.Error(err)
	}
	v := s.read()
	if got := v.Signers("ghcr.io/team/sub/tool"); len(got) != 1 || got[0].Name != "alice" || fmt.Sprint(got[0].Repositories) != "[ghcr.io/team/**]" || got[0].Version != 2 || got[0].Fault != nil {
		t.Errorf("signers %+v", got)
	}
	if got := v.Tags("ghcr.io/team/app"); len(got) != 1 || got[0].Name != one.Name || len(v.Tags("")) != 2 || len(v.Tags("ghcr.io/team")) != 0 {
		t.Errorf("tags %+v", got)
	}
}

// TestFirstWordCounts: what would have no effect is refused, and says whose word stands before it.
func TestFirstWordCounts(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	s.signer("bob", "ghcr.io/team/*")
	old, fresh := entry("ghcr.io/team/app", "v1", "old"), entry("ghcr.io/team/app", "v1", "fresh")
	s.change(signs("alice", old))
	bob := plainKeychain(t.TempDir())
	copyKeys(t, s, bob, "bob")
	_, err := s.open(bob).Change(context.Background(), signs("", fresh))
	if err == nil || !strings.Contains(err.Error(), "alice already names "+old.Target.Digest.String()) {
		t.Errorf("signed behind alice: %v", err)
	}
	res := s.change(signs("bob", fresh)) // for rules that ask for bob
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "alice already names") {
		t.Errorf("notes %q", res.Notes)
	}
	s.means(old, "alice")
	tag, _ := s.read().Tag(old.Name)
	if len(tag.Others) != 1 || tag.Others[0].Signer != "bob" || tag.Others[0].Target != fresh.Target {
		t.Errorf("others %+v", tag.Others)
	}
}

// copyKeys gives somebody the private keys of a role.
func copyKeys(t testing.TB, s *site, to *Keychain, role string) {
	t.Helper()
	must(t, os.MkdirAll(to.dir, 0o700))
	for _, r := range append(s.read().Signers(""), s.read().Administrative()...) {
		for _, id := range r.Keys {
			if data, err := os.ReadFile(s.keys.File(id)); r.Name == role && err == nil {
				must(t, os.WriteFile(to.File(id), data, 0o600))
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	good := entry("ghcr.io/team/app", "v1", "one")
	change := func(f func(*Entry)) Entry { n := good; f(&n); return n }
	for name, c := range map[string]struct {
		entries []Entry
		signer  string
		want    string
	}{
		"not the full name": {[]Entry{change(func(n *Entry) { n.Name.Repository = "docker.io/nginx" })}, "", "not the full name, which is docker.io/library/nginx"},
		"no tag":            {[]Entry{change(func(n *Entry) { n.Name.Tag = "" })}, "", "not a tag"},
		"no digest":         {[]Entry{change(func(n *Entry) { n.Target.Digest = "" })}, "", "invalid"},
		"sha512": {[]Entry{change(func(n *Entry) {
			n.Target.Digest = "sha512:" + "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
		})}, "", "is not a sha256"},
		"no size":        {[]Entry{change(func(n *Entry) { n.Target.Size = 0 })}, "", "size of 0 bytes"},
		"too large":      {[]Entry{change(func(n *Entry) { n.Target.Size = maxManifest + 1 })}, "", "size of 4194305 bytes"},
		"two meanings":   {[]Entry{good, change(func(n *Entry) { n.Target.Digest = entry("a.b/c", "d", "e").Target.Digest })}, "", "cannot mean both"},
		"no such signer": {[]Entry{good}, "mallory", "mallory does not sign"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if err := s.refused(signs(c.signer, c.entries...)); !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
	_, err := s.open(plainKeychain(t.TempDir())).Change(context.Background(), signs("", good))
	if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "signed by alice") {
		t.Errorf("without a key: %v", err)
	}
}

// TestFailedVerbStands: a change cannot look away from a verb that failed half-way.
func TestFailedVerbStands(t *testing.T) {
	s := newSite(t, InitOptions{})
	err := s.refused(func(e *Edit) error {
		_, _ = e.Sign([]Entry{entry("ghcr.io/team/app", "v1", "one"), entry("nonsense", "v1", "two")}, "")
		return nil
	})
	if !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
}

func TestRevoke(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	s.signer("alice", "ghcr.io/team/*")
	s.signer("bob", "ghcr.io/team/*")
	one, two, three := entry("ghcr.io/team/app", "v1", "one"), entry("ghcr.io/team/app", "v2", "two"), entry("ghcr.io/team/app2", "v1", "three")
	s.change(signs("", one, two, three))
	revoke := func(repository, tag, signer string, want int) func(*Edit) error {
		return func(e *Edit) error {
			got, err := e.Revoke(trust.Name{Repository: repository, Tag: tag}, signer)
			if err == nil && len(got) != want {
				t.Errorf("revoked %d tags, want %d", len(got), want)
			}
			return err
		}
	}
	res := s.change(revoke("ghcr.io/team/app", "v1", "alice", 1))
	if len(res.Notes) != 1 || res.Notes[0] != "ghcr.io/team/app:v1 is still signed by bob" {
		t.Errorf("notes %q", res.Notes)
	}
	s.means(one, "bob")
	s.change(revoke("ghcr.io/team/app", "", "", 2))
	if got := s.read().Tags("ghcr.io/team/app"); len(got) != 0 {
		t.Errorf("left %+v", got)
	}
	s.means(three, "alice", "bob")
	r.finds(three)
	if _, err := r.lookup(two.Name.String()); err == nil {
		t.Error("go-tuf still finds it")
	}
	if err := s.refused(revoke("ghcr.io/team/app", "v1", "", 0)); !strings.Contains(err.Error(), "is not signed") {
		t.Error(err)
	}
	_, err := s.open(plainKeychain(t.TempDir())).Change(context.Background(), revoke("ghcr.io/team/app2", "v1", "", 0))
	if !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

func TestRenew(t *testing.T) {
	var x Expiry
	must(t, x.Set("signers", 30*24*time.Hour))
	s := newSite(t, InitOptions{Expiry: x})
	r := newReader(t, s)
	s.signer("alice", "ghcr.io/team/*")
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	renew := func(all bool, want string) func(*Edit) error {
		return func(e *Edit) error {
			got, err := e.Renew(all)
			if fmt.Sprint(got) != want {
				t.Errorf("renewed %v, want %s", got, want)
			}
			return err
		}
	}
	if res := s.change(renew(false, "[]")); len(res.Files) != 0 {
		t.Errorf("renewed %v on the first day", res.Files)
	}
	s.now = s.now.Add(21 * 24 * time.Hour)
	res := s.change(renew(false, "[alice]"))
	if got := fmt.Sprint(res.Files); got != "[3.alice.json 4.snapshot.json timestamp.json]" {
		t.Errorf("renewed %v", got)
	}
	if got := s.read().targets["alice"].Signed.Expires; !got.Equal(s.now.Add(30 * 24 * time.Hour)) {
		t.Errorf("alice ends on %s", got)
	}
	s.now = s.now.Add(40 * 24 * time.Hour) // all but root and targets have expired
	if _, err := r.lookup(n.Name.String()); err == nil {
		t.Error("go-tuf reads what has expired")
	}
	_, err := s.open(plainKeychain(t.TempDir())).Change(context.Background(), func(e *Edit) error {
		_, err := e.Renew(false)
		if len(e.notes) != 1 || !strings.Contains(e.notes[0], "alice is due") {
			t.Errorf("notes %q", e.notes)
		}
		return err
	})
	must(t, err)
	s.change(renew(false, "[alice]"))
	r.finds(n)
	s.change(renew(true, "[root targets alice]"))
	r.finds(n)
	if v := s.read(); v.root.Signed.Version != 2 || !v.root.Signed.Expires.Equal(s.now.Add(365*24*time.Hour)) {
		t.Errorf("root %d until %s", v.root.Signed.Version, v.root.Signed.Expires)
	}
}

// TestInconsistent: a repository that overwrites its files is read, and not changed.
func TestInconsistent(t *testing.T) {
	s := newSite(t, InitOptions{})
	v := s.read()
	root, err := clone(v.root)
	must(t, err)
	root.Signed.Version, root.Signed.ConsistentSnapshot = 2, false
	data, err := seal(s.keys, "root", root, v.authorities("root"), nil)
	must(t, err)
	dir := filepath.Join(s.dir, metadataDir)
	must(t, os.WriteFile(filepath.Join(dir, "2.root.json"), data, 0o600))
	for _, role := range []string{"targets", "snapshot"} {
		must(t, os.Rename(filepath.Join(dir, "1."+role+".json"), filepath.Join(dir, role+".json")))
	}
	s.read()
	if err := s.refused(signs("", entry("a.b/c", "d", "e"))); !strings.Contains(err.Error(), "no consistent snapshots") {
		t.Error(err)
	}
}
