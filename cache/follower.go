package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// A follower reads the content of a fill while it grows.
type follower struct {
	fill   *fill
	file   *os.File // shared with the fill's other readers
	offset int64
	ctx    context.Context // bounds every Read; ends with fs.ErrClosed when the follower is closed
	cancel context.CancelCauseFunc
	close  func() // lets the file go, once
}

// newFollower returns a reader at the beginning of f's content. It takes over one use of the file.
func newFollower(ctx context.Context, f *fill, file *os.File) *follower {
	r := &follower{fill: f, file: file, close: sync.OnceFunc(f.letGo)}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r
}

// Read returns bytes that may leave, and waits until there is one.
func (r *follower) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if r.ctx.Err() != nil {
		return 0, fmt.Errorf("%s: %w", r.fill.digest, context.Cause(r.ctx))
	}
	p, err := r.fill.until(r.ctx, func(p progress) bool {
		return p.stage >= verified || p.visible() > r.offset
	})
	if err != nil {
		return 0, err
	}
	ready := p.visible() - r.offset
	if ready <= 0 {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(b[:min(int64(len(b)), ready)], r.offset)
	r.offset += int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // these bytes were written, and their loss must not pass for the end of the content
	}
	if err != nil {
		return n, diskError(r.fill.digest, fmt.Errorf("reading at %d: %w", r.offset, err))
	}
	return n, nil
}

// Seek sets where the next Read begins. It does not wait.
func (r *follower) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		size := r.fill.progress().size
		if size < 0 {
			return 0, fmt.Errorf("%s: seek from the end: the size is not known yet", r.fill.digest)
		}
		offset += size
	default:
		return 0, fmt.Errorf("%s: seek: %w", r.fill.digest, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("%s: seek to before the beginning: %w", r.fill.digest, fs.ErrInvalid)
	}
	r.offset = offset
	return offset, nil
}

// Close lets the file go and ends a Read that waits.
func (r *follower) Close() error {
	r.cancel(fs.ErrClosed)
	r.close()
	return nil
}
