package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// allocateAhead is for how many bytes that are still to come room is made on disk at a time. Who claims a lot and sends
// little takes no more than this.
const allocateAhead = 64 << 20

// A disk is where a download puts its bytes, until it has its own name.
type disk struct {
	file      *os.File // nil if there is none
	allocated int64    // bytes that there is room for
	noRoom    bool     // room cannot be made beforehand
	pending   int64    // bytes counted as such
}

// errRing says that bytes go into memory from now on.
var errRing = errors.New("the disk does not take them")

// full tells whether an error may be mended by removing something else.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// create makes the partial file, opens it for the readers and lets the callers go on. A disk that does not take it is done
// without.
func (d *download) create() error {
	var reading *os.File
	create := func() (err error) {
		reading, err = d.openFiles()
		return err
	}
	err := create()
	if full(err) {
		err = d.store.rescue(d.ctx, step, create)
	}
	if err != nil {
		if err := d.uncache(err); err != nil {
			return err
		}
	}
	d.start(reading, d.at)
	return nil
}

// openFiles makes the partial file and opens it for reading.
func (d *download) openFiles() (reading *os.File, err error) {
	// The folder can have gone from under a running process, by somebody who empties a cache in a hurry.
	if err := os.MkdirAll(d.store.partial, 0o700); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(d.store.partial, d.q.Digest.Algorithm().String()+"-"+d.q.Digest.Encoded()+"-*")
	if err != nil {
		return nil, err
	}
	if reading, err = os.Open(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	d.disk.file = file
	return reading, nil
}

// put puts bytes on disk. Where it does not take them, room is made; where that does not help, they and all that come later
// go into memory: it returns errRing once, and is called again.
func (d *download) put(b []byte) error {
	if g := d.ring.Load(); g != nil {
		if need := g.end + int64(len(b)-len(g.buf)); need > g.first {
			var err error
			if d.grace, err = d.holdOn(need, d.grace); err != nil {
				return fmt.Errorf("%s: %w", d.q.Digest, err)
			}
		}
		g.put(b)
		return nil
	}
	write := func() error { return d.write(b) }
	err := write()
	if full(err) {
		err = d.store.rescue(d.ctx, min(allocateAhead, max(int64(len(b)), d.at.size-d.at.written)), write)
	}
	if err == nil {
		return nil
	}
	if err := d.uncache(err); err != nil {
		return err
	}
	return errRing
}

// write appends bytes to the partial file.
func (d *download) write(b []byte) error {
	s, n := d.store, int64(len(b))
	// PRODUCT: invariant 9: what is unfinished has the same bound as what is finished.
	if s.o.Size > 0 && s.pending.Load()+n > s.o.Size {
		return fmt.Errorf("unfinished content takes all of the %d bytes that there are", s.o.Size)
	}
	d.disk.reserve(d.at, n)
	if _, err := d.disk.file.WriteAt(b, d.at.written); err != nil {
		return err
	}
	s.pending.Add(n)
	d.disk.pending += n
	s.relieve()
	return nil
}

// reserve makes room on disk for n more bytes, and for more that are to come. That it cannot be made is for the write to
// find out.
func (k *disk) reserve(at progress, n int64) {
	if k.noRoom || at.size <= step || at.written+n <= k.allocated {
		return
	}
	ahead := min(at.size, max(at.written+n, k.allocated+allocateAhead)) - k.allocated
	err := allocate(k.file, k.allocated, ahead)
	for tries := 0; errors.Is(err, syscall.EINTR) && tries < 10; tries++ {
		err = allocate(k.file, k.allocated, ahead)
	}
	k.noRoom = err != nil
	k.allocated += ahead
}

// uncache makes the fill go on without the disk, for the readers it has and those who come soon.
func (d *download) uncache(why error) error {
	s := d.store
	s.uncached.Add(1)
	s.o.Observe(Event{Kind: Uncached, Digest: d.q.Digest, Err: why})
	s.mu.Lock()
	s.forget(d.fill) // who comes later would miss the beginning
	s.mu.Unlock()
	// PRODUCT: invariant 9: every queue has a limit.
	n := ringFor(d.at.size, d.at.written)
	ctx, cancel := context.WithTimeout(d.ctx, s.o.Stall)
	defer cancel()
	if err := s.rings.Acquire(ctx, n); err != nil {
		return diskError(d.q.Digest, fmt.Errorf("%w, and too much content passes through memory already", why))
	}
	at := d.at.written
	d.grace = grace
	d.ring.Store(&ring{digest: d.q.Digest, first: at, start: at, end: at, buf: make([]byte, n), leave: func() { s.rings.Release(n) }})
	return nil
}

// uncount makes the partial file count no more.
func (d *download) uncount() {
	d.store.pending.Add(-d.disk.pending)
	d.disk.pending = 0
}

// drop takes the partial file away.
func (d *download) drop() {
	d.uncount()
	if d.disk.file != nil {
		d.disk.file.Close()
		os.Remove(d.disk.file.Name())
	}
}

// commit makes verified content durable under its name, and tells whether it did. If not, its readers have it all the same.
func (d *download) commit() (kept bool) {
	defer d.drop() // after a commit there is neither an open file nor one of that name
	if d.ring.Load() != nil {
		return false
	}
	s, size := d.store, d.at.size
	// The same content may have come from another place meanwhile.
	if _, err := s.stat(d.q.Digest, d.path); err == nil {
		return true
	}
	d.uncount()
	came := s.total.come(d.path, size)
	err := commit(d.disk.file, d.path)
	came(err == nil)
	if err != nil {
		s.uncached.Add(1)
		s.o.Observe(Event{Kind: Uncached, Digest: d.q.Digest, Err: err})
		return false
	}
	now := s.o.Now()
	s.recency.forget(d.q.Digest)
	s.used(d.q.Digest, d.path, time.Time{})
	// Whoever marks it after this look finds the file.
	if d.keep.Load() && os.Chmod(d.path, keptMode) == nil {
		s.recency.keep(d.q.Digest, now, now)
	}
	s.relieve()
	return true
}
