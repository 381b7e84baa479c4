package signing

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
)

// TestRotate: every role's keys are replaced, one after the other, and a reader follows, with a memory and without one.
func TestRotate(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: 3, RootThreshold: 2, Algorithm: ECDSA})
	r := newReader(t, s)
	s.signer("alice", "ghcr.io/team/*")
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	r.finds(n)
	for _, role := range []string{"timestamp", "snapshot", "targets", "root", "alice", "root", "targets"} {
		before := keysOf(s.read(), role)
		res := s.change(func(e *Edit) error { return e.Rotate(role) })
		after := keysOf(s.read(), role)
		if len(after) != len(before) || slices.ContainsFunc(after, func(id string) bool { return slices.Contains(before, id) }) {
			t.Errorf("%s: keys %v after %v", role, after, before)
		}
		if last := res.Files[len(res.Files)-1]; role != "alice" && !strings.HasSuffix(last, ".root.json") {
			t.Errorf("%s: the root is not the last of %v", role, res.Files)
		}
		s.means(n, "alice")
		r.finds(n)
		newReader(t, s).finds(n)
	}
	next := entry("ghcr.io/team/app", "v2", "two")
	s.change(signs("", next))
	r.finds(next)
	// What was signed by old and new keys for the change is signed by the new ones alone from then on.
	if v := s.read(); len(v.timestamp.Signatures) != 1 || len(v.snapshot.Signatures) != 1 || len(v.targets["alice"].Signatures) != 1 {
		t.Errorf("%d, %d and %d signatures", len(v.timestamp.Signatures), len(v.snapshot.Signatures), len(v.targets["alice"].Signatures))
	}
	if v := s.read(); v.root.Signed.Version != 7 || len(v.root.Signed.Keys) != 6 || len(v.targets["targets"].Signed.Delegations.Keys) != 1 {
		t.Errorf("root %d with %d keys, %d keys of signers", v.root.Signed.Version, len(v.root.Signed.Keys), len(v.targets["targets"].Signed.Delegations.Keys))
	}
}

func keysOf(v *View, role string) []string {
	for _, r := range append(v.Administrative(), v.Signers("")...) {
		if r.Name == role {
			return r.Keys
		}
	}
	return nil
}

// TestRotateMoments: while keys of the top are rotated, what stands just before the new root verifies by the old one.
func TestRotateMoments(t *testing.T) {
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			s := newSite(t, InitOptions{})
			r := newReader(t, s)
			n := entry("ghcr.io/team/app", "v1", "one")
			s.change(signs("", n))
			s.change(func(e *Edit) error { return e.Rotate(role) })
			hidden := filepath.Join(s.dir, metadataDir, "2.root.json")
			root, err := os.ReadFile(hidden)
			must(t, err)
			must(t, os.Remove(hidden))
			r.finds(n)
			must(t, os.WriteFile(hidden, root, 0o600))
			r.finds(n)
		})
	}
}

func TestRotateRefuses(t *testing.T) {
	s := newSite(t, InitOptions{RootKeys: 2, RootThreshold: 2})
	if err := s.refused(func(e *Edit) error { return e.Rotate("mallory") }); !strings.Contains(err.Error(), "no such signer") {
		t.Error(err)
	}
	must(t, os.Remove(s.keys.File(keysOf(s.read(), "root")[0])))
	err := s.refused(func(e *Edit) error { return e.Rotate("targets") })
	if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "root needs 2 of its 2 keys") {
		t.Error(err)
	}
	must(t, os.Remove(s.keys.File(keysOf(s.read(), "targets")[0])))
	if err := s.refused(func(e *Edit) error { return e.Rotate("targets") }); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

// TestRotateAgain: a change that is made twice makes its keys once.
func TestRotateAgain(t *testing.T) {
	s := newSite(t, InitOptions{})
	before, err := os.ReadDir(s.keys.Dir())
	must(t, err)
	_, err = s.open(s.keys).Change(context.Background(), func(e *Edit) error {
		if err := e.Rotate("targets"); err != nil {
			return err
		}
		if e.base.timestamp.Signed.Version == 1 { // somebody else publishes meanwhile
			_, err := s.open(plainKeychain(s.keys.Dir())).Change(context.Background(), signs("", entry("a.b/c", "d", "e")))
			return err
		}
		return nil
	})
	must(t, err)
	after, err := os.ReadDir(s.keys.Dir())
	must(t, err)
	if len(after) != len(before)+1 {
		t.Errorf("%d new keys", len(after)-len(before))
	}
	s.means(entry("a.b/c", "d", "e"), "targets")
}

// TestLostOnlineKey: a new root whose keys leave a moment at which nothing verifies is not published.
func TestLostOnlineKey(t *testing.T) {
	s := newSite(t, InitOptions{})
	old := keysOf(s.read(), "timestamp")[0]
	online := s.keys.at(filepath.Join(s.dir, onlineDir), passphrase)
	fresh, err := online.Generate("timestamp", Ed25519)
	must(t, err)
	err = s.refused(func(e *Edit) error {
		r, err := e.nextRoot()
		if err != nil {
			return err
		}
		delete(r.Signed.Keys, old)
		r.Signed.Keys[fresh.ID] = fresh.key
		r.Signed.Roles["timestamp"].KeyIDs = []string{fresh.ID}
		return os.Remove(online.File(old))
	})
	if trust.ReasonOf(err) != trust.ThresholdNotMet {
		t.Error(err)
	}
}
