package tuf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestPins: what becomes of what was verified when the config names another root.
func TestPins(t *testing.T) {
	rotated := func(r *trusttest.TUF) { r.RotateRoot(); r.Publish(); r.RotateRoot(); r.Next() }
	for _, c := range []struct {
		name string
		// change returns the new pin, and may change what is published.
		change func(w *world) []byte
		events []trust.EventKind
		loaded bool
		want   trust.Reason // of the refresh
	}{
		{"the same root", func(w *world) []byte { return w.pin }, nil, true, ""},
		{"a newer root of the chain", func(w *world) []byte { return w.repo.Files()["2.root.json"] }, nil, true, ""},
		{"the newest root", func(w *world) []byte { return w.repo.Files()["3.root.json"] }, nil, true, ""},
		{"a newer root, and the source goes back", func(w *world) []byte {
			w.repo.Timestamp.Version = 1
			w.repo.Publish()
			return w.repo.Files()["2.root.json"]
		}, nil, true, trust.MetadataRollback},
		{"the root of another repository", func(w *world) []byte {
			other := newRepo()
			other.Publish()
			w.source = other
			return other.Files()["1.root.json"]
		}, []trust.EventKind{trust.EventPinChanged}, false, ""},
		{"the root of another repository, the source stays", func(*world) []byte { return stranger().Files()["1.root.json"] },
			[]trust.EventKind{trust.EventPinChanged}, false, trust.RootMismatch},
		{"another repository with the same timestamp key, older", func(w *world) []byte {
			other := newRepo()
			other.Timestamp.Keys, other.Timestamp.Version = w.repo.Timestamp.Keys, 1
			other.Publish()
			w.source = other
			return other.Files()["1.root.json"]
		}, []trust.EventKind{trust.EventPinChanged}, false, trust.MetadataRollback},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := newRepo()
			repo.Publish()
			w := rig(t, repo)
			rotated(repo)
			refreshed(t, w.open())
			w.pin = c.change(w)
			v := w.open()
			s, err := v.Load(t.Context())
			if err != nil || (s != nil) != c.loaded {
				t.Errorf("loaded %v, %v", s != nil, err)
			}
			if got := w.kinds(); !slices.Equal(got, c.events) {
				t.Errorf("events %v, want %v", got, c.events)
			}
			if s, err = v.Refresh(t.Context()); (err == nil) != (c.want == "") || err != nil && trust.ReasonOf(err) != c.want {
				t.Fatalf("%v, want %s", err, c.want)
			}
			if err == nil && says(s, app) != "good" {
				t.Errorf("then %s", says(s, app))
			}
		})
	}
}

// TestOlderPin: who pins an older root again is not taken back to it by a source that hides the newer ones.
func TestOlderPin(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	first := repo.Files()["1.root.json"]
	for range 2 {
		repo.Root.Version++ // by the same key
		repo.Next()
	}
	w := rig(t, repo)
	w.pin = repo.Files()["3.root.json"]
	refreshed(t, w.open())
	w.pin = first
	repo.Remove("2.root.json")
	v := w.open()
	if _, err := v.Refresh(t.Context()); err == nil || trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("hidden: %v", err)
	}
	// What was verified before leads on from where the source stops.
	repo.Root.Version--
	repo.Publish()
	repo.Remove("3.root.json")
	if s, err := v.Refresh(t.Context()); err != nil || s.Versions[0].Version != 3 {
		t.Errorf("shown: %v", err)
	}
}

