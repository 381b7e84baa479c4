package dct

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// refuses checks for what reason a refresh fails.
func (w *world) refuses(v trust.Verifier, want trust.Reason) {
	w.t.Helper()
	if _, err := v.Refresh(w.t.Context()); err == nil || trust.ReasonOf(err) != want {
		w.t.Errorf("%v, want %s", err, want)
	}
}

// good checks that a refresh is taken, under a root of that version.
func (w *world) good(v trust.Verifier, root int64) {
	w.t.Helper()
	s, err := v.Refresh(w.t.Context())
	if err != nil {
		w.t.Errorf("the honest repository: %v", err)
	} else if got := verdict(w, s, "v1"); got != "sha256:"+sha("good") || s.Versions[0].Version != root {
		w.t.Errorf("%s under root v%d, want good under v%d", got, s.Versions[0].Version, root)
	}
}

// settled checks that a refresh is taken, under a root of that version, and that nothing is kept beside the set then.
func (w *world) settled(v trust.Verifier, root int64) {
	w.t.Helper()
	w.good(v, root)
	if got := w.kept(); len(got) > 0 {
		w.t.Errorf("%v are still kept beside the set", got)
	}
	w.good(w.open(), root)
}

// kept returns the names of the files that are kept beyond the set.
func (w *world) kept() (found []string) {
	w.t.Helper()
	record, err := w.store.Collection("fixtures", gun).Load()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range record.Files {
		if name, ok := strings.CutPrefix(f.Name, seenPrefix); ok {
			found = append(found, name)
		}
	}
	return found
}

// revoke gives all roles below the root other keys in the next root, and publishes it. Steal hides that root, and has newer
// files signed by the old keys; honest brings it back, and newer files by the new ones.
func revoke(n *trusttest.Notary) (steal, honest func()) {
	stolen := make(map[*trusttest.Role][]*trusttest.Key)
	for _, r := range []*trusttest.Role{n.Timestamp, n.Snapshot, n.Targets} {
		stolen[r], r.Keys = r.Keys, []*trusttest.Key{trusttest.NewKey(trusttest.ECDSA)}
	}
	n.Next(n.Root, n.Targets)
	files := n.Files()
	steal = func() {
		for r, keys := range stolen {
			r.Signers = keys
		}
		n.Root.Version--
		n.Next(n.Targets)
		n.Root.Version++
		n.HideRoot()
		n.Remove("3.root.json")
	}
	honest = func() {
		for r := range stolen {
			r.Signers = nil
		}
		n.Serve(files)
		n.Next(n.Targets)
	}
	return steal, honest
}

// TestRevokedKeyStaysRevoked: a root that verified is not forgotten because the files behind it did not come. Whoever hides
// it afterwards, and has the keys that it revoked, gets nowhere; neither after a restart, nor where nothing was ever taken.
func TestRevokedKeyStaysRevoked(t *testing.T) {
	for what, spoil := range map[string]func(n *trusttest.Notary) trust.Reason{
		"missing timestamp": func(n *trusttest.Notary) trust.Reason { n.Remove("timestamp.json"); return trust.NoTrustData },
		"missing snapshot":  func(n *trusttest.Notary) trust.Reason { n.Remove(n.File(n.Snapshot)); return trust.SourceUnreachable },
		"missing targets":   func(n *trusttest.Notary) trust.Reason { n.Remove(n.File(n.Targets)); return trust.SourceUnreachable },
		"bad timestamp": func(n *trusttest.Notary) trust.Reason {
			n.Timestamp.Tamper = spoilSignature
			n.Publish()
			n.Timestamp.Tamper = nil
			return trust.SignatureInvalid
		},
		"bad next root": func(n *trusttest.Notary) trust.Reason { n.Reroot(1); return trust.RootMismatch },
	} {
		for _, how := range []string{"cold", "warm", "restarted"} {
			t.Run(what+"/"+how, func(t *testing.T) {
				n := newRepo()
				n.Publish()
				w := rig(t, n, pinOf(n))
				v := w.open()
				if how != "cold" {
					w.good(v, 1)
				}
				checked := w.now
				w.now = w.now.Add(probeEvery)
				steal, honest := revoke(n)
				reason := spoil(n)
				w.refuses(v, reason)
				steal()
				if how != "warm" {
					v = w.open()
				}
				for range 2 {
					w.refuses(v, trust.ThresholdNotMet)
					if how == "warm" {
						continue
					}
					v = w.open()
					s, err := v.Load(t.Context())
					if err != nil || (s == nil) != (how == "cold") {
						t.Fatalf("loaded %v, %v", s, err)
					}
					if s != nil && (verdict(w, s, "v1") != "sha256:"+sha("good") || !s.Checked.Equal(checked) || s.Versions[0].Version != 1) {
						t.Errorf("what serves is %s, checked at %s", verdict(w, s, "v1"), s.Checked)
					}
				}
				honest()
				w.settled(v, 2)
			})
		}
	}
}

