package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// Scrubbed says what a scrub has read.
type Scrubbed struct {
	Files, Bytes int64 // that were read
	Damaged      int64 // files that were not what their names say
}

// Scrub reads all content and hashes it, at so many bytes a second at most; a rate below 1 is refused. What is damaged is
// moved aside and reported, so that the next Fill fetches it again. The error is the cause of ctx, or says what could not be
// read.
func (s *Store) Scrub(ctx context.Context, rate int64) (Scrubbed, error) {
	if rate < 1 {
		return Scrubbed{}, fmt.Errorf("scrub: a rate of %d bytes a second", rate)
	}
	var sum Scrubbed
	var failed error
	began := time.Now()
	pace := func(n int64) {
		sum.Bytes += n
		due := time.Duration(float64(sum.Bytes) / float64(rate) * float64(time.Second))
		select {
		case <-time.After(due - time.Since(began)):
		case <-ctx.Done():
		}
	}
	err := walk(ctx, s.dir, func(c content) {
		ok, err := hashes(ctx, c.digest, c.path, pace)
		switch {
		case ctx.Err() != nil || errors.Is(err, fs.ErrNotExist):
			return
		case err != nil:
			failed = errors.Join(failed, diskError(c.digest, err))
			return
		case !ok:
			sum.Damaged++
			s.damaged(c.digest, c.path, c.size, "other bytes than were verified")
		}
		sum.Files++
	})
	return sum, errors.Join(err, failed)
}

// hashes tells whether the file at path has the digest, and tells read of the bytes it has read.
func hashes(ctx context.Context, d digest.Digest, path string, read func(int64)) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	h := newHash(d)
	for {
		n, err := io.CopyN(h, file, largeStep)
		read(n)
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return sum(d, h) == d, nil
		case err != nil:
			return false, err
		}
	}
}

// prove reads doubtful content of which not all may have come to the disk, and tells whether it is what its name says. It is
// not doubtful any more then, or it is gone.
func (s *Store) prove(d digest.Digest, path string) error {
	s.proving.Lock()
	defer s.proving.Unlock()
	info, err := os.Lstat(path)
	if err == nil && !s.doubted(info) {
		return nil // another call was first
	}
	ok := false
	if err == nil {
		ok, err = hashes(s.ctx, d, path, func(int64) {})
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(d)
	case err != nil && s.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", d, ErrClosed)
	case err != nil:
		return diskError(d, err)
	case !ok:
		s.damaged(d, path, info.Size(), "did not survive the death of a process")
		return missing(d)
	}
	// The same time as before; what counts is that the file has changed. Where it cannot, it is proven again.
	_ = os.Chtimes(path, time.Time{}, info.ModTime())
	return nil
}
