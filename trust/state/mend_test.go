package state

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMend: what a load finds in one slot alone is in both afterwards, so that the loss of that slot brings nothing older
// back. PRODUCT: invariant 6.
func TestMend(t *testing.T) {
	older, err := encode(1, "r.example/app", record(1))
	must(t, err)
	for name, spoil := range map[string]func(file string) error{
		"a crash between the slots": func(file string) error { return os.WriteFile(file, older, 0o600) },
		"damage":                    func(file string) error { return os.Truncate(file, 100) },
		"loss":                      os.Remove,
	} {
		for i, slot := range slots {
			s, c := saved(t)
			must(t, spoil(filepath.Join(c.dir, slot)))
			spoilt, _ := os.ReadFile(filepath.Join(c.dir, slot))
			reader, err := Open(t.Context(), Options{Dir: s.o.Dir, ReadOnly: true})
			must(t, err)
			got, err := reader.Collection("corp", "r.example/app").Load()
			check(t, name+" in "+slot+", read only", got, err, 2)
			if data, _ := os.ReadFile(filepath.Join(c.dir, slot)); !bytes.Equal(data, spoilt) {
				t.Errorf("%s in %s: a reader has written", name, slot)
			}
			got, err = s.Collection("corp", "r.example/app").Load()
			check(t, name+" in "+slot, got, err, 2)
			must(t, os.Truncate(filepath.Join(c.dir, slots[1-i]), 0))
			got, err = s.Collection("corp", "r.example/app").Load()
			check(t, name+" in "+slot+", then the other is lost", got, err, 2)
		}
	}
}

// PRODUCT: invariant 6, a record that reads but cannot be written again serves, nothing else is put in the place of its
// other copy, and that it has none is said; where both are whole there is nothing to say.
func TestMendWithoutSpelling(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range []File{{namePart, []byte("3\n2026-11-22T12:03:00Z\nr.example/app\n")}, {"dossiér?", []byte("x")}} {
		must(t, w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: int64(len(f.Data)), Format: tar.FormatPAX}))
		_, err := w.Write(f.Data)
		must(t, err)
	}
	must(t, w.Close())
	// The writer makes no file whose name is that of a folder, so another letter stands in for the slash.
	data := slotOf(bytes.ReplaceAll(archive.Bytes(), []byte("iér?"), []byte("iér/")))
	s, c := saved(t)
	told := 0
	s.o.Observe = func(string, string, error) { told++ }
	for _, slot := range slots {
		must(t, os.WriteFile(filepath.Join(c.dir, slot), data, 0o600))
	}
	if r, err := c.Load(); err != nil || len(r.Files) != 1 || told != 0 {
		t.Fatalf("both: %+v, %v, told %d times", r, err, told)
	}
	must(t, os.Remove(filepath.Join(c.dir, "1")))
	if r, err := c.Load(); err != nil || len(r.Files) != 1 || told != 2 {
		t.Errorf("one: %+v, %v, told %d times, want of the loss and of what stands in the way", r, err, told)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was put in its place: %v", err)
	}
}

// TestHalfASave: a save that failed half way shares no number with the next one, whose first slot therefore counts.
func TestHalfASave(t *testing.T) {
	s, c := saved(t)
	must(t, os.Remove(filepath.Join(c.dir, "1")))
	must(t, os.MkdirAll(filepath.Join(c.dir, "1", "in the way"), 0o700))
	if err := c.Save(record(3)); err == nil {
		t.Fatal("saved over a folder")
	}
	half, err := os.ReadFile(filepath.Join(c.dir, "0"))
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(c.dir, "1")))
	must(t, c.Save(record(4)))
	must(t, os.WriteFile(filepath.Join(c.dir, "0"), half, 0o600))
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "a later save in the second slot", got, err, 4)
}

// TestTouchedIsSealed: a time that was not noted for this very record says nothing about it.
func TestTouchedIsSealed(t *testing.T) {
	late := checked.Add(time.Hour)
	s, c := saved(t)
	other := s.Collection("corp", "r.example/other")
	must(t, other.Save(record(1)))
	must(t, other.Save(record(2)))
	must(t, other.Touch(late))
	foreign, err := os.ReadFile(filepath.Join(other.dir, "checked"))
	must(t, err)
	must(t, c.Touch(late))
	own, err := os.ReadFile(filepath.Join(c.dir, "checked"))
	must(t, err)
	for name, tt := range map[string]struct {
		content string
		told    int
	}{
		"of another collection": {string(foreign), 1},
		"a bare time":           {late.Format(time.RFC3339Nano), 1},
		"changed":               {strings.Replace(string(own), "T13", "T14", 1), 1},
		"empty":                 {"", 1},
		"of another record":     {string(seal(c.name, "1 "+late.Format(time.RFC3339Nano))), 0},
	} {
		must(t, os.WriteFile(filepath.Join(c.dir, "checked"), []byte(tt.content), 0o600))
		told := 0
		s.o.Observe = func(string, string, error) { told++ }
		got, err := s.Collection("corp", "r.example/app").Load()
		check(t, name, got, err, 2)
		if told != tt.told {
			t.Errorf("%s: told %d times", name, told)
		}
	}
}

// TestWaiting: who has to wait is told at once for whom.
func TestWaiting(t *testing.T) {
	s, _ := saved(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	var told []string
	_, err := Open(ctx, Options{Dir: s.o.Dir, Waiting: func(holder string) {
		told = append(told, holder)
		time.AfterFunc(250*time.Millisecond, func() { cancel(errors.New("enough")) })
	}})
	host, _ := os.Hostname()
	want := fmt.Sprintf("process %d on %s", os.Getpid(), host)
	if len(told) != 1 || told[0] != want || !strings.HasSuffix(fmt.Sprint(err), "in use by "+want+", stop the running gateway first: enough") {
		t.Errorf("told %q, %v", told, err)
	}
	must(t, os.WriteFile(filepath.Join(s.o.Dir, "lock"), []byte("\x1b[2J process"), 0o600))
	if _, err := Open(ctx, Options{Dir: s.o.Dir}); !strings.Contains(fmt.Sprint(err), "in use by another process, ") {
		t.Errorf("a lock that nobody signed: %v", err)
	}
}

// TestProbeLeftovers: what a crash left of the question whether the folder can be written to is removed too.
func TestProbeLeftovers(t *testing.T) {
	s, _ := saved(t)
	must(t, s.Close())
	left := filepath.Join(s.o.Dir, tmpPrefix+"1")
	must(t, os.WriteFile(left, []byte("pro"), 0o600))
	open(t, s.o.Dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}
