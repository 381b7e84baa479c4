package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// leave puts files into a folder as a process leaves them that was killed.
func leave(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, "partial", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, random(10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRemovesWhatADeadProcessLeft(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, "17.lock", "17/sha256-ab-1", "17/sha256-cd-2", // killed while it filled
		"18.lock",        // killed before it made its folder
		"19/sha256-ef-3", // its lock removed by hand
		"stray")
	f := openFolder(t, Options{Dir: dir})
	left, err := os.ReadDir(filepath.Join(dir, "partial"))
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v; want the new Store's own two", left, err)
	}
	f.stored(random(10))
}

func TestTwoProcessesAreHarmless(t *testing.T) {
	dir := t.TempDir()
	content := random(3 * step)
	d := digest.FromBytes(content)
	draining := openFolder(t, Options{Dir: dir})
	o, w := pipe(-1)
	b := draining.fill(d, o)
	w.Write(content[:step])

	// The next one starts, fills the same, and stops, while the first is still at it.
	starting := openFolder(t, Options{Dir: dir})
	if _, err := starting.Get(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get returns %v while another process fills", err)
	}
	starting.stored(content)
	if err := starting.Close(t.Context()); err != nil {
		t.Error(err)
	}

	w.Write(content[step:])
	w.Close()
	if got, err := readAll(b); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or %v", err)
	}
	draining.work.Wait()
	if got, err := readAll(b); err != nil || !bytes.Equal(got, content) || !b.Complete() {
		t.Errorf("when complete, content differs, or %v", err)
	}
}

func TestManyStartAtOnce(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, "17.lock", "17/sha256-ab-1")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 4 {
				s, err := Open(Options{Dir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(s.partial); err != nil {
					t.Errorf("an open Store lost its folder: %v", err)
				}
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(dir, "partial")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestLockOfAnotherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "17.lock")
	lock, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if held, err := holds(lock); held || err != nil {
		t.Errorf("holds returns %t, %v for a lock file that has lost its name to another", held, err)
	}
}
