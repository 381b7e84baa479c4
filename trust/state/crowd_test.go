package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// PRODUCT: invariant 9, a source that has something for every name fills no disk: so many are kept, and those go on.
func TestCollectionsAreBounded(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	defer s.Close()
	parent := filepath.Join(dir, "site")
	must(t, os.Mkdir(parent, 0o700))
	for i := range maxCollections - 2 {
		f, err := os.Create(filepath.Join(parent, strconv.Itoa(i)))
		must(t, err)
		must(t, f.Close())
	}
	r := Record{Files: []File{{Name: "1.root.json", Data: []byte("{}")}}}
	// What could not be kept, as on a full disk, does not count, however often it is tried.
	for range 3 {
		if err := s.kept.add(parent, func() error { return fs.ErrPermission }); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v", err)
		}
	}
	// But what is there counts, whatever was said of it.
	late := filepath.Join(parent, "late")
	if err := s.kept.add(parent, func() error { return errors.Join(os.Mkdir(late, 0o700), fs.ErrPermission) }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	must(t, s.Collection("site", "a").Save(r))
	if err := s.Collection("site", "b").Save(r); err == nil {
		t.Error("what is there does not count")
	}
	must(t, os.Remove(late))
	must(t, s.Close())
	s, err = Open(t.Context(), Options{Dir: dir})
	must(t, err)
	defer s.Close()
	// Nor is anything added to what cannot be counted.
	if err := s.kept.add(filepath.Join(parent, "0"), func() error { return nil }); err == nil {
		t.Error("a folder that is none has room")
	}
	for _, name := range []string{"a", "b", "a"} {
		must(t, s.Collection("site", name).Save(r))
	}
	err = s.Collection("site", "c").Save(r)
	if err == nil || !strings.Contains(err.Error(), parent+" has 32768 collections") {
		t.Errorf("one too many: %v", err)
	}
	must(t, s.Collection("site", "b").Save(r))
	must(t, s.Collection("other", "c").Save(r))
}
