package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestWhatCannotBeContentIsTakenAway(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"empty file":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"empty folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"full folder":  func(path string) error { return os.MkdirAll(filepath.Join(path, "data"), 0o700) },
		"pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":         func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t, Options{})
			content := random(100)
			path, err := f.path(digest.FromBytes(content))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Get(digest.FromBytes(content)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Get returns %v", err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			if kinds := f.reported(); !slices.Equal(kinds, []EventKind{Damaged}) {
				t.Errorf("events are %v", f.events)
			}
			moved, err := filepath.Glob(filepath.Join(f.dir, "damaged", "*", "*", "data"))
			if err != nil || len(moved) == 1 != (name == "full folder") {
				t.Errorf("moved away: %q, %v", moved, err)
			}
			f.stored(content)
		})
	}
}

func TestNoWayToTakeAway(t *testing.T) {
	f := openFolder(t, Options{})
	d := digest.FromString("x")
	path, err := f.path(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "damaged"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get returns %v", err)
	}
	if f.work.Wait(); len(f.events) != 1 || !errors.Is(f.events[0].Err, syscall.ENOTDIR) {
		t.Errorf("events are %v", f.events)
	}
}

func TestTakenAwayByAnother(t *testing.T) {
	f := openFolder(t, Options{})
	d := digest.FromString("x")
	path, err := f.path(d)
	if err != nil {
		t.Fatal(err)
	}
	f.damaged(d, path, 100, "found by two at once")
	if kinds := f.reported(); kinds != nil {
		t.Errorf("events are %v", f.events)
	}
}

func TestEmptyContentIsContent(t *testing.T) {
	f := openFolder(t, Options{})
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := a.FromString("")
		f.fill(d, (&source{claim: 0}).open)
		f.work.Wait()
		b, err := f.Get(d)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Bytes(t.Context(), 0); err != nil || len(got) != 0 {
			t.Errorf("%s: Bytes returns %d bytes, %v", a, len(got), err)
		}
	}
}

func TestContentChangesAfterGet(t *testing.T) {
	// A folder may have the very size of the content that it stands for.
	folder, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	size := folder.Size()
	content := random(int(size))
	for name, c := range map[string]struct {
		change func(path string) error
		events []EventKind
	}{
		"gone":    {os.Remove, nil},
		"cut":     {func(path string) error { return os.Truncate(path, size-1) }, []EventKind{Damaged}},
		"emptied": {func(path string) error { return os.Truncate(path, 0) }, []EventKind{Damaged}},
		"grown":   {func(path string) error { return os.Truncate(path, size+1) }, []EventKind{Damaged}},
		"folder":  {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, []EventKind{Damaged}},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t, Options{})
			filled := f.stored(content)
			f.memory.clear()
			found, err := f.Get(filled.Digest())
			if err != nil {
				t.Fatal(err)
			}
			f.memory.clear()
			if err := c.change(found.path); err != nil {
				t.Fatal(err)
			}
			for _, b := range []*Blob{found, filled} {
				if _, err := b.Open(t.Context()); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrGone) {
					t.Errorf("Open returns %v", err)
				}
			}
			if kinds := f.reported(); !slices.Equal(kinds, c.events) {
				t.Errorf("events are %v", f.events)
			}
			if got := f.stored(content).Size(); got != size {
				t.Errorf("filled again, it has %d bytes", got)
			}
			if got, err := readAll(filled); err != nil || !bytes.Equal(got, content) {
				t.Errorf("the first blob reads %d bytes of the new content, %v", len(got), err)
			}
		})
	}
}
