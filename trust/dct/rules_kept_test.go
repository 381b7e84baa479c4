package dct

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// taken returns a world in which a repository was seen once.
func taken(t *testing.T, n *trusttest.Notary, pin Pin) *world {
	t.Helper()
	n.Publish()
	w := rig(t, n, pin)
	if _, err := w.open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.events = nil
	return w
}

// slots returns the two copies of what the world keeps.
func (w *world) slots() []string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "fixtures", "*", "[01]"))
	if err != nil || len(found) != 2 {
		w.t.Fatalf("slots %v, %v", found, err)
	}
	return found
}

// damage makes both copies unusable.
func (w *world) damage() {
	w.t.Helper()
	for _, s := range w.slots() {
		if err := os.WriteFile(s, []byte("rubbish"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// PRODUCT: invariant 6, a copy that cannot be read for now is not a lost one: nothing begins anew meanwhile.
func TestUnreadableStateIsNotLostState(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	for _, s := range w.slots() {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(s, 0o700); err != nil { // cannot be read, by whomever
			t.Fatal(err)
		}
	}
	if _, err := w.open().Load(t.Context()); trust.ReasonOf(err) != trust.StateUnavailable || err == nil {
		t.Errorf("%v, want state_unavailable", err)
	}
}

// PRODUCT: invariant 6, a start that is broken off has lost nothing: the floors are there for the next.
func TestLoadThatIsBrokenOff(t *testing.T) {
	n := newRepo()
	for i := range 3000 {
		n.Targets.Sign(fmt.Sprintf("some-longer-tag-%d", i), "x")
	}
	n.Targets.Version = 2
	w := taken(t, n, pinOf(n))
	v := w.open()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Load(gone); trust.ReasonOf(err) != trust.StateUnavailable || err == nil || len(w.events) > 0 {
		t.Fatalf("%v, events %v; want state_unavailable", err, w.events)
	}
	n.Targets.Version = 1
	n.Next()
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("rolled back: %v", err)
	}
}

// DCT: W4 and W6, what was kept under another pin gives floors only if it still verifies.
func TestChangedPinOverDamagedFiles(t *testing.T) {
	n := newRepo()
	w := taken(t, n, Pin{TOFU: true})
	place := w.store.Collection("fixtures", gun)
	record, err := place.Load()
	if err != nil {
		t.Fatal(err)
	}
	record.Files = slices.DeleteFunc(record.Files, func(f state.File) bool { return f.Name == "timestamp.json" })
	if err := place.Save(*record); err != nil {
		t.Fatal(err)
	}
	w.pin = Pin{Keys: []string{"another"}}
	if _, err := w.open().Load(t.Context()); err != nil || len(w.events) != 1 || w.events[0].Kind != trust.EventStateDamaged {
		t.Errorf("%v, events %v", err, w.events)
	}
}

// DCT: W4, whoever refreshes without having loaded is held to what was kept, or to its loss.
func TestRefreshLoadsFirst(t *testing.T) {
	n := newRepo()
	w := taken(t, n, Pin{TOFU: true})
	running := w.open()
	if _, err := running.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.damage()
	if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.StateUnavailable || err == nil {
		t.Errorf("trust on first use began anew: %v", err)
	}
	// What is in hand does not depend on the disk any more, and mends it.
	n.Next()
	if _, err := running.Refresh(t.Context()); err != nil {
		t.Errorf("the state was read again: %v", err)
	}
	if _, err := w.open().Load(t.Context()); err != nil {
		t.Errorf("the state was not mended: %v", err)
	}
}

// DCT: W2 and W4, what is hidden stays unusable and no more than that, and floors are kept only for what is not in force,
// and not for more than there can be.
func TestHiddenAndRetired(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	v := w.open()
	n.Delegations[0].Hidden = true
	for _, change := range [][]*trusttest.Role{{n.Targets}, nil} {
		n.Next(change...)
		if s, err := v.Refresh(t.Context()); err != nil || verdict(w, s, "v1") != "metadata_rollback" {
			t.Fatalf("hidden: %v", err)
		}
	}
	n.Delegations[0].Hidden = false
	for range 2 {
		n.Next(n.Targets, n.Delegations[0])
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.retired(); got != 0 {
		t.Errorf("%d roles are retired, and all are in force", got)
	}
	for range 2 {
		spread(n, 200)
		n.Next(n.Targets)
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.Delegations = n.Delegations[:1]
	}
	for i := range 200 {
		n.Delegate(fmt.Sprintf("targets/other%d", i), "")
	}
	for range 2 {
		n.Next(n.Targets)
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.Delegations = n.Delegations[:1]
	}
	if got := w.retired(); got != maxRoles {
		t.Errorf("%d roles are retired, want %d", got, maxRoles)
	}
}

// retired returns how many files are kept only as floors.
func (w *world) retired() int {
	w.t.Helper()
	record, err := w.store.Collection("fixtures", gun).Load()
	if err != nil {
		w.t.Fatal(err)
	}
	record.Files = slices.DeleteFunc(record.Files, func(f state.File) bool { return !strings.HasPrefix(f.Name, retiredPrefix) })
	return len(record.Files)
}

// PRODUCT: invariant 6, what is kept is used whole or not at all.
func TestKeptFilesAreComplete(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	for range 2 {
		rotate(n)
		n.Next()
		if _, err := w.open().Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	place := w.store.Collection("fixtures", gun)
	record, err := place.Load()
	if err != nil || len(record.Files) != 7 {
		t.Fatalf("%d files, %v; want 3 roots and one of every other role", len(record.Files), err)
	}
	for _, missing := range record.Files {
		r := *record
		r.Files = slices.DeleteFunc(slices.Clone(record.Files), func(f state.File) bool { return f.Name == missing.Name })
		if err := place.Save(r); err != nil {
			t.Fatal(err)
		}
		w.events = nil
		if s, err := w.open().Load(t.Context()); s != nil || err != nil || len(w.events) != 1 {
			t.Errorf("without %s: %v, %v, events %v", missing.Name, s != nil, err, w.events)
		}
	}
	record.Files = slices.DeleteFunc(record.Files, func(f state.File) bool { return strings.HasSuffix(f.Name, ".root.json") })
	if err := place.Save(*record); err != nil {
		t.Fatal(err)
	}
	if s, err := w.open().Load(t.Context()); s != nil || err != nil {
		t.Errorf("without a root: %v, %v", s != nil, err)
	}
}

// DCT: W5 and W6, a root that does not follow spoils what is kept, also where nothing else needs it.
func TestKeptRootOfAStranger(t *testing.T) {
	n, other := newRepo(), newRepo()
	w := taken(t, n, pinOf(n))
	other.Root.Version = 2
	other.Publish()
	place := w.store.Collection("fixtures", gun)
	record, err := place.Load()
	if err != nil {
		t.Fatal(err)
	}
	record.Files = append(record.Files, state.File{Name: "2.root.json", Data: other.Files()["2.root.json"]})
	if err := place.Save(*record); err != nil {
		t.Fatal(err)
	}
	if s, err := w.open().Load(t.Context()); s != nil || err != nil || len(w.events) != 1 || w.events[0].Kind != trust.EventStateDamaged {
		t.Errorf("%v, %v, events %v", s != nil, err, w.events)
	}
}

// DCT: W5, who looks in more often than a newer root is asked for does not put the asking off.
func TestProbeIsNotPutOff(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	v := w.open()
	for i, want := range []bool{true, false, true} {
		n.Asked()
		w.good(v, 1)
		if asked := slices.Contains(n.Asked(), "2.root.json"); asked != want {
			t.Errorf("refresh %d: newer root asked for: %v", i, asked)
		}
		w.now = w.now.Add(probeEvery * 2 / 3)
	}
}

// TestEventsOfASet: trust on first use is said out loud, and once; what of a set does not verify is said with that set.
func TestEventsOfASet(t *testing.T) {
	for _, tofu := range []bool{false, true} {
		n := newRepo()
		n.Publish()
		w := rig(t, n, pinOf(n))
		var first []trust.EventKind
		if tofu {
			w.pin, first = Pin{TOFU: true}, []trust.EventKind{trust.EventFirstUse}
		}
		v := w.open()
		says := func(what string, want []trust.EventKind) {
			t.Helper()
			if _, err := v.Refresh(t.Context()); err != nil {
				t.Errorf("tofu %v, %s: %v", tofu, what, err)
			}
			var got []trust.EventKind
			for _, e := range w.events {
				got = append(got, e.Kind)
			}
			if w.events = nil; !slices.Equal(got, want) {
				t.Errorf("tofu %v, %s: events %v, want %v", tofu, what, got, want)
			}
		}
		says("first", first)
		n.Next()
		says("next", nil)
		n.Delegations[0].Tamper = spoilSignature
		n.Next(n.Delegations[0])
		says("a role that does not verify", []trust.EventKind{trust.EventVerification})
	}
}
