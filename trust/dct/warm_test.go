package dct

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

func decodeB64(t testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil && t != nil {
		t.Fatal(err)
	}
	return b
}

// TestRetiredRoleKeepsItsFloor: a delegation that went and came back cannot come back older.
func TestRetiredRoleKeepsItsFloor(t *testing.T) {
	n := newRepo()
	bob := n.Delegate("targets/bob", "")
	bob.Version = 5
	n.Publish()
	w := rig(t, n, pinOf(n))
	refresh := func() error {
		_, err := w.open().Refresh(t.Context())
		return err
	}
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	n.Delegations = n.Delegations[:1]
	n.Next(n.Targets)
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	n.Delegations, bob.Version = append(n.Delegations, bob), 4
	n.Next(n.Targets)
	if err := refresh(); trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("came back at v4 after v5: %v", err)
	}
	// A client that holds the snapshot key drops what was removed, and lists it again when it is signed for.
	bob.Hidden = true
	n.Next()
	if err := refresh(); err != nil {
		t.Errorf("came back without a file: %v", err)
	}
	bob.Hidden = false
	n.Next()
	if err := refresh(); trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("came back at v4 after v5, by way of none: %v", err)
	}
	bob.Version, bob.Hidden = 6, false
	n.Next()
	if err := refresh(); err != nil {
		t.Errorf("came back at v6: %v", err)
	}
}

// TestFixturePairs: the same, with what real servers published.
func TestFixturePairs(t *testing.T) {
	for _, c := range []struct {
		before, after, tag string
		refresh            trust.Reason
		want               string
	}{
		{"d0-before-revoke", "d-revoked-tag", "v1", "", "unsigned_tag"},
		{"d-revoked-tag", "d0-before-revoke", "v1", trust.MetadataRollback, "unsigned_tag"},
		{"e0-root-v1", "e1-root-v2", "v1", "", "sha256:382997ff96e8ddcacbd21c5f4e0d240af9e266b5140147f3086e2c78e2f5593d"},
		{"e0-root-v1", "e-rotated-root", "v2", "", "sha256:6aa08b0c3d339f49c29009c76fbad34d801346f728903f02391cde0ed230afa5"},
		{"e-rotated-root", "e0-root-v1", "v2", trust.MetadataRollback, "sha256:6aa08b0c3d339f49c29009c76fbad34d801346f728903f02391cde0ed230afa5"},
		{"g0-nested-delegations", "g-nested-delegations", "top", "", "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"},
		{"p0-before-signer-removal", "p1-releases-signed-by-removed-key", "v1", "", "threshold_not_met"},
		{"b0-signer-added-nothing-signed", "b-releases-signer", "v1", "", "sha256:4ba982f9fcd758a2351e8467d64ba9b9d55e07e07749895f4d9fb38e70962182"},
	} {
		t.Run(c.before+" then "+c.after, func(t *testing.T) {
			w := newWorld(t, c.before, Pin{TOFU: true})
			v := w.open()
			s, err := v.Refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.serve(c.after)
			next, err := v.Refresh(t.Context())
			if err == nil {
				s = next
			}
			if err == nil && c.refresh != "" || err != nil && trust.ReasonOf(err) != c.refresh {
				t.Errorf("refresh: %v, want %q", err, c.refresh)
			}
			if got := verdict(w, s, c.tag); got != c.want {
				t.Errorf("%s is %s, want %s", c.tag, got, c.want)
			}
		})
	}
}

// TestPins: who may speak for a name.
func TestPins(t *testing.T) {
	first, last := readExpected(t, "e0-root-v1"), readExpected(t, "e-rotated-root")
	for _, c := range []struct {
		name, fixture string
		pin           Pin
		want          trust.Reason
	}{
		{"newest root by id", "e-rotated-root", Pin{Keys: last.RootKeys}, ""},
		{"oldest root by id walks forward", "e-rotated-root", Pin{Keys: first.RootKeys}, ""},
		{"oldest root by canonical id walks forward", "e-rotated-root", Pin{Keys: first.RootCanonical}, ""},
		{"one in the middle walks forward", "e-rotated-root", Pin{Keys: readExpected(t, "e1-root-v2").RootKeys}, ""},
		{"another root", "e-rotated-root", Pin{Keys: readExpected(t, "a-simple-targets").RootKeys}, trust.RootNotPinned},
		{"another root, no older ones", "a-simple-targets", Pin{Keys: last.RootKeys}, trust.RootNotPinned},
		{"no keys at all", "a-simple-targets", Pin{}, trust.RootNotPinned},
		{"another CA", "a-simple-targets", Pin{CA: x509.NewCertPool()}, trust.RootNotPinned},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.fixture, c.pin)
			_, err := w.open().Refresh(t.Context())
			if err == nil && c.want != "" || err != nil && trust.ReasonOf(err) != c.want {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, err := w.open().Load(t.Context()); err != nil {
				t.Errorf("load: %v", err)
			}
		})
	}
}

