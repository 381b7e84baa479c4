package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var checked = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func record(version int) Record {
	return Record{Checked: checked.Add(time.Duration(version) * time.Minute), Files: []File{
		{"root.json", fmt.Appendf(nil, "root %d", version)}, {"targets/releases.json", bytes.Repeat([]byte{byte(version)}, 3000)},
	}}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// saved returns a collection of which versions 1 and 2 were saved.
func saved(t *testing.T) (*Store, *Collection) {
	t.Helper()
	s := open(t, t.TempDir())
	c := s.Collection("corp", "r.example/app")
	if _, err := c.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before the first save: %v", err)
	}
	for v := 1; v <= 2; v++ {
		if err := c.Save(record(v)); err != nil {
			t.Fatal(err)
		}
	}
	return s, c
}

func check(t *testing.T, what string, got *Record, err error, version int) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	want := record(version)
	if !got.Checked.Equal(want.Checked) || len(got.Files) != 2 {
		t.Errorf("%s: %v with %d files", what, got.Checked, len(got.Files))
	}
	for i := range want.Files {
		if got.Files[i].Name != want.Files[i].Name || !bytes.Equal(got.Files[i].Data, want.Files[i].Data) {
			t.Errorf("%s: file %q differs", what, got.Files[i].Name)
		}
	}
}

func TestWhatWasSavedIsLoaded(t *testing.T) {
	s, _ := saved(t)
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "load", got, err, 2)
	if _, err := s.Collection("corp", "r.example/other").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another collection: %v", err)
	}
	if _, err := s.Collection("other", "r.example/app").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another source: %v", err)
	}
}

// TestDamage: one damaged copy costs nothing, not even a version; two are a loss that is said out loud.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"gone":      func(t *testing.T, file string) { must(t, os.Remove(file)) },
		"empty":     func(t *testing.T, file string) { must(t, os.Truncate(file, 0)) },
		"truncated": func(t *testing.T, file string) { must(t, os.Truncate(file, 2000)) },
		"zeroed": func(t *testing.T, file string) {
			i, err := os.Stat(file)
			must(t, err)
			must(t, os.WriteFile(file, make([]byte, i.Size()), 0o600))
		},
		"one bit": func(t *testing.T, file string) {
			data, err := os.ReadFile(file)
			must(t, err)
			data[len(data)/2] ^= 1
			must(t, os.WriteFile(file, data, 0o600))
		},
		"another collection's": func(t *testing.T, file string) {
			data, err := encode(99, "r.example/other", record(9))
			must(t, err)
			must(t, os.WriteFile(file, data, 0o600))
		},
		"no time": func(t *testing.T, file string) {
			data, err := encode(99, "r.example/app", record(9))
			must(t, err)
			_, archive, _ := bytes.Cut(data, []byte("\n"))
			archive = bytes.Replace(archive, []byte("2026-11-"), []byte("2026-31-"), 1)
			must(t, os.WriteFile(file, slotOf(archive), 0o600))
		},
	} {
		for _, slot := range slots {
			s, c := saved(t)
			var told []error
			s.o.Observe = func(_, _ string, err error) { told = append(told, err) }
			damage(t, filepath.Join(c.dir, slot))
			again := s.Collection("corp", "r.example/app")
			got, err := again.Load()
			check(t, name+" "+slot, got, err, 2)
			if len(told) != 1 {
				t.Errorf("%s %s: told %v", name, slot, told)
			}
			must(t, again.Save(record(3)))
			got, err = s.Collection("corp", "r.example/app").Load()
			check(t, name+" "+slot+", saved again", got, err, 3)
		}
		s, c := saved(t)
		for _, slot := range slots {
			damage(t, filepath.Join(c.dir, slot))
		}
		if _, err := s.Collection("corp", "r.example/app").Load(); !errors.Is(err, ErrLost) {
			t.Errorf("%s in both: %v, want ErrLost", name, err)
		}
	}
}

// TestOlderSlotIsNotPreferred: after a crash between the two writes of a save.
func TestOlderSlotIsNotPreferred(t *testing.T) {
	for _, slot := range slots {
		s, c := saved(t)
		old, err := encode(1, c.name, record(1))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(c.dir, slot), old, 0o600))
		got, err := s.Collection("corp", "r.example/app").Load()
		check(t, "older in "+slot, got, err, 2)
	}
}

// TestUnreadableIsNotLost: a copy that cannot be read now may be the newer one.
func TestUnreadableIsNotLost(t *testing.T) {
	s, c := saved(t)
	must(t, os.Remove(filepath.Join(c.dir, "0")))
	must(t, os.Mkdir(filepath.Join(c.dir, "0"), 0o700))
	if _, err := s.Collection("corp", "r.example/app").Load(); err == nil || errors.Is(err, ErrLost) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want the disk's own error", err)
	}
}

