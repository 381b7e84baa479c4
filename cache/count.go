package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
)

// A ledger adds up the bytes of content on disk, while a first count of what was there already may still be running.
type ledger struct {
	mu    sync.Mutex
	sum   int64
	fresh map[string]struct{} // paths that are not the count's business any more; nil when it has ended
}

// newLedger returns a ledger whose first count is about to run.
func newLedger() ledger {
	return ledger{fresh: make(map[string]struct{})}
}

// add accounts for content that came to path or, with a negative size, went from there.
func (l *ledger) add(path string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum += size
	if l.fresh != nil {
		l.fresh[path] = struct{}{}
	}
}

// found accounts for content that the first count came across, unless add was there first.
func (l *ledger) found(path string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.fresh[path]; !ok {
		l.sum += size
	}
}

// counted ends the first count.
func (l *ledger) counted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = nil
}

// bytes returns the sum. Content that goes while the first count runs may briefly count for less than nothing.
func (l *ledger) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.sum, 0)
}

// count makes the first count: it looks at every file once and reads none. Folders that cannot be read are reported.
func (s *Store) count() {
	defer s.work.Done()
	defer s.total.counted()
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		root := filepath.Join(s.dir, algorithm.String())
		folders, err := os.ReadDir(root)
		s.uncounted(err)
		for _, folder := range folders {
			s.uncounted(s.countFolder(filepath.Join(root, folder.Name())))
		}
	}
}

// countFolder counts the content in one ALGORITHM/ab.
func (s *Store) countFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	for s.ctx.Err() == nil {
		// A few names at a time, so that a folder of any size costs no memory.
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				s.total.found(filepath.Join(folder, e.Name()), info.Size())
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uncounted reports why a part of the folder could not be counted. Nothing there is nothing to count.
func (s *Store) uncounted(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.observe(Event{Kind: CountFailed, Err: err})
	}
}
