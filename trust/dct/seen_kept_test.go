package dct

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
)

// TestSeenCannotBeKept: it is said, and held in memory meanwhile; with the next update it is tried again.
func TestSeenCannotBeKept(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	v := w.open()
	w.good(v, 1)
	w.now = w.now.Add(probeEvery)
	steal, _ := revoke(n)
	n.Remove("timestamp.json")
	dir := filepath.Dir(w.slots()[0])
	aside := dir + ".aside"
	if err := errors.Join(os.Rename(dir, aside), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	w.refuses(v, trust.NoTrustData)
	steal()
	w.refuses(v, trust.ThresholdNotMet)
	if len(w.events) != 2 || w.events[0].Kind != trust.EventStateDamaged {
		t.Errorf("events %v", w.events)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(aside, dir)); err != nil {
		t.Fatal(err)
	}
	w.refuses(v, trust.ThresholdNotMet)
	if got := w.kept(); !slices.Equal(got, []string{"2.root"}) {
		t.Errorf("kept %v", got)
	}
}

// TestSeenDamaged: roots beyond the set that are not what they were, under a right checksum, are as any other damage; with
// none, what is kept is read as ever.
func TestSeenDamaged(t *testing.T) {
	for _, cold := range []bool{false, true} {
		n := newRepo()
		n.Publish()
		w := rig(t, n, pinOf(n))
		if !cold {
			w.good(w.open(), 1)
		}
		rotate(n)
		n.Publish()
		rotate(n)
		n.Next()
		w.now = w.now.Add(probeEvery)
		files := n.Files()
		n.Remove("timestamp.json")
		w.refuses(w.open(), trust.NoTrustData)
		place := w.store.Collection("fixtures", gun)
		record, err := place.Load()
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range record.Files {
			if f.Name != seenPrefix+"2.root" {
				continue
			}
			for what, change := range map[string]func(r *state.Record){
				"spoilt":  func(r *state.Record) { r.Files[i].Data = spoilSignature(f.Data) },
				"missing": func(r *state.Record) { r.Files = slices.Delete(r.Files, i, i+1) },
				"twice":   func(r *state.Record) { r.Files[i+1].Data = f.Data },
			} {
				r := state.Record{Checked: record.Checked, Files: slices.Clone(record.Files)}
				change(&r)
				if err := place.Save(r); err != nil {
					t.Fatal(err)
				}
				w.events = nil
				if s, err := w.open().Load(t.Context()); s != nil || err != nil || len(w.events) != 1 || w.events[0].Kind != trust.EventStateDamaged {
					t.Errorf("cold %v, %s: loaded %v, %v, events %v", cold, what, s, err, w.events)
				}
			}
			w.refuses(w.open(), trust.NoTrustData) // nothing of it is in hand
			n.Serve(files)
			w.good(w.open(), 3)
		}
		if got := w.kept(); len(got) > 0 {
			t.Errorf("cold %v: kept %v", cold, got)
		}
	}
}

// PRODUCT: invariant 9, however many roots come without the rest, so many bytes of them are kept.
func TestSeenIsBounded(t *testing.T) {
	roots := make([]*root, 20)
	for i := range roots {
		roots[i] = &root{document: &document{raw: make([]byte, maxRoot)}}
	}
	for served, want := range map[int]int{0: maxSeen / maxRoot, 5: 5 + maxSeen/maxRoot, 15: 20, 20: 20} {
		if got := len(bounded(roots, served)); got != want {
			t.Errorf("%d of which %d serve: %d are remembered, want %d", len(roots), served, got, want)
		}
	}
}
