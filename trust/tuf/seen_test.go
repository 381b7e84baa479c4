package tuf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// kept returns the names of the files that are kept, those beyond the set that serves first.
func (w *world) kept() []string {
	w.t.Helper()
	r, err := w.store.Collection("site", Whole).Load()
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, f := range r.Files {
		names = append(names, f.Name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(strings.Replace(a, seenPrefix, " ", 1), strings.Replace(b, seenPrefix, " ", 1))
	})
	return names
}

// refuses runs an update that must be refused for the reason.
func refuses(t *testing.T, v trust.Verifier, want trust.Reason) {
	t.Helper()
	if _, err := v.Refresh(t.Context()); err == nil || trust.ReasonOf(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestSeen: of an update that fails, what verified is kept, what did not is not, and what serves goes on serving.
//
// TUF: sections 5.3.8, 5.4.5 and 5.5.7.
func TestSeen(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(repo *trusttest.TUF)
		want trust.Reason
		// beyond are the files that are kept beside the set.
		beyond []string
	}{
		{"a root that does not verify", func(r *trusttest.TUF) { r.Impersonate(r.Root) }, trust.RootMismatch, nil},
		{"a root that has expired", func(r *trusttest.TUF) { r.Expire(r.Root) }, trust.MetadataExpired, []string{"2.root.json"}},
		{"no timestamp", func(r *trusttest.TUF) { r.Next(r.Root); r.Remove("timestamp.json") }, trust.NoTrustData, []string{"2.root.json"}},
		{"a timestamp that does not verify", func(r *trusttest.TUF) { r.Impersonate(r.Timestamp) }, trust.ThresholdNotMet, nil},
		{"a timestamp that has expired", func(r *trusttest.TUF) { r.Expire(r.Timestamp) }, trust.MetadataExpired, nil},
		{"no snapshot", func(r *trusttest.TUF) { r.Interrupt(r.Snapshot) }, trust.SourceUnreachable, []string{"timestamp.json"}},
		{"a snapshot that does not verify", func(r *trusttest.TUF) { r.Impersonate(r.Snapshot) }, trust.ThresholdNotMet, []string{"timestamp.json"}},
		{"a snapshot that has expired", func(r *trusttest.TUF) { r.Expire(r.Snapshot) }, trust.MetadataExpired, []string{"timestamp.json"}},
		{"no targets", func(r *trusttest.TUF) { r.Interrupt(r.Targets) }, trust.SourceUnreachable, []string{"snapshot.json", "timestamp.json"}},
		{"targets that do not verify", func(r *trusttest.TUF) { r.Impersonate(r.Targets) }, trust.ThresholdNotMet, []string{"snapshot.json", "timestamp.json"}},
		{"no role, and two roots", func(r *trusttest.TUF) {
			r.RotateRoot()
			r.Publish()
			r.Next(r.Root)
			r.Interrupt(r.Delegations[0])
		}, trust.SourceUnreachable, []string{"2.root.json", "3.root.json", "snapshot.json", "timestamp.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := newRepo()
			repo.Publish()
			w := rig(t, repo)
			v := w.open()
			refreshed(t, v)
			before := w.kept()
			c.make(repo)
			for range 2 {
				refuses(t, v, c.want)
			}
			var want []string
			for _, name := range c.beyond {
				want = append(want, seenPrefix+name)
			}
			if got := w.kept(); !slices.Equal(got, append(want, before...)) {
				t.Errorf("kept %v, want %v and %v", got, want, before)
			}
			if s, err := w.open().Load(t.Context()); err != nil || says(s, app) != "good" || !s.Checked.Equal(now) || s.Versions[0].Version != 1 || s.Versions[1].Version != 1 {
				t.Errorf("restarted: %+v, %v", s, err)
			}
			if kinds := w.kinds(); len(kinds) > 0 {
				t.Errorf("events %v", kinds)
			}
		})
	}
}

// TestRevokedKeyStaysRevoked: a root that was seen is not forgotten because the files behind it did not come. Whoever hides
// it afterwards, and has a key that it revoked, gets nowhere; neither after a restart, nor where nothing was ever taken.
func TestRevokedKeyStaysRevoked(t *testing.T) {
	for _, cold := range []bool{false, true} {
		t.Run(fmt.Sprint("cold ", cold), func(t *testing.T) {
			repo := newRepo()
			repo.Publish()
			w := rig(t, repo)
			v := w.open()
			if !cold {
				refreshed(t, v)
			}
			stolen := repo.Timestamp.Keys
			repo.Timestamp.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
			repo.Next(repo.Root)
			files := repo.Files()
			repo.Remove("timestamp.json")
			refuses(t, v, trust.NoTrustData)
			repo.Serve(files)
			repo.HideRoot()
			repo.Timestamp.Signers = stolen
			repo.Root.Version--
			repo.Next()
			for range 2 {
				refuses(t, v, trust.ThresholdNotMet)
				v = w.open()
				s, err := v.Load(t.Context())
				if err != nil || (s == nil) != cold {
					t.Errorf("loaded %v, %v", s, err)
				}
			}
			repo.Root.Version++
			repo.Timestamp.Signers = nil
			repo.Next()
			if s := refreshed(t, v); says(s, app) != "good" || s.Versions[0].Version != 2 {
				t.Errorf("the honest repository: %s", says(s, app))
			}
			for _, name := range w.kept() {
				if strings.HasPrefix(name, seenPrefix) {
					t.Errorf("%s is still kept beside the set", name)
				}
			}
		})
	}
}

// TestSeenFloors: what verified in updates that failed is what later ones may not fall behind, one after the other, and
// what is fetched once is not fetched again.
func TestSeenFloors(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	old := repo.Files()
	repo.Interrupt(repo.Targets) // timestamp v2, snapshot v2
	refuses(t, v, trust.SourceUnreachable)
	later := repo.Files()
	repo.Asked()
	v = w.open()
	refuses(t, v, trust.SourceUnreachable)
	if got := repo.Asked(); !slices.Equal(got, []string{"2.root.json", "timestamp.json", "2.targets.json"}) {
		t.Errorf("asked for %v", got)
	}
	repo.Targets.Version--
	repo.Next()
	repo.Remove("3.snapshot.json") // timestamp v3
	refuses(t, v, trust.SourceUnreachable)
	for _, v := range []trust.Verifier{v, w.open()} {
		repo.Serve(later)
		refuses(t, v, trust.MetadataRollback)
		repo.Serve(old)
		refuses(t, v, trust.MetadataRollback)
	}
	// Targets v1 again, where the snapshot that was seen has v2.
	repo.Next()
	repo.Targets.Version = 1
	repo.Next()
	refuses(t, v, trust.MetadataRollback)
	repo.Next(repo.Targets)
	refreshed(t, v)
}

// TestSeenUnderAnotherPin: floors outlive a change of the pin, where nothing was taken yet as well.
func TestSeenUnderAnotherPin(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	repo.RotateRoot()
	repo.Publish()
	old := repo.Files()
	repo.Next(repo.Root)
	repo.Interrupt(repo.Snapshot)
	refuses(t, w.open(), trust.SourceUnreachable)
	repo.Serve(old)
	pin := w.pin
	for _, c := range []struct {
		name   string
		pin    []byte
		events []trust.EventKind
		want   trust.Reason
	}{
		{"the same", pin, nil, trust.MetadataRollback},
		{"a newer one", old["2.root.json"], nil, trust.MetadataRollback},
		{"a stranger's", stranger().Files()["1.root.json"], []trust.EventKind{trust.EventPinChanged}, trust.RootMismatch},
	} {
		w.pin = c.pin
		v := w.open()
		if s, err := v.Load(t.Context()); s != nil || err != nil {
			t.Errorf("%s: loaded %v, %v", c.name, s, err)
		}
		if kinds := w.kinds(); !slices.Equal(kinds, c.events) {
			t.Errorf("%s: events %v", c.name, kinds)
		}
		refuses(t, v, c.want)
	}
	// Another repository under another pin has a chain of its own, which does not go on from this one's.
	other := newRepo()
	for range 5 {
		other.Publish()
		other.Root.Version++
	}
	other.Remove("timestamp.json")
	w.source, w.pin = other, other.Files()["1.root.json"]
	refuses(t, w.open(), trust.NoTrustData)
	want := []string{seenPrefix + "1.root.json", seenPrefix + "2.root.json", seenPrefix + "3.root.json", seenPrefix + "timestamp.json"}
	if got := w.kept(); !slices.Equal(got, want) {
		t.Errorf("kept %v", got)
	}
}

// TestSeenCannotBeKept: it is said, and the update failed anyway; with the next one it is tried again.
func TestSeenCannotBeKept(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	repo.Interrupt(repo.Snapshot)
	slots, err := filepath.Glob(filepath.Join(w.dir(), "site", "*"))
	if err != nil || len(slots) != 1 {
		t.Fatalf("%v, %v", slots, err)
	}
	aside := slots[0] + ".aside"
	if err := errors.Join(os.Rename(slots[0], aside), os.WriteFile(slots[0], nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		refuses(t, v, trust.SourceUnreachable)
		if got := w.kinds(); !slices.Equal(got, []trust.EventKind{trust.EventStateDamaged}) {
			t.Errorf("events %v", got)
		}
	}
	if err := errors.Join(os.Remove(slots[0]), os.Rename(aside, slots[0])); err != nil {
		t.Fatal(err)
	}
	refuses(t, v, trust.SourceUnreachable)
	if got := w.kept(); len(w.kinds()) != 0 || got[0] != seenPrefix+"timestamp.json" {
		t.Errorf("kept %v", got)
	}
	// What is kept is not kept again.
	if err := errors.Join(os.Rename(slots[0], aside), os.WriteFile(slots[0], nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if refuses(t, v, trust.SourceUnreachable); len(w.kinds()) != 0 {
		t.Error("what has not changed is saved")
	}
}

// TestSeenDamaged: files beyond the set that were changed under a right checksum are as any other damage.
func TestSeenDamaged(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "snapshot.json"} {
		repo := newRepo()
		repo.Publish()
		w := rig(t, repo)
		refreshed(t, w.open())
		place := w.store.Collection("site", Whole)
		r, err := place.Load()
		if err != nil {
			t.Fatal(err)
		}
		r.Files = append(r.Files, r.Files[0])
		r.Files[len(r.Files)-1].Name = seenPrefix + name
		if err := place.Save(*r); err != nil {
			t.Fatal(err)
		}
		v := w.open()
		if s, err := v.Load(t.Context()); s != nil || err != nil {
			t.Errorf("%s: loaded %v, %v", name, s, err)
		}
		if got := w.kinds(); !slices.Equal(got, []trust.EventKind{trust.EventStateDamaged}) {
			t.Errorf("%s: events %v", name, got)
		}
		refreshed(t, v)
	}
}

// TestSeenIsBounded: however many large roots lead nowhere, what is kept of them can be loaded again, and what serves goes on
// serving after a restart.
//
// PRODUCT: invariant 9.
func TestSeenIsBounded(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	repo.Root.Edit = func(signed map[string]any) { signed["pad"] = strings.Repeat("x", maxRoot-16<<10) }
	most := 0
	for range 3 {
		for range 7 {
			repo.Next(repo.Root)
		}
		repo.Remove("timestamp.json")
		refuses(t, v, trust.NoTrustData)
		r, err := w.store.Collection("site", Whole).Load()
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, f := range r.Files {
			if strings.HasPrefix(f.Name, seenPrefix) {
				bytes += len(f.Data)
			}
		}
		most = max(most, bytes)
	}
	if most == 0 || most > maxSeen {
		t.Errorf("%d bytes are kept beyond the set, want some and at most %d", most, maxSeen)
	}
	v = w.open()
	if s, err := v.Load(t.Context()); err != nil || says(s, app) != "good" {
		t.Errorf("restarted: %+v, %v", s, err)
	}
	repo.Root.Edit = nil
	repo.Next(repo.Root)
	if s := refreshed(t, v); s.Versions[0].Version != 23 {
		t.Errorf("the honest repository is under root v%d", s.Versions[0].Version)
	}
}
