package cache

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestFullDisk(t *testing.T) {
	// The kernel refuses to let a file grow beyond this, as it would on a full disk.
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Skip(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)

	f := openFolder(t, Options{})
	content := random(4 * step)
	o, w := pipe(4 * step)
	b := f.fill(digest.FromBytes(content), o)
	r, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Write(content[:step])
	early := make([]byte, step)
	if _, err := io.ReadFull(r, early); err != nil || !bytes.Equal(early, content[:step]) {
		t.Errorf("early bytes differ, or %v", err)
	}

	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: step + 10, Max: before.Max}); err != nil {
		t.Skip(err)
	}
	go w.Write(content[step:])
	_, err = r.Read(early)
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("the reader got %v", err)
	}
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{FillFailed}) {
		t.Errorf("events are %v", f.events)
	}
	if left := f.unfinished(); left != nil {
		t.Errorf("left behind: %q", left)
	}
	f.stored(content)
}

func TestNoRoomForTheName(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(2 * step)
	d := digest.FromBytes(content)
	o, w := pipe(-1)
	b := f.fill(d, o)
	// Something that no Store makes stands in the way of the last stage.
	if err := os.WriteFile(filepath.Join(f.dir, "sha256"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		w.Write(content)
		w.Close()
	}()
	f.work.Wait()
	if _, err := b.Open(t.Context()); !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Open returns %v", err)
	}
	if left := f.unfinished(); left != nil || b.Complete() {
		t.Errorf("complete is %t, left behind: %q", b.Complete(), left)
	}
	if got := f.Stats(); got.Bytes != 0 {
		t.Errorf("stats are %+v", got)
	}
	if _, err := f.Get(d); !errors.Is(err, ErrDisk) {
		t.Errorf("Get returns %v", err)
	}
}

func TestFolderEmptiedWhileRunning(t *testing.T) {
	f := openFolder(t, Options{})
	old := f.stored(random(10))
	o, w := pipe(-1)
	running := f.fill(digest.FromString("running"), o)
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "running")
	w.Close()
	f.work.Wait()
	if _, err := readAll(running); !errors.Is(err, ErrDisk) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the running fill ends with %v", err)
	}
	if _, err := f.Get(old.Digest()); err == nil {
		t.Error("Get returns what has gone")
	}
	f.stored(random(10))
	f.stored(random(step + 1))
}
