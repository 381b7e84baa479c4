package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestScrub(t *testing.T) {
	f := openFolder(t, Options{})
	wrong := bytes.Repeat([]byte("x"), 200)
	good, bad, zeroed := f.stored(random(3*step)), f.stored(random(200)), f.stored(random(2*step))
	if err := errors.Join(os.WriteFile(bad.path, wrong, 0o600), os.Truncate(zeroed.path, 0), os.Truncate(zeroed.path, 2*step)); err != nil {
		t.Fatal(err)
	}
	got, err := f.Scrub(t.Context(), 1<<40)
	if err != nil || got != (Scrubbed{Files: 3, Bytes: 5*step + 200, Damaged: 2}) {
		t.Errorf("scrubbed %+v, %v", got, err)
	}
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{Damaged, Damaged}) {
		t.Errorf("events are %v", f.events)
	}
	if u, err := Measure(t.Context(), f.dir); err != nil || u.Damaged != 2 || u.Files != 1 || u.Bytes != f.Stats().Bytes {
		t.Errorf("usage is %+v, %v", u, err)
	}
	aside, err := filepath.Glob(filepath.Join(f.dir, "damaged", "*", bad.Digest().Encoded()))
	if err != nil || len(aside) != 1 {
		t.Fatalf("moved aside: %q, %v", aside, err)
	}
	if content, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(content, wrong) {
		t.Errorf("what was moved aside has changed: %v", err)
	}
	f.stored(random(2 * step)) // fetched again
	if got, err := f.Scrub(t.Context(), 1<<40); err != nil || got.Damaged != 0 || got.Files != 2 {
		t.Errorf("scrubbed %+v, %v", got, err)
	}
	if _, err := f.Get(good.Digest()); err != nil {
		t.Error(err)
	}
	if _, err := f.Scrub(t.Context(), 0); err == nil {
		t.Error("Scrub without a rate succeeds")
	}
}

func TestScrubKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		f.stored(random(1_500_000))
		f.stored(random(2_500_000))
		began := time.Now()
		if got, err := f.Scrub(t.Context(), 100_000); err != nil || got.Files != 2 || time.Since(began) != 40*time.Second {
			t.Errorf("scrubbed %+v in %s, %v", got, time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began = time.Now()
		if got, err := f.Scrub(ctx, 100_000); !errors.Is(err, context.DeadlineExceeded) || got.Files != 0 || time.Since(began) != 5*time.Second {
			t.Errorf("scrubbed %+v in %s, %v", got, time.Since(began), err)
		}
	})
}

