package cache

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
)

// A follower reads the content of a fill while it grows.
type follower struct {
	fill   *fill
	offset int64
	at     atomic.Int64    // where it was when it read last
	ctx    context.Context // bounds every Read; ends with fs.ErrClosed when the follower is closed
	cancel context.CancelCauseFunc
	close  func() // once
}

// newFollower returns a reader at the beginning of f's content.
func newFollower(ctx context.Context, f *fill) *follower {
	r := &follower{fill: f}
	r.close = sync.OnceFunc(func() { f.release(r) })
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return r
}

// Read returns bytes that may leave, and waits until there is one.
func (r *follower) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if r.ctx.Err() != nil {
		return 0, fmt.Errorf("%s: %w", r.fill.q.Digest, context.Cause(r.ctx))
	}
	r.move(r.offset)
	seen := r.fill.seen.Load()
	if seen <= r.offset {
		p, err := r.fill.until(r.ctx, func(p progress) bool {
			return p.stage >= verified || p.visible() > r.offset
		})
		if err != nil {
			return 0, err
		}
		if seen = p.visible(); seen <= r.offset {
			return 0, io.EOF
		}
	}
	n, err := r.fill.readAt(b[:min(int64(len(b)), seen-r.offset)], r.offset)
	r.offset += int64(n)
	r.move(r.offset)
	return n, err
}

// move says where the reader is, to those who wait for it.
func (r *follower) move(at int64) {
	r.at.Store(at)
	if r.fill.ring.Load() == nil {
		return
	}
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	rouse(&r.fill.moved)
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
			return 0, fmt.Errorf("%s: seek from the end: the size is not known yet", r.fill.q.Digest)
		}
		offset += size
	default:
		return 0, fmt.Errorf("%s: seek: %w", r.fill.q.Digest, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("%s: seek to before the beginning: %w", r.fill.q.Digest, fs.ErrInvalid)
	}
	r.offset = offset
	return offset, nil
}

// Close lets the content go and ends a Read that waits.
func (r *follower) Close() error {
	r.cancel(fs.ErrClosed)
	r.close()
	return nil
}
