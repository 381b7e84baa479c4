package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// What verified content cannot be given is its name: whoever reads it has it all the same.
func TestNoRoomForTheName(t *testing.T) {
	f := openFolder(t, Options{})
	f.work.Wait() // for the first count, which would come across what follows
	content := random(2 * step)
	d := digest.FromBytes(content)
	o, w := pipe(-1)
	b := f.fill(d, o)
	r := opened(t, t.Context(), b)
	// Something that no Store makes stands in the way of the last stage.
	if err := os.WriteFile(filepath.Join(f.dir, "sha256"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		w.Write(content)
		w.Close()
	}()
	f.work.Wait()
	for range 2 { // the second one opens it while the first is open
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
		r = opened(t, t.Context(), b)
	}
	if left := f.unfinished(); left != nil || b.Complete() {
		t.Errorf("complete is %t, left behind: %q", b.Complete(), left)
	}
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{Uncached}) || !errors.Is(f.events[0].Err, syscall.ENOTDIR) {
		t.Errorf("events are %v", f.events)
	}
	if got := f.Stats(); got.Bytes != 0 || got.Pending != 0 || got.Uncached != 1 || got.Failures != 0 {
		t.Errorf("stats are %+v", got)
	}
	if _, err := f.Get(d); !errors.Is(err, ErrDisk) {
		t.Errorf("Get returns %v", err)
	}
	// A disk that cannot be read does not keep anybody from the origin.
	if got, err := readAll(f.fill(d, (&source{content: content, claim: -1}).open)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or %v", err)
	}
}

func TestFolderEmptiedWhileRunning(t *testing.T) {
	f := openFolder(t, Options{})
	old := f.stored(random(step + 2))
	o, w := pipe(-1)
	running := f.fill(digest.FromString("running"), o)
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "running")
	w.Close()
	f.work.Wait()
	if got, err := readAll(running); err != nil || string(got) != "running" {
		t.Errorf("the running fill ends with %q, %v", got, err)
	}
	if _, err := f.Get(old.Digest()); err == nil {
		t.Error("Get returns what has gone")
	}
	f.stored(random(10))
	f.stored(random(step + 1))
}