func TestLeftoversOfACrash(t *testing.T) {
	s, c := saved(t)
	must(t, os.WriteFile(filepath.Join(c.dir, tmpPrefix+"1"), []byte("half"), 0o600))
	must(t, os.Mkdir(filepath.Join(s.o.Dir, "corp", tmpPrefix+"2"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.o.Dir, tmpPrefix+"3"), []byte("half"), 0o600))
	must(t, s.Close())
	s = open(t, s.o.Dir)
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "after a crash", got, err, 2)
	left, err := filepath.Glob(filepath.Join(s.o.Dir, "corp", "*", tmpPrefix+"*"))
	must(t, err)
	more, err := filepath.Glob(filepath.Join(s.o.Dir, "corp", tmpPrefix+"*"))
	must(t, err)
	most, err := filepath.Glob(filepath.Join(s.o.Dir, tmpPrefix+"*"))
	must(t, err)
	if len(left)+len(more)+len(most) > 0 {
		t.Errorf("left %v %v %v", left, more, most)
	}
}

func TestTouch(t *testing.T) {
	s, c := saved(t)
	must(t, c.Touch(checked.Add(time.Hour)))
	got, err := s.Collection("corp", "r.example/app").Load()
	must(t, err)
	if !got.Checked.Equal(checked.Add(time.Hour)) {
		t.Errorf("checked %v", got.Checked)
	}
	// The clock was ahead at the save, and is right now.
	must(t, c.Touch(checked.Add(-time.Hour)))
	if got, err = s.Collection("corp", "r.example/app").Load(); err != nil || !got.Checked.Equal(checked.Add(-time.Hour)) {
		t.Errorf("checked %v, %v", got, err)
	}
	// A save ends what was noted of the one before.
	must(t, c.Save(record(3)))
	got, err = s.Collection("corp", "r.example/app").Load()
	check(t, "saved again", got, err, 3)
}

// TestTouchDamaged: PRODUCT invariant 6, a time that nobody noted does not count.
func TestTouchDamaged(t *testing.T) {
	s, c := saved(t)
	text := "2 " + checked.Add(1000*time.Hour).Format(time.RFC3339Nano)
	for what, data := range map[string]string{
		"rubbish": "rubbish", "empty": "", "no checksum": text + "\n", "another collection's": string(seal("r.example/other", text)),
		"no time": string(seal(c.name, "2 noon")), "no generation": string(seal(c.name, text[2:])),
	} {
		must(t, os.WriteFile(filepath.Join(c.dir, "checked"), []byte(data), 0o600))
		got, err := s.Collection("corp", "r.example/app").Load()
		check(t, what, got, err, 2)
	}
}

func TestFullDiskKeepsTheEarlier(t *testing.T) {
	s, c := saved(t)
	big := Record{Files: []File{{"x", make([]byte, MaxRecord)}}}
	if err := c.Save(big); err == nil {
		t.Error("a record above the limit was saved")
	}
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "load", got, err, 2)
}

// TestLock: one process writes. A second waits, and then says what is in the way; a reader needs no lock.
func TestLock(t *testing.T) {
	s, _ := saved(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Dir: s.o.Dir}); err == nil {
		t.Fatal("two writers")
	}
	reader, err := Open(ctx, Options{Dir: s.o.Dir, ReadOnly: true})
	must(t, err)
	c := reader.Collection("corp", "r.example/app")
	got, err := c.Load()
	check(t, "reader", got, err, 2)
	must(t, c.Save(record(7)))
	must(t, c.Touch(checked.Add(time.Hour)))
	got, err = c.Load()
	check(t, "reader that saved", got, err, 2)
	must(t, s.Close())
	open(t, s.o.Dir)
}

func TestWritable(t *testing.T) {
	s, _ := saved(t)
	must(t, s.Writable())
	must(t, os.RemoveAll(s.o.Dir))
	if s.Writable() == nil {
		t.Error("a folder that is gone is writable")
	}
}

func TestNamesCannotClimb(t *testing.T) {
	s := open(t, t.TempDir())
	for _, source := range []string{"..", "a/b", "", "A"} {
		c := s.Collection(source, "x")
		if _, err := c.Load(); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("source %q: load %v", source, err)
		}
		if err := c.Save(record(1)); err == nil {
			t.Errorf("source %q was saved", source)
		}
	}
	if dir := s.Collection("corp", "../../etc/passwd").dir; filepath.Dir(dir) != filepath.Join(s.o.Dir, "corp") {
		t.Errorf("collection lies in %s", dir)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReset: what was kept is moved away, and the collection is new.
func TestReset(t *testing.T) {
	s, c := saved(t)
	archive, err := c.Reset(checked)
	must(t, err)
	if _, err := s.Collection("corp", "r.example/app").Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the reset: %v", err)
	}
	if _, err := os.Stat(filepath.Join(archive, "0")); err != nil {
		t.Error(err)
	}
	if _, err := c.Reset(checked); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reset of nothing: %v", err)
	}
	must(t, c.Save(record(1)))
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "saved after the reset", got, err, 1)
	if _, err := s.Collection("..", "x").Reset(checked); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a source that climbs: %v", err)
	}
}
