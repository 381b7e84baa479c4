package cache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// PRODUCT: invariant 3. Who opens while another has the locks of the dead, and has not yet noted what is to be doubted, waits
// for that.
func TestOpenWaitsForItsTurn(t *testing.T) {
	dir := t.TempDir()
	wrong := torn(t, dir)
	leave(t, dir, "17.lock")
	turn, err := os.OpenFile(filepath.Join(dir, "turn"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := lockFile(turn, syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Store)
	go func() {
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	for waits := false; !waits; {
		select {
		case <-opened:
			t.Fatal("it did not wait")
		default:
			waits = waiting(t, turn)
		}
	}
	first := &Store{dir: dir}
	if err := sweep(filepath.Join(dir, "partial"), first.suspect); err != nil {
		t.Fatal(err)
	}
	turn.Close()
	s := <-opened
	if s == nil {
		return
	}
	defer s.Close(t.Context())
	info, err := os.Stat(wrong.path)
	if err != nil || !s.doubted(info) {
		t.Errorf("what the other noted is not doubted: %v, %v", s.doubts, err)
	}
}

// waiting tells whether somebody waits for the lock of the file.
func waiting(t *testing.T, f *os.File) bool {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Appendf(nil, ":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for line := range bytes.Lines(locks) {
		if bytes.Contains(line, []byte("->")) && bytes.Contains(line, inode) {
			return true
		}
	}
	return false
}
