package cache

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// A content is one file as a walk sees it.
type content struct {
	digest digest.Digest
	path   string
	size   int64
	used   time.Time // as the file says
	kept   bool
}

// walk calls visit for all content in a folder. It looks at every file once and reads none. Folders that cannot be read are
// left out, and returned as one error; so is the cause of ctx, which ends the walk.
func walk(ctx context.Context, dir string, visit func(content)) error {
	var failed []error
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		root := filepath.Join(dir, algorithm.String())
		folders, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
		for _, folder := range folders {
			if err := walkFolder(ctx, root, folder.Name(), visit); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return errors.Join(failed...)
}

// walkFolder walks over one folder of an algorithm.
func walkFolder(ctx context.Context, root, name string, visit func(content)) error {
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return err
	}
	defer f.Close()
	for ctx.Err() == nil {
		// A few names at a time, so that a folder of any size costs no memory.
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			d := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Base(root)), e.Name())
			if _, _, err := split(d); err != nil {
				continue // not a name that a Store gives
			}
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				visit(content{d, root + "/" + name + "/" + e.Name(), info.Size(), info.ModTime(), info.Mode() == keptMode})
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

// survey walks over the Store's folder and counts it anew. The walking mutex is held. Folders that cannot be read are
// reported. It tells whether it came to its end.
func (s *Store) survey(ctx context.Context, visit func(content)) (whole bool) {
	s.total.begin()
	err := walk(ctx, s.dir, func(c content) {
		s.total.found(c.path, c.size)
		visit(c)
	})
	whole = ctx.Err() == nil
	s.total.end(whole)
	if err != nil && whole {
		s.o.Observe(Event{Kind: CountFailed, Err: err})
	}
	return whole
}

// count makes the first count.
func (s *Store) count() {
	s.walking.Lock()
	s.survey(s.ctx, func(content) {})
	s.walking.Unlock()
	s.relieve()
}
