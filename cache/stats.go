package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Stats are the figures of one Store.
type Stats struct {
	Bytes    int64  // content on disk; too low until the first count has ended, which takes seconds
	Pending  int64  // bytes that unfinished files take on disk
	Memory   int64  // bytes of small content in memory
	Running  int    // fills that have their turn
	Waiting  int    // fills that wait for it
	Hits     uint64 // calls of Get and Fill that found complete content
	Misses   uint64 // calls of Get and Fill that did not
	Fills    uint64 // origins asked since Open
	Resumed  uint64 // times that a broken fill was taken up again
	Failures uint64 // fills that failed since Open
	Uncached uint64 // fills that the disk would not take
	Evicted  uint64 // files removed to make room
}

// Stats returns the figures as they are now.
func (s *Store) Stats() Stats {
	return Stats{
		Bytes:    s.total.bytes(),
		Pending:  s.pending.Load(),
		Memory:   s.memory.bytes(),
		Running:  s.turns.count(),
		Waiting:  s.turns.waiting(),
		Hits:     s.hits.Load(),
		Misses:   s.misses.Load(),
		Fills:    s.begun.Load(),
		Resumed:  s.resumed.Load(),
		Failures: s.failed.Load(),
		Uncached: s.uncached.Load(),
		Evicted:  s.evicted.Load(),
	}
}

// A Usage says what is in the folder of a Store.
type Usage struct {
	Files, Bytes         int64 // all content
	KeptFiles, KeptBytes int64 // the part of it that goes last
	Unfinished           int64 // files that fills were writing, or left when their process died
	Damaged              int64 // files that were moved aside
}

// Measure looks at every file in the folder of a Store without opening the Store and without reading any; for people who
// look. A folder that does not exist is empty. The error says which parts could not be seen, or is the cause of ctx.
func Measure(ctx context.Context, dir string) (Usage, error) {
	var u Usage
	err := walk(ctx, dir, func(c content) {
		u.Files++
		u.Bytes += c.size
		if c.kept {
			u.KeptFiles++
			u.KeptBytes += c.size
		}
	})
	for _, part := range []struct {
		name string
		n    *int64
	}{{"partial", &u.Unfinished}, {"damaged", &u.Damaged}} {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(dir, part.name), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
				return nil
			}
			if err == nil && e.Type().IsRegular() && filepath.Ext(path) != lockSuffix {
				*part.n++
			}
			return err
		}))
	}
	return u, err
}

// Has tells whether there is content of the digest in the folder of a store, complete as far as its name and size tell,
// without opening the store; for people who look.
func Has(dir string, d digest.Digest) bool {
	path, err := (&Store{dir: dir}).path(d)
	if err != nil {
		return false
	}
	i, err := os.Lstat(path)
	return err == nil && i.Mode().IsRegular() && i.Size() > 0
}
