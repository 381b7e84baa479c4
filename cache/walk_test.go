package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestFirstCount(t *testing.T) {
	dir := t.TempDir()
	var want int64
	for i := range 700 { // more than one look at a folder
		name := fmt.Sprintf("%02x%062x", i%2, i)
		path := filepath.Join(dir, "sha256", name[:2], name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		// Holes that would take very long to read.
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1<<30+int64(i)); err != nil {
			t.Fatal(err)
		}
		want += 1<<30 + int64(i)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "sha256/00/folder"), 0o700), os.Symlink("x", filepath.Join(dir, "sha256/00/link"))); err != nil {
		t.Fatal(err)
	}
	leave(t, dir, "17/sha256-ab-1")
	f := openFolder(t, Options{Dir: dir})
	f.fill(digest.SHA512.FromString("x"), (&source{content: []byte("x"), claim: 1}).open)
	f.work.Wait()
	if got := f.Stats().Bytes; got != want+1 || f.total.fresh != nil {
		t.Errorf("%d bytes are counted, want %d; remembering %v", got, want+1, f.total.fresh)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	again := openFolder(t, Options{Dir: dir})
	if again.work.Wait(); again.Stats().Bytes != want+1 {
		t.Errorf("%d bytes are counted later, want %d", again.Stats().Bytes, want+1)
	}
}

func TestCountWhileContentComes(t *testing.T) {
	var l ledger
	l.come("before", 5)(true)
	l.begin()
	l.found("old", 1)
	l.come("new", 10)(true)
	l.found("new", 10) // the walk comes across what was filled since
	l.found("other", 100)
	if got := l.bytes(); got != 15 {
		t.Errorf("%d bytes are counted during a walk, want 15", got)
	}
	l.end(true)
	if got := l.bytes(); got != 111 || l.fresh != nil {
		t.Errorf("%d bytes are counted, want 111, remembering %v", got, l.fresh)
	}
	l.begin()
	l.end(false)
	l.come("late", 900)(true)
	if got := l.bytes(); got != 1011 {
		t.Errorf("%d bytes are counted after half a walk, want 1011", got)
	}
	kept, lost := l.come("kept", 10), l.come("lost", 20)
	l.begin()
	l.found("kept", 10) // has its name by now
	kept(true)
	lost(false)
	l.end(true)
	if got := l.bytes(); got != 10 || len(l.coming) != 0 {
		t.Errorf("%d bytes are counted, want 10; coming %v", got, l.coming)
	}
	l.leave("gone", 2000)
	if got := l.bytes(); got != 0 {
		t.Errorf("%d bytes are counted, want 0", got)
	}
}

// Content can go before those who brought it say that it came, and come to the same path again.
func TestCountWhileContentGoes(t *testing.T) {
	var l ledger
	check := func(when string, want int64) {
		t.Helper()
		l.begin()
		l.end(true)
		if got := l.bytes(); got != want {
			t.Errorf("%s: %d bytes are counted, want %d", when, got, want)
		}
	}
	first := l.come("p", 10)
	l.leave("p", 10)
	check("gone before it came", 0)
	second := l.come("p", 10)
	first(true)
	check("the next one is coming", 10)
	second(false)
	check("and did not come", 0)
	l.begin()
	l.found("q", 10)
	l.end(true)
	l.leave("q", 10)()
	if got := l.bytes(); got != 10 {
		t.Errorf("what stayed: %d bytes are counted, want 10", got)
	}
}

func TestCloseEndsTheFirstCount(t *testing.T) {
	f := openFolder(t, Options{})
	b := f.stored(random(10))
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.count()
	if f.Stats().Bytes != b.Size() {
		t.Errorf("%d bytes are counted, want the 10 from before", f.Stats().Bytes)
	}
}

func TestFirstCountReportsWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sha256/ab", "sha512"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := openFolder(t, Options{Dir: dir})
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{CountFailed}) {
		t.Errorf("events are %v", f.events)
	}
}