// TestState: what is lost, what is damaged, and what cannot be kept.
func TestState(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	slots, err := filepath.Glob(filepath.Join(w.dir(), "site", "*", "[01]"))
	if err != nil || len(slots) != 2 {
		t.Fatalf("%v, %v", slots, err)
	}
	for _, slot := range slots {
		if err := os.WriteFile(slot, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v = w.open()
	if s, err := v.Load(t.Context()); s != nil || err != nil {
		t.Errorf("damaged: %v, %v", s, err)
	}
	if got := w.kinds(); !slices.Equal(got, []trust.EventKind{trust.EventStateDamaged}) {
		t.Errorf("events %v", got)
	}
	if got := says(refreshed(t, v), app); got != "good" {
		t.Errorf("from the pin: %s", got)
	}
	dir := w.dir()
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	repo.Next()
	if _, err := v.Refresh(t.Context()); err == nil || trust.ReasonOf(err) != trust.StateUnavailable {
		t.Errorf("cannot keep: %v", err)
	}
}

// TestStateThatCannotBeRead: what cannot be read now is neither lost nor damaged, and nothing begins again without it.
//
// PRODUCT: invariant 6.
func TestStateThatCannotBeRead(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	refreshed(t, w.open())
	slot, err := filepath.Glob(filepath.Join(w.dir(), "site", "*", "0"))
	if err != nil || len(slot) != 1 {
		t.Fatalf("%v, %v", slot, err)
	}
	aside := slot[0] + ".aside"
	if err := errors.Join(os.Rename(slot[0], aside), os.Mkdir(slot[0], 0o700)); err != nil {
		t.Fatal(err)
	}
	v := w.open()
	for range 2 {
		if s, err := v.Load(t.Context()); s != nil || err == nil || trust.ReasonOf(err) != trust.StateUnavailable {
			t.Errorf("loaded %v, %v", s, err)
		}
		refuses(t, v, trust.StateUnavailable)
	}
	if got := w.kinds(); len(got) > 0 {
		t.Errorf("events %v", got)
	}
	if err := errors.Join(os.Remove(slot[0]), os.Rename(aside, slot[0])); err != nil {
		t.Fatal(err)
	}
	if s, err := v.Load(t.Context()); err != nil || says(s, app) != "good" {
		t.Errorf("there again: %v", err)
	}
}

// dir returns the state folder.
func (w *world) dir() string {
	f, err := filepath.Glob(filepath.Join(filepath.Dir(w.t.TempDir()), "*", "lock"))
	if err != nil || len(f) != 1 {
		w.t.Fatalf("%v, %v", f, err)
	}
	return filepath.Dir(f[0])
}

// TestPinMissing: without a root nothing is trusted, and as soon as there is one it is.
func TestPinMissing(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	good := w.pin
	f := w.format()
	f.o.Root = func(string) ([]byte, error) {
		if w.pin == nil {
			return nil, fs.ErrNotExist
		}
		return w.pin, nil
	}
	v := f.Open(Whole)
	for _, pin := range []string{"", "{}", "null", "<html>", `{"signed":{"_type":"root"},"signatures":[]}`, strings.Replace(string(good), `"sig":"`, `"sig":"00`, 1)} {
		if w.pin = []byte(pin); pin == "" {
			w.pin = nil
		}
		if _, err := v.Refresh(t.Context()); err == nil || trust.ReasonOf(err) != trust.RootNotPinned {
			t.Errorf("%.20q: %v", pin, err)
		}
		if _, err := f.Inspect(t.Context(), Whole); err != nil {
			t.Errorf("%.20q: %v", pin, err)
		}
	}
	w.pin = good
	if got := says(refreshed(t, v), app); got != "good" {
		t.Error(got)
	}
	// After a restart what was kept waits for its root: the pin has not changed.
	w.pin, v = nil, f.Open(Whole)
	if s, err := v.Load(t.Context()); s != nil || err == nil || trust.ReasonOf(err) != trust.RootNotPinned {
		t.Errorf("restarted without a root: %v, %v", s, err)
	}
	w.pin = good
	if s, err := v.Load(t.Context()); err != nil || says(s, app) != "good" {
		t.Errorf("restarted, and the root is back: %v", err)
	}
	if got := w.kinds(); len(got) > 0 {
		t.Errorf("events %v", got)
	}
}

// TestInspect: what a source has, and whether the pin leads there.
func TestInspect(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	f, err := w.format().Inspect(t.Context(), Whole)
	if err != nil || f.Refused != nil || f.Broken != nil || f.Tags != 1 || len(f.Versions) != 6 || !slices.Equal(f.Keys, []string{repo.Root.Keys[0].TUFID()}) {
		t.Errorf("%+v, %v", f, err)
	}
	repo.Remove("1.releases.json")
	w.pin = stranger().Files()["1.root.json"]
	f, err = w.format().Inspect(t.Context(), Whole)
	if err != nil || trust.ReasonOf(f.Refused) != trust.ThresholdNotMet || f.Broken == nil || len(f.Versions) != 5 {
		t.Errorf("another pin: %+v, %v", f, err)
	}
	repo.Serve(nil)
	if _, err = w.format().Inspect(t.Context(), Whole); err == nil {
		t.Error("nothing there, and no error")
	}
	repo.Fail(errors.New("down"))
	if _, err = w.format().Inspect(t.Context(), Whole); trust.ReasonOf(err) != trust.SourceUnreachable {
		t.Errorf("down: %v", err)
	}
}