// TestChangedPinIsEnforcedOnWhatWasKept: DCT W6.
func TestChangedPinIsEnforcedOnWhatWasKept(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	if _, err := w.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pin = Pin{Keys: []string{trusttest.NewKey(trusttest.ECDSA).ID()}}
	if s, err := w.open().Load(t.Context()); s != nil || err != nil {
		t.Errorf("state under another pin was loaded: %v, %v", s, err)
	}
	if !slices.ContainsFunc(w.events, func(e trust.Event) bool { return e.Kind == trust.EventPinChanged }) {
		t.Errorf("events %v", w.events)
	}
	if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.RootNotPinned {
		t.Errorf("%v, want root_not_pinned", err)
	}
}

func TestCAPin(t *testing.T) {
	ca, caKey, pool := caPool(t)
	certify := func(k *trusttest.Key, usage ...x509.ExtKeyUsage) *trusttest.Key {
		tmpl := trusttest.Template(gun, fixtureTime)
		tmpl.ExtKeyUsage = usage
		return k.Certify(tmpl, ca, caKey.Private)
	}
	for name, c := range map[string]struct {
		usage []x509.ExtKeyUsage
		want  trust.Reason
	}{
		"code signing": {[]x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, ""},
		"servers":      {[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, ""},
		"any":          {[]x509.ExtKeyUsage{x509.ExtKeyUsageAny}, ""},
		"nothing said": {nil, ""},
		"mail only":    {[]x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, trust.RootNotPinned},
	} {
		n := newRepo()
		n.Root.Keys = []*trusttest.Key{certify(n.Root.Keys[0], c.usage...)}
		n.Publish()
		w := rig(t, n, Pin{CA: pool})
		v := w.open()
		if _, err := v.Refresh(t.Context()); err == nil && c.want != "" || err != nil && trust.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if c.want != "" {
			continue
		}
		old := n.Root.Keys
		n.Root.Keys = []*trusttest.Key{certify(trusttest.NewKey(trusttest.ECDSA), c.usage...)}
		n.Root.Signers = append(slices.Clone(n.Root.Keys), old...)
		n.Root.Version++
		n.Next()
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Errorf("%s: rotated to another certificate of the CA: %v", name, err)
		}
		n.RotateRoot()
		n.Next()
		if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.RootNotPinned {
			t.Errorf("%s: rotated away from the CA: %v", name, err)
		}
	}
}

