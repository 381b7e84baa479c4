package cache

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A fill brings the content of one digest to disk. Its goroutine publishes how far it is; everybody else waits for that.
type fill struct {
	q      Request // of the caller who began it
	path   string
	stall  time.Duration
	ctx    context.Context // the Store's, until the fill ends
	cancel context.CancelCauseFunc
	lonely *time.Timer // runs while nobody wants it
	keep   atomic.Bool // it is marked with Keep

	seen atomic.Int64         // how many bytes readers may see, at least; -1 when it has failed
	ring atomic.Pointer[ring] // where the bytes are that the disk did not take

	mu      sync.Mutex // comes after the Store's
	callers int        // calls of Fill that wait for the origin's answer
	readers map[*follower]struct{}
	placed  bool // it has had its turn and goes on without callers
	now     progress
	ended   bool
	err     error         // why it failed
	wake    chan struct{} // closed at the next change; nil while nobody waits for one
	moved   chan struct{} // closed when a reader moves, comes or leaves; nil while nobody waits for that
	file    *os.File      // what readers read; nil until the origin has answered, and if there is no disk
	opened  bool          // somebody has read it
	closed  bool          // nothing can be read any more
}

// progress is how far a fill is.
type progress struct {
	stage   stage
	size    int64 // of the whole content, as claimed and later as verified; -1 while unknown
	written int64 // how many bytes are there
}

// stage is what is known of the content. A fill only ever goes up.
type stage uint8

const (
	asking    stage = iota // the origin has not answered, or not even been asked
	streaming              // the size is known, or known to be unknown, and bytes arrive
	verified               // all bytes are there, and they are the right ones
	complete               // they are durable under their own name
)

// visible returns how many bytes readers may see.
//
// PRODUCT: invariant 3: the last bytes are withheld until the hash is right.
func (p progress) visible() int64 {
	switch {
	case p.stage >= verified:
		return p.size
	case p.size >= 0:
		return max(0, min(p.written, p.size-step))
	}
	return max(0, p.written-step)
}

// join adds a caller.
func (f *fill) join() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers++
	f.lonely.Stop()
}

// wanted tells whether the fill goes on. The mutex is held.
func (f *fill) wanted() bool {
	return f.callers > 0 || len(f.readers) > 0 || f.ended
}

// watch gives a fill that nobody wants a while longer. The mutex is held.
func (f *fill) watch() {
	if f.placed && !f.wanted() {
		f.lonely.Reset(unread)
	}
}

// stopped returns why the fill's context has ended.
func (f *fill) stopped() error {
	return fmt.Errorf("%s: %w", f.q.Digest, context.Cause(f.ctx))
}

// sleep waits, unless the fill is stopped.
func (f *fill) sleep(pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.ctx.Done():
		return f.stopped()
	}
}

// start publishes the first progress, together with the file that readers read.
func (f *fill) start(file *os.File, p progress) {
	f.mu.Lock()
	f.file = file
	f.mu.Unlock()
	f.publish(p)
}

// publish tells everybody how far the fill is.
func (f *fill) publish(p progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = p
	f.seen.Store(p.visible())
	rouse(&f.wake)
}

// finish tells everybody that the fill has ended. Unless its content is kept, what it has got is there for as long as there
// are readers.
func (f *fill) finish(kept bool, err error) {
	f.cancel(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lonely.Stop()
	f.ended, f.err = true, err
	if err != nil {
		f.seen.Store(-1)
	}
	if kept {
		f.now.stage = complete
	}
	rouse(&f.wake)
	f.letGo()
}

// rouse wakes those who wait.
func rouse(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// waitFor returns what rouse closes.
func waitFor(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// until waits until the fill has come to where ready says yes, and returns how far that is, or why the fill failed. The end
// of ctx ends the wait with its cause.
func (f *fill) until(ctx context.Context, ready func(progress) bool) (progress, error) {
	for {
		f.mu.Lock()
		if f.err != nil || ready(f.now) {
			p, err := f.now, f.err
			f.mu.Unlock()
			return p, err
		}
		wake := waitFor(&f.wake)
		f.mu.Unlock()

		select {
		case <-wake:
		case <-ctx.Done():
			return progress{}, fmt.Errorf("%s: waiting for its origin: %w", f.q.Digest, context.Cause(ctx))
		}
	}
}

// progress returns how far the fill is.
func (f *fill) progress() progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// follow returns a reader of the fill, or nil if its content is complete. The caller closes it.
func (f *fill) follow(ctx context.Context) (*follower, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch g := f.ring.Load(); {
	case f.err != nil:
		return nil, f.err
	case f.now.stage == complete:
		return nil, nil
	case f.closed || g != nil && g.lossy():
		return nil, gone(f.q.Digest)
	}
	r := newFollower(ctx, f)
	f.readers[r] = struct{}{}
	f.opened = true
	f.lonely.Stop()
	rouse(&f.moved)
	return r, nil
}

// release takes a reader off.
func (f *fill) release(r *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	rouse(&f.moved)
	f.watch()
	f.letGo()
}

// letGo closes what is read when the fill and all its readers are done. What is not kept waits a moment for its first
// reader, who is on the way. The mutex is held.
func (f *fill) letGo() {
	if f.closed || !f.ended || len(f.readers) > 0 {
		return
	}
	if !f.opened && f.now.stage == verified {
		f.lonely.Reset(linger)
		return
	}
	f.closed = true
	if f.file != nil {
		f.file.Close()
	}
	if g := f.ring.Load(); g != nil {
		g.free()
	}
}

// readAt reads bytes that are there, from the disk or from where the disk did not take them.
func (f *fill) readAt(b []byte, at int64) (int, error) {
	if g := f.ring.Load(); g != nil {
		if at >= g.first {
			return g.readAt(b, at)
		}
		b = b[:min(int64(len(b)), g.first-at)]
	}
	n, err := f.file.ReadAt(b, at)
	if err != nil {
		err = diskError(f.q.Digest, fmt.Errorf("reading at %d: %w", at+int64(n), noEnd(err)))
	}
	return n, err
}
