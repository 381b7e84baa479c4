package signing

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestTeam: two of three keys must sign, and one is not enough.
func TestTeam(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: 3, RootThreshold: 2})
	r := newReader(t, s)
	var keys []PublicKey
	for range 3 {
		p, err := s.keys.Generate("team", ECDSA)
		must(t, err)
		keys = append(keys, p)
	}
	team := Signer{Name: "team", Keys: keys, Repositories: []string{"ghcr.io/team/app"}, Threshold: 2}
	s.change(func(e *Edit) error { return e.AddSigner(team) })
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	s.means(n, "team")
	r.finds(n)
	if got := len(s.read().targets["team"].Signatures); got != 2 {
		t.Errorf("%d signatures", got)
	}
	for _, k := range keys[:2] {
		must(t, os.Remove(s.keys.File(k.ID)))
	}
	if err := s.refused(signs("", entry("ghcr.io/team/app", "v2", "two"))); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

// TestPendingSigner: a signer whose key is elsewhere does not get in the way of others, if the key brought its empty file.
func TestPendingSigner(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	elsewhere := plainKeychain(t.TempDir())
	k, err := elsewhere.Generate("alice", Ed25519)
	must(t, err)
	text, err := k.PEM()
	must(t, err)
	k, err = ParsePublicKey(text)
	must(t, err)
	bare := k
	bare.starter = nil
	res := s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{k}, Repositories: []string{"ghcr.io/team/app"}})
	})
	if len(res.Notes) != 0 || res.Files[1] != "1.alice.json" {
		t.Errorf("%+v", res)
	}
	res = s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: "slow", Keys: []PublicKey{bare}, Repositories: []string{"ghcr.io/team/other"}})
	})
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "slow has to sign once") {
		t.Errorf("%+v", res)
	}
	s.signer("bob", "ghcr.io/team/*")
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	s.means(n, "bob")
	r.finds(n)
	err = s.refused(signs("", entry("ghcr.io/team/other", "v1", "one")))
	if !strings.Contains(err.Error(), "slow is asked first") {
		t.Error(err)
	}
	for _, signer := range s.read().Signers("ghcr.io/team/other")[:1] {
		if signer.Fault == nil || signer.Version != 0 {
			t.Errorf("%+v", signer)
		}
	}
	both := entry("ghcr.io/team/app", "v2", "two")
	alice := plainKeychain(elsewhere.dir)
	_, err = s.open(alice).Change(context.Background(), signs("", both))
	must(t, err)
	s.means(both, "alice")
}

func TestAddSignerRefuses(t *testing.T) {
	s := newSite(t, InitOptions{})
	k := s.signer("alice", "ghcr.io/team/*")
	other, err := plainKeychain(t.TempDir()).Generate("x", Ed25519)
	must(t, err)
	for name, c := range map[string]struct {
		signer Signer
		want   string
	}{
		"name of a role":  {Signer{Name: "snapshot", Keys: []PublicKey{k}, Repositories: []string{"a.b/c"}}, "role at the top"},
		"no name":         {Signer{Name: "Al ice", Keys: []PublicKey{k}, Repositories: []string{"a.b/c"}}, "signer name"},
		"no key":          {Signer{Name: "bob", Repositories: []string{"a.b/c"}}, "needs a key"},
		"empty key":       {Signer{Name: "bob", Keys: []PublicKey{{}}, Repositories: []string{"a.b/c"}}, "empty"},
		"no repository":   {Signer{Name: "bob", Keys: []PublicKey{k}}, "needs a key and a repository"},
		"star in a name":  {Signer{Name: "bob", Keys: []PublicKey{k}, Repositories: []string{"a.b/app*"}}, "star"},
		"threshold":       {Signer{Name: "bob", Keys: []PublicKey{k}, Repositories: []string{"a.b/c"}, Threshold: 2}, "does not fit its 1 keys"},
		"negative":        {Signer{Name: "bob", Keys: []PublicKey{k}, Repositories: []string{"a.b/c"}, Threshold: -1}, "does not fit"},
		"raised too high": {Signer{Name: "alice", Keys: []PublicKey{other}, Threshold: 2}, "do this where its keys are"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if err := s.refused(func(e *Edit) error { return e.AddSigner(c.signer) }); !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
	res := s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{other}, Repositories: []string{"ghcr.io/team/*", "quay.io/a/b"}})
	})
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "every one of its 2 keys now signs for all of ghcr.io/team/*, quay.io/a/b") {
		t.Errorf("notes %q", res.Notes)
	}
	if res := s.change(func(e *Edit) error { return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{k}}) }); len(res.Files) != 0 {
		t.Errorf("added nothing: %v", res.Files)
	}
}

func TestRemoveSigner(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	s.signer("alice", "ghcr.io/team/*", "quay.io/a/b")
	s.signer("bob", "quay.io/a/b")
	only, both := entry("ghcr.io/team/app", "v1", "one"), entry("quay.io/a/b", "v1", "two")
	s.change(signs("", only, both))
	remove := func(force bool, repositories ...string) func(*Edit) error {
		return func(e *Edit) error {
			lost, err := e.RemoveSigner("alice", repositories, force)
			if len(lost) > 0 && lost[0].Name != only.Name {
				t.Errorf("lost %+v", lost)
			}
			return err
		}
	}
	// PRODUCT: section 1, the last signature of a tag is not taken by accident.
	if err := s.refused(remove(false)); !errors.Is(err, ErrLastSignature) {
		t.Error(err)
	}
	if err := s.refused(remove(false, "ghcr.io/team/app")); !strings.Contains(err.Error(), "signs for ghcr.io/team/*, quay.io/a/b, and not for ghcr.io/team/app as such") {
		t.Error(err)
	}
	s.change(remove(false, "quay.io/a/b"))
	s.means(both, "bob")
	s.means(only, "alice")
	r.finds(both)
	s.change(remove(true))
	if _, ok := s.read().Tag(only.Name); ok || len(s.read().Signers("")) != 1 {
		t.Error("alice still signs")
	}
	// TUF: 5.5.5, what vanishes from the snapshot is a rollback.
	if s.read().listed("alice") == nil {
		t.Error("alice vanished from the snapshot")
	}
	r.finds(both)
	if err := s.refused(remove(true)); !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
	s.change(func(e *Edit) error { _, err := e.RemoveSigner("bob", nil, true); return err })
	if s.read().targets["targets"].Signed.Delegations != nil {
		t.Error("empty delegations are left")
	}
}