// What is moved aside is bounded: what is too much is removed.
func TestDamagedIsBounded(t *testing.T) {
	f := openFolder(t, Options{})
	for i := range maxDamaged + 4 {
		b := f.stored([]byte(fmt.Sprint("content ", i)))
		f.memory.clear()
		if err := os.WriteFile(b.path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.Scrub(t.Context(), 1<<40); err != nil || got.Damaged != maxDamaged+4 {
		t.Errorf("scrubbed %+v, %v", got, err)
	}
	u, err := Measure(t.Context(), f.dir)
	if err != nil || u.Damaged != maxDamaged || u.Files != 0 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	f = openFolder(t, Options{})
	large := f.stored(random(1000))
	if err := os.Truncate(large.path, maxDamagedSize+1); err != nil {
		t.Fatal(err)
	}
	f.damaged(large.Digest(), large.path, 1000, "too large to keep")
	if u, err := Measure(t.Context(), f.dir); err != nil || u != (Usage{}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
}

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	if u, err := Measure(t.Context(), filepath.Join(dir, "none")); err != nil || u != (Usage{}) {
		t.Errorf("usage of nothing is %+v, %v", u, err)
	}
	leave(t, dir, "17.lock", "17/sha256-ab-1", "17/sha256-cd-2")
	if u, err := Measure(t.Context(), dir); err != nil || u != (Usage{Unfinished: 2}) {
		t.Errorf("usage is %+v, %v", u, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sha256"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Measure(t.Context(), dir); err == nil {
		t.Error("what cannot be seen is not said")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.MkdirAll(filepath.Join(dir, "sha512", "ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Measure(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What may not have come to the disk when a process died is read before it is used; the rest is not.
func TestDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		died   bool
		damage func(path string) error
		served bool // wrong content is not noticed without reading it
	}{
		"zeroed":              {true, func(path string) error { return errors.Join(os.Truncate(path, 0), os.Truncate(path, shelved)) }, false},
		"cut":                 {true, func(path string) error { return os.Truncate(path, shelved-1) }, false},
		"emptied":             {true, func(path string) error { return os.Truncate(path, 0) }, false},
		"gone":                {true, os.Remove, false},
		"whole":               {true, func(string) error { return nil }, true},
		"closed, then zeroed": {false, func(path string) error { return errors.Join(os.Truncate(path, 0), os.Truncate(path, shelved)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := openFolder(t, Options{Dir: dir})
			b := first.stored(shelfContent(1))
			if err := first.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(b.path); err != nil {
				t.Fatal(err)
			}
			if c.died {
				leave(t, dir, "17.lock")
			}
			second := openFolder(t, Options{Dir: dir})
			for range 2 {
				if _, err := second.Get(b.Digest()); (err == nil) != c.served {
					t.Errorf("Get returns %v", err)
				}
			}
			if c.served && c.died {
				info, err := os.Stat(b.path)
				if err != nil || second.doubted(info) {
					t.Errorf("what is proven is doubted again, or %v", err)
				}
			}
			if !c.served {
				if got, err := readAll(second.stored(shelfContent(1))); err != nil || !bytes.Equal(got, shelfContent(1)) {
					t.Errorf("content differs, or %v", err)
				}
			}
		})
	}
}

// What was doubted when a process died is doubted until it is proven, however many Stores open meanwhile and use none of it:
// a command, or a restart.
func TestDoubtLasts(t *testing.T) {
	dir := t.TempDir()
	first := openFolder(t, Options{Dir: dir})
	wrong, right := first.stored(shelfContent(1)), first.stored(shelfContent(2))
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Truncate(wrong.path, 0), os.Truncate(wrong.path, shelved)); err != nil {
		t.Fatal(err)
	}
	leave(t, dir, "17.lock")
	for range 2 {
		if err := openFolder(t, Options{Dir: dir}).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f := openFolder(t, Options{Dir: dir})
	if _, err := f.Get(wrong.Digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrong content: %v", err)
	}
	if _, err := f.Get(right.Digest()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(right.path); err != nil || f.doubted(info) {
		t.Errorf("what is proven is doubted again, or %v", err)
	}
	// Deaths are remembered up to a number, and none is forgotten over a later one.
	for range maxDoubts + 3 {
		f.suspect([]time.Time{time.Now()})
	}
	if again := readDoubts(filepath.Join(dir, "doubts")); len(again) != maxDoubts || !again[0].from.Equal(f.doubts[0].from) || again[0].from.After(time.Now().Add(-doubtBefore)) {
		t.Errorf("%d deaths are remembered, the first from %v on", len(again), again[0].from)
	}
}

// PRODUCT: invariant 3. Of too many deaths the earliest are taken together, also where the clock was set back between them.
func TestDoubtsAreTakenTogether(t *testing.T) {
	f := openFolder(t, Options{Dir: t.TempDir()})
	now := time.Now()
	early, late := window{now.Add(-3 * time.Hour), now.Add(-2 * time.Hour)}, window{now.Add(-time.Hour), now}
	for _, first := range [][]window{{early, late}, {late, early}} {
		f.doubts = append(first, make([]window, maxDoubts-len(first))...)
		if err := f.suspect([]time.Time{now}); err != nil {
			t.Fatal(err)
		}
		if got := f.doubts[0]; len(f.doubts) != maxDoubts || got != (window{early.from, late.to}) {
			t.Errorf("%v are taken together as %v", first, got)
		}
	}
}

// A process that ran for long and died makes nobody doubt all that it brought; nor is what is proven doubted again, where the
// clock was ahead when it died.
func TestDoubtIsNotOfAWholeRun(t *testing.T) {
	for _, died := range []time.Time{time.Now(), time.Now().AddDate(4, 0, 0)} {
		dir := t.TempDir()
		leave(t, dir, "17/sha256-ab-1", "17.lock")
		partial, start := filepath.Join(dir, "partial"), time.Now().AddDate(0, -1, 0)
		if err := errors.Join(os.Chtimes(filepath.Join(partial, "17.lock"), start, start), os.Chtimes(filepath.Join(partial, "17"), died, died)); err != nil {
			t.Fatal(err)
		}
		if f := openFolder(t, Options{Dir: dir}); len(f.doubts) != 1 || !f.doubts[0].from.Equal(died.Add(-doubtBefore)) {
			t.Errorf("died %v: doubts %v", died, f.doubts)
		}
	}
}

// torn returns content of a store in the folder that a power cut has made zeros of, though the store was closed in order.
func torn(t *testing.T, dir string) *Blob {
	t.Helper()
	f := openFolder(t, Options{Dir: dir})
	b := f.stored(shelfContent(1))
	if err := errors.Join(f.Close(t.Context()), os.Truncate(b.path, 0), os.Truncate(b.path, shelved)); err != nil {
		t.Fatal(err)
	}
	return b
}

// PRODUCT: invariant 3. Nothing is served by who cannot learn what is to be doubted.
func TestDoubtsThatCannotBeLearnt(t *testing.T) {
	for _, inTheWay := range []string{"turn/is a folder", "partial/16.lock/is a folder"} {
		dir := t.TempDir()
		file := filepath.Join(dir, inTheWay)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), filepath.Dir(file)) {
			t.Errorf("%s: %v, %v", inTheWay, s, err)
		}
	}
}

// PRODUCT: invariant 3. Where what is doubted cannot be read, everything is.
func TestDoubtsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	wrong := torn(t, dir)
	if err := os.Symlink("doubts", filepath.Join(dir, "doubts")); err != nil { // nobody can read that
		t.Fatal(err)
	}
	if _, err := openFolder(t, Options{Dir: dir}).Get(wrong.Digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrong content: %v", err)
	}
}

// What is doubted is noted before the traces of the dead go. Where it cannot be, as on a full disk, they stay.
//
// PRODUCT: invariant 3.
func TestDoubtIsNotedFirst(t *testing.T) {
	dir := t.TempDir()
	wrong := torn(t, dir)
	leave(t, dir, "17.lock", "17/sha256-ab-1")
	traces := func() (found []string) {
		for _, name := range []string{"17", "17.lock"} {
			if _, err := os.Stat(filepath.Join(dir, "partial", name)); err == nil {
				found = append(found, name)
			}
		}
		return found
	}
	inTheWay := filepath.Join(dir, "doubts")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	second := openFolder(t, Options{Dir: dir})
	if got := traces(); !slices.Equal(got, []string{"17.lock"}) || len(second.doubts) == 0 {
		t.Errorf("what cannot be noted is doubted %d times, and leaves %q", len(second.doubts), got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "doubts?*")); left != nil {
		t.Errorf("left: %q", left)
	}
	if err := errors.Join(second.Close(t.Context()), os.Remove(inTheWay)); err != nil {
		t.Fatal(err)
	}
	if err := sweep(filepath.Join(dir, "partial"), func([]time.Time) error {
		if got := traces(); !slices.Equal(got, []string{"17.lock"}) {
			t.Errorf("only %q is there when what is doubted is noted", got)
		}
		return fs.ErrPermission
	}); err != nil {
		t.Fatal(err)
	}
	third := openFolder(t, Options{Dir: dir})
	if got := traces(); got != nil {
		t.Errorf("%q is there after what is doubted was noted", got)
	}
	if _, err := third.Get(wrong.Digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrong content: %v", err)
	}
}

// PRODUCT: invariant 3. A death that could not be noted is not forgotten over a second one, long before or after it.
func TestDoubtOfTwoDeaths(t *testing.T) {
	for _, c := range []struct {
		lock  string
		apart time.Duration
	}{{"16.lock", time.Hour}, {"18.lock", time.Hour}, {"16.lock", -time.Hour}, {"18.lock", -time.Hour}} {
		dir := t.TempDir()
		wrong := torn(t, dir)
		leave(t, dir, "17.lock") // died about now
		partial := filepath.Join(dir, "partial")
		if err := sweep(partial, func([]time.Time) error { return fs.ErrPermission }); err != nil {
			t.Fatal(err)
		}
		leave(t, dir, c.lock)
		at := time.Now().Add(c.apart)
		if err := os.Chtimes(filepath.Join(partial, c.lock), at, at); err != nil {
			t.Fatal(err)
		}
		next := openFolder(t, Options{Dir: dir})
		if _, err := next.Get(wrong.Digest()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: wrong content is served: %v; doubts %v", c, err, next.doubts)
		}
		if len(next.doubts) != 1 || next.doubts[0].to.Before(at) || next.doubts[0].from.After(at.Add(-doubtBefore)) {
			t.Errorf("%v: doubts %v", c, next.doubts)
		}
	}
}

// PRODUCT: invariant 3. Traces whose lock cannot be had are traces all the same, and do not hide those of others.
func TestDoubtOfWhatCannotBeLocked(t *testing.T) {
	dir := t.TempDir()
	wrong := torn(t, dir)
	leave(t, dir, "16/sha256-ab-1", "16.lock/is a folder", "17.lock", "17/sha256-ab-1")
	f := openFolder(t, Options{})
	partial := filepath.Join(dir, "partial")
	if err := sweep(partial, f.suspect); err == nil {
		t.Error("what could not be locked was not said")
	}
	if left, err := os.ReadDir(partial); err != nil || len(left) != 2 || left[0].Name() != "16" || left[1].Name() != "16.lock" {
		t.Errorf("left %v, %v", left, err)
	}
	info, err := os.Stat(wrong.path)
	if err != nil || !f.doubted(info) {
		t.Errorf("nothing is doubted: %v", err)
	}
	alone := openFolder(t, Options{})
	if err := sweep(partial, alone.suspect); err == nil || !alone.doubted(info) {
		t.Errorf("nothing is doubted for what cannot be locked: %v", err)
	}
}

func TestDoubtIsForWhatChangedOfLate(t *testing.T) {
	now := time.Now()
	w := doubtAfter(now.Add(-time.Hour))
	f := openFolder(t, Options{})
	b := f.stored([]byte("x"))
	info, err := os.Stat(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if w.to.Before(now) || !w.from.Equal(now.Add(-time.Hour-doubtBefore)) {
		t.Errorf("doubt is from %s to %s", w.from, w.to)
	}
	for _, c := range []struct {
		from, to time.Duration // around the change of the file
		want     bool
	}{{-time.Hour, time.Hour, true}, {-time.Hour, -time.Minute, false}, {time.Minute, time.Hour, false}} {
		at := changed(info)
		if w := (window{at.Add(c.from), at.Add(c.to)}); w.doubts(info) != c.want {
			t.Errorf("%+v: doubted is %t", c, !c.want)
		}
	}
	if f.doubted(info) {
		t.Error("doubt without a death")
	}
}

// The clock after a power cut may be behind what the dead process did, as that of a bubble is.
func TestDoubtAfterTheClockWasSetBack(t *testing.T) {
	dir := t.TempDir()
	wrong := torn(t, dir)
	leave(t, dir, "17.lock")
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Dir: dir})
		if _, err := f.Get(wrong.Digest()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("wrong content: %v", err)
		}
	})
}

func TestProofFindsItGone(t *testing.T) {
	f := openFolder(t, Options{})
	f.doubts = []window{{time.Now().Add(-time.Hour), time.Now().Add(time.Hour)}}
	if err := f.prove(digest.FromString("x"), filepath.Join(f.dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	b := f.stored(random(10))
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.prove(b.Digest(), b.path); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
