package cache

import (
	"context"
	"io/fs"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// maxRings is how many bytes of content pass through memory at a time because the disk does not take them.
	maxRings = 32 << 20
	// wholeRing is how much content does so without losing any of it before its fill and readers are done.
	wholeRing = 4 << 20
	// smallRing is what is held of larger content.
	smallRing = 1 << 20
	// linger is how long content waits for a first reader when there is no room for more of it.
	linger = 5 * time.Second
	// grace is how long, in all, those who read slowly may hold up those who read fast.
	grace = 30 * time.Second
)

// A ring holds the last bytes of content that the disk did not take.
type ring struct {
	digest digest.Digest
	first  int64 // where it took over from the disk
	leave  func()

	mu         sync.Mutex
	buf        []byte
	start, end int64 // of what it holds
}

// ringFor returns how many bytes a ring has for content of which size, or -1, bytes in all are to come and at are there.
func ringFor(size, at int64) int64 {
	switch {
	case size < 0:
		return wholeRing
	case size-at <= wholeRing:
		return max(1, size-at)
	}
	return smallRing
}

// put takes at most as many bytes as it can hold; the oldest go.
func (g *ring) put(b []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := int(g.end-g.first) % len(g.buf)
	n := copy(g.buf[at:], b)
	copy(g.buf, b[n:])
	g.end += int64(len(b))
	g.start = max(g.start, g.end-int64(len(g.buf)))
}

// readAt reads from what it holds, or returns ErrGone.
func (g *ring) readAt(b []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		return 0, fs.ErrClosed
	}
	if off < g.start {
		return 0, gone(g.digest)
	}
	b = b[:min(int64(len(b)), g.end-off)]
	at := int(off-g.first) % len(g.buf)
	n := copy(b, g.buf[at:])
	n += copy(b[n:], g.buf)
	return n, nil
}

// lossy tells whether bytes are gone.
func (g *ring) lossy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.start > g.first
}

// free lets go of the memory.
func (g *ring) free() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = nil
	g.leave()
}

// pace returns where the slowest and the fastest reader are, -1 if there is none, and what tells that this has changed.
func (f *fill) pace() (slowest, fastest int64, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slowest, fastest = -1, -1
	for r := range f.readers {
		at := r.at.Load()
		if slowest < 0 || at < slowest {
			slowest = at
		}
		fastest = max(fastest, at)
	}
	return slowest, fastest, waitFor(&f.moved)
}

// holdOn waits until the readers do not need what is before offset any more. The fastest is waited for as long as it moves;
// the others for as long as is left of their grace, of which the rest is returned.
func (f *fill) holdOn(offset int64, left time.Duration) (time.Duration, error) {
	for {
		slowest, fastest, moved := f.pace()
		limit, late := f.stall, errStuck
		switch {
		case slowest >= offset:
			return left, nil
		case fastest < 0:
			limit, late = linger, errUnread
		case fastest >= offset:
			limit, late = left, nil
		}
		began := time.Now()
		expired, err := f.waitTill(moved, limit)
		if err != nil {
			return left, err
		}
		if fastest >= offset {
			left -= time.Since(began)
		}
		if expired {
			return left, late
		}
	}
}

// waitTill waits for moved, up to limit, and tells whether that has expired.
func (f *fill) waitTill(moved <-chan struct{}, limit time.Duration) (expired bool, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-moved:
		return false, nil
	case <-timer.C:
		return true, nil
	case <-f.ctx.Done():
		return false, context.Cause(f.ctx)
	}
}