// TestRootsGoOnFromThoseSeen: one update that fails after another, however the source hides what came in them, and each
// root is asked for once. A next root that cannot be had does not make one without it do.
func TestRootsGoOnFromThoseSeen(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	v := w.open()
	var newest map[string][]byte
	for i := range int64(3) {
		w.now = w.now.Add(probeEvery)
		rotate(n)
		n.Next()
		n.Remove("timestamp.json")
		n.Asked()
		w.refuses(v, trust.NoTrustData)
		if got, want := n.Asked(), []string{fmt.Sprintf("%d.root.json", i+2), fmt.Sprintf("%d.root.json", i+3), "timestamp.json"}; !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		newest = n.Files()
		n.Remove(fmt.Sprintf("%d.root.json", i+2))
		if i == 1 {
			v = w.open()
		}
	}
	if got := w.kept(); !slices.Equal(got, []string{"2.root", "3.root", "4.root"}) {
		t.Errorf("kept %v", got)
	}
	n.Serve(newest)
	n.Publish()
	w.good(v, 4)
	// Here nothing hints at a newer root but the timestamp, and the way to the newest is cut off behind the next.
	inner := w.source
	down := true
	w.source = fetch(func(ctx context.Context, file string, limit int64) ([]byte, error) {
		if down && file == "6.root.json" {
			return nil, errors.New("500")
		}
		return inner.Fetch(ctx, file, limit)
	})
	n.Rekey(n.Timestamp)
	w.refuses(v, trust.ThresholdNotMet)
	if got := w.kept(); !slices.Equal(got, []string{"5.root"}) {
		t.Errorf("kept %v", got)
	}
	down = false
	w.good(w.open(), 5)
}

// TestSeenUnderFirstUse: nobody is trusted for the first time who has no files; who was goes on as anybody else.
func TestSeenUnderFirstUse(t *testing.T) {
	other, n := newRepo(), newRepo()
	other.Publish()
	other.Remove("timestamp.json")
	w := rig(t, other, Pin{TOFU: true})
	v := w.open()
	w.refuses(v, trust.NoTrustData)
	n.Publish()
	w.source = n
	w.good(v, 1)
	w.now = w.now.Add(probeEvery)
	steal, _ := revoke(n)
	n.Remove("timestamp.json")
	w.refuses(v, trust.NoTrustData)
	steal()
	w.refuses(v, trust.ThresholdNotMet)
	w.refuses(w.open(), trust.ThresholdNotMet)
}

// TestSeenUnderAnotherPin: pins are enforced on roots that were seen as on all others, and what is on disk does not give
// way to what a config that is wrong saw.
func TestSeenUnderAnotherPin(t *testing.T) {
	for _, cold := range []bool{false, true} {
		n := newRepo()
		n.Publish()
		w := rig(t, n, pinOf(n))
		if !cold {
			w.good(w.open(), 1)
		}
		steal, honest := revoke(n)
		w.now = w.now.Add(probeEvery)
		n.Remove("timestamp.json")
		w.refuses(w.open(), trust.NoTrustData)
		want := w.kept()
		stranger := newRepo()
		stranger.Publish()
		stranger.Remove("timestamp.json")
		pin := w.pin
		w.source, w.pin, w.events = stranger, pinOf(stranger), nil
		v := w.open()
		if s, err := v.Load(t.Context()); s != nil || err != nil || len(w.events) != 1 || w.events[0].Kind != trust.EventPinChanged {
			t.Errorf("cold %v: loaded %v, %v, events %v", cold, s, err, w.events)
		}
		w.refuses(v, trust.NoTrustData)
		if got := w.kept(); !slices.Equal(got, want) {
			t.Errorf("cold %v: kept %v, want %v", cold, got, want)
		}
		steal()
		w.source, w.pin = n, pin
		w.refuses(w.open(), trust.ThresholdNotMet)
		honest()
		w.good(w.open(), 2)
	}
}

// TestSeenIsAFloorUnderAnotherPin: a timestamp and a snapshot that were seen are not fallen behind because the pin follows a
// new root key.
//
// PRODUCT: invariant 6, version floors survive restart.
func TestSeenIsAFloorUnderAnotherPin(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	w.good(w.open(), 1)
	rotate(n)
	n.Next(n.Targets)
	before := n.Files()
	n.Next(n.Targets)
	all := n.Files()
	n.Remove(n.File(n.Targets))
	w.now = w.now.Add(probeEvery)
	w.refuses(w.open(), trust.SourceUnreachable)
	w.pin = pinOf(n)
	n.Serve(before)
	w.refuses(w.open(), trust.MetadataRollback)
	n.Serve(all)
	w.settled(w.open(), 2)
}