// TestLostState: PRODUCT invariant 6.
func TestLostState(t *testing.T) {
	damage := func(t *testing.T, w *world) {
		t.Helper()
		slots, err := filepath.Glob(filepath.Join(w.dir, "fixtures", "*", "[01]"))
		if err != nil || len(slots) != 2 {
			t.Fatalf("slots %v, %v", slots, err)
		}
		for _, s := range slots {
			if err := os.WriteFile(s, []byte("rubbish"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tofu := range []bool{false, true} {
		n := newRepo()
		n.Publish()
		pin := pinOf(n)
		if tofu {
			pin = Pin{TOFU: true}
		}
		w := rig(t, n, pin)
		if _, err := w.open().Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		damage(t, w)
		w.events = nil
		v := w.open()
		_, err := v.Load(t.Context())
		if !slices.ContainsFunc(w.events, func(e trust.Event) bool { return e.Kind == trust.EventStateDamaged }) {
			t.Errorf("tofu %v: no event", tofu)
		}
		if tofu {
			if trust.ReasonOf(err) != trust.StateUnavailable || err == nil {
				t.Errorf("trust on first use began anew: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("pinned: %v", err)
		}
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Errorf("pinned: %v", err)
		}
	}
}

// TestStateMustBeKept: what cannot be kept is not used.
func TestStateMustBeKept(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	v := w.open()
	if _, err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "fixtures"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.refuses(v, trust.StateUnavailable)
}

// TestChangedPinKeepsTheFloors: DCT W4, what was seen under another pin is what nothing may be older than.
func TestChangedPinKeepsTheFloors(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	n.RotateRoot()
	n.Publish()
	old := n.Files()
	n.Next(n.Targets, n.Delegations[0])
	if _, err := w.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pin = pinOf(n)
	// The history begins before the pinned root: the files alone say the same as before.
	if _, err := w.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := trusttest.NewCertKey(trusttest.ECDSA, gun, fixtureTime)
	previous := n.Root.Keys
	n.Root.Keys, n.Root.Version = []*trusttest.Key{other}, n.Root.Version+1
	n.Root.Signers = append([]*trusttest.Key{other}, previous...)
	w.pin = Pin{Keys: []string{other.ID()}}
	root := n.Root.Version
	n.Timestamp.Version, n.Snapshot.Version, n.Targets.Version, n.Delegations[0].Version = 1, 1, 1, 1
	n.Publish()
	if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("root v%d under its own pin, with everything else from before (%d files): %v", root, len(old), err)
	}
}

// TestClockThatWasWrongAtTheStart: it refuses while it is wrong, and no longer.
func TestClockThatWasWrongAtTheStart(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	if _, err := w.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.now = fixtureTime.AddDate(-3, 0, 0)
	v := w.open()
	if _, err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.ClockBehind {
		t.Errorf("%v, want clock_behind", err)
	}
	w.now = fixtureTime
	if s, err := v.Refresh(t.Context()); err != nil || verdict(w, s, "v1") != "sha256:"+sha("good") {
		t.Errorf("the clock is right again: %v", err)
	}
}

// TestWalkDoesNotHideTheAttack: what failed verification is the reason, whatever becomes of the walk.
func TestWalkDoesNotHideTheAttack(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	v := w.open()
	if _, err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.Timestamp.Tamper = spoilSignature
	n.Next()
	inner := w.source
	w.source = fetch(func(ctx context.Context, file string, limit int64) ([]byte, error) {
		if file == "2.root.json" {
			return nil, errors.New("500")
		}
		return inner.Fetch(ctx, file, limit)
	})
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.SignatureInvalid {
		t.Errorf("%v, want signature_invalid", err)
	}
}

// TestPinOfOneOfTwoRootKeys: a newest root that needs more than the pinned keys may follow one that does not.
func TestPinOfOneOfTwoRootKeys(t *testing.T) {
	n := newRepo()
	n.Publish()
	pin := pinOf(n)
	n.Root.Keys = append(slices.Clone(n.Root.Keys), trusttest.NewCertKey(trusttest.ECDSA, gun, fixtureTime))
	n.Root.Threshold, n.Root.Version = 2, 2
	n.Next()
	if _, err := rig(t, n, pin).open().Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNameWithoutPin: nothing in the config allows any root, and nobody is asked for one.
func TestNameWithoutPin(t *testing.T) {
	n := newRepo()
	n.Publish()
	f, err := New(Options{
		Source: "fixtures", GUN: "{name}", State: rig(t, n, Pin{}).store, Now: func() time.Time { return fixtureTime },
		Fetcher: func(string) trust.Source { return n }, Observe: func(trust.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := f.Open(gun)
	if s, err := v.Load(t.Context()); s != nil || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.RootNotPinned || !errors.Is(err, trust.ErrNoPin) || len(n.Asked()) > 0 {
		t.Errorf("%v", err)
	}
}

// TestClaims: what counts as a role's word, and until when.
func TestClaims(t *testing.T) {
	n := newRepo()
	n.Delegate("targets/bob", "").Sign("v1", "good")
	n.Delegate("targets/carol", "x/").Sign("v1", "good")
	a := n.Delegate("targets/a", "")
	a.Expires = fixtureTime.Add(time.Hour)
	n.Delegate("targets/a/b", "").Sign("v1", "good")
	n.Publish()
	s, err := rig(t, n, pinOf(n)).open().Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]trust.Claim)
	for _, c := range s.Lookup("v1").Claims {
		got[c.Signer] = c
	}
	if len(got) != 4 || got["carol"].Role != "" {
		t.Errorf("claims %v: carol may not speak for v1", got)
	}
	if c := got["bob"]; c.Role != "targets/bob" || c.Released || !slices.Equal(c.Keys, []string{n.Delegations[1].Keys[0].Canonical()}) {
		t.Errorf("bob: %+v", c)
	}
	if c := got["a/b"]; !c.Expires.Equal(a.Expires) {
		t.Errorf("a/b holds until %v, and a only until %v", c.Expires, a.Expires)
	}
	if c := got["releases"]; !c.Released {
		t.Errorf("releases: %+v", c)
	}
}

// TestKeptFilesAreVerifiedAgain: PRODUCT invariant 6, a right checksum is no signature.
func TestKeptFilesAreVerifiedAgain(t *testing.T) {
	n := newRepo()
	n.Publish()
	genuine := rig(t, n, pinOf(n))
	if _, err := genuine.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	record, err := genuine.store.Collection("fixtures", gun).Load()
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range record.Files {
		for what, data := range map[string][]byte{"spoilt": spoilSignature(file.Data), "empty": nil} {
			w := rig(t, n, pinOf(n))
			spoilt := state.Record{Checked: record.Checked, Files: slices.Clone(record.Files)}
			spoilt.Files[i].Data = data
			if err := w.store.Collection("fixtures", gun).Save(spoilt); err != nil {
				t.Fatal(err)
			}
			if s, err := w.open().Load(t.Context()); s != nil || err != nil || len(w.events) != 1 || w.events[0].Kind != trust.EventStateDamaged {
				t.Errorf("%s %s: %v, %v, events %v", file.Name, what, s != nil, err, w.events)
			}
		}
	}
}

// TestClockThatWasAhead: what was kept while it was has the right time after the next check, also after a restart.
func TestClockThatWasAhead(t *testing.T) {
	n := newRepo()
	n.Publish()
	w := rig(t, n, pinOf(n))
	for _, w.now = range []time.Time{fixtureTime.Add(time.Hour), fixtureTime} {
		v := w.open()
		if _, err := v.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := w.open().Load(t.Context()); err != nil || !s.Checked.Equal(fixtureTime) {
		t.Errorf("checked %v, %v", s.Checked, err)
	}
}