// TestSignerComesBack: what a signer signed before it was removed does not count when it is added again.
func TestSignerComesBack(t *testing.T) {
	s := newSite(t, InitOptions{})
	k := s.signer("alice", "ghcr.io/team/*")
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	s.change(func(e *Edit) error { _, err := e.RemoveSigner("alice", nil, true); return err })
	res := s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{k}, Repositories: []string{"ghcr.io/team/*"}})
	})
	if got := s.read().targets["alice"].Signed; got.Version != 3 || len(got.Targets) != 0 {
		t.Errorf("version %d with %d tags", got.Version, len(got.Targets))
	}
	if len(res.Notes) == 0 || !strings.Contains(res.Notes[0], "alice begins anew") {
		t.Errorf("notes %q", res.Notes)
	}
}

// TestStarter: of the empty file that a public key brings along nothing is believed but that it is empty and signed.
func TestStarter(t *testing.T) {
	s := newSite(t, InitOptions{})
	elsewhere := plainKeychain(t.TempDir())
	k, err := elsewhere.Generate("alice", Ed25519)
	must(t, err)
	stranger, err := elsewhere.Generate("eve", Ed25519)
	must(t, err)
	signed := func(by string, edit func(*metadata.TargetsType)) []byte {
		m, err := parse[metadata.TargetsType](k.starter)
		must(t, err)
		edit(&m.Signed)
		data, err := seal(elsewhere, "alice", m, []authority{{map[string]*metadata.Key{k.ID: k.key, stranger.ID: stranger.key}, []string{by}, 1}}, nil)
		must(t, err)
		return data
	}
	for name, starter := range map[string][]byte{
		"none":       nil,
		"nonsense":   []byte("nonsense"),
		"panics":     []byte(`{"signatures":[],"signed":{"_type":"targets","targets":{"x":null}}}`),
		"stranger's": signed(stranger.ID, func(*metadata.TargetsType) {}),
		"tags": signed(k.ID, func(m *metadata.TargetsType) {
			m.Targets["ghcr.io/team/app:v1"], err = entry("ghcr.io/team/app", "v1", "one").file(s.now)
		}),
		"delegates": signed(k.ID, func(m *metadata.TargetsType) {
			m.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		}),
		"version": signed(k.ID, func(m *metadata.TargetsType) { m.Version = 2 }),
		"expired": signed(k.ID, func(m *metadata.TargetsType) { m.Expires = s.now.Add(-1) }),
		"type":    signed(k.ID, func(m *metadata.TargetsType) { m.Type = "snapshot" }),
	} {
		key := k
		key.starter = starter
		res, err := s.open(s.keys).Change(context.Background(), func(e *Edit) error {
			err := e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{key}, Repositories: []string{"ghcr.io/team/*"}})
			if len(e.notes) != 1 || len(e.changed) != 1 {
				t.Errorf("%s: notes %q, %d roles changed", name, e.notes, len(e.changed))
			}
			return errors.Join(err, errBusy) // nothing is published
		})
		if !errors.Is(err, errBusy) || len(res.Files) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyReplaced: what was signed by keys that do not count any more is not signed over; the new key begins anew.
func TestKeyReplaced(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	old := entry("ghcr.io/team/app", "v1", "old")
	s.change(signs("", old))
	elsewhere := plainKeychain(t.TempDir())
	k, err := elsewhere.Generate("alice", Ed25519)
	must(t, err)
	s.change(func(e *Edit) error { _, err := e.RemoveSigner("alice", nil, true); return err })
	s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{k}, Repositories: []string{"ghcr.io/team/*"}})
	})
	if f := s.read().Signers("")[0].Fault; trust.ReasonOf(f) != trust.ThresholdNotMet {
		t.Errorf("fault %v", f)
	}
	n := entry("ghcr.io/team/app", "v2", "new")
	res, err := s.open(elsewhere).Change(context.Background(), signs("", n))
	must(t, err)
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "alice begins anew, without tags: its version 2") {
		t.Errorf("notes %q", res.Notes)
	}
	s.means(n, "alice")
	newReader(t, s).finds(n)
	if got := s.read().Tags(""); len(got) != 1 {
		t.Errorf("tags %+v", got)
	}
}

// TestDamagedRole: where a role's file was damaged or lost, signing on would lose its tags for ever.
func TestDamagedRole(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	s.change(signs("", entry("ghcr.io/team/app", "v1", "one")))
	file := filepath.Join(s.dir, metadataDir, "2.alice.json")
	good, err := os.ReadFile(file)
	must(t, err)
	for name, spoil := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(file, good[:100], 0o600) },
		"lost":    func() error { return os.Remove(file) },
	} {
		must(t, spoil())
		_, err := s.open(s.keys).Change(context.Background(), signs("", entry("ghcr.io/team/app", "v2", "two")))
		if err == nil || !strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, os.WriteFile(file, good, 0o600))
	s.change(signs("", entry("ghcr.io/team/app", "v2", "two")))
}
