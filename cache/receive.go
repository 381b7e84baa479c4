package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// step is how much is withheld from readers until the content is verified, and how much is received at a time at first.
const step = 64 << 10

const (
	// largeStep is how much is received at a time where it comes fast.
	largeStep = 1 << 20
	// maxFast is how many fills do so.
	maxFast = 16
	// soon is how long received bytes wait for more of them before readers get them.
	soon = 4 * time.Millisecond
	// maxEmpty is how often in a row a body may return neither bytes nor an error.
	maxEmpty = 100
)

// A buffer is where a body is read to.
type buffer struct {
	b        []byte
	from, to int // received and not put away
	late     *time.Timer
	small    *[step]byte
	large    *[largeStep]byte
}

// init gives the buffer its memory; late is called when bytes have waited for long enough.
func (b *buffer) init(s *Store, late func()) {
	b.small = s.buffers.Get().(*[step]byte)
	b.b = b.small[:]
	b.late = time.AfterFunc(soon, late)
	b.late.Stop()
}

// grow makes an empty buffer large, if few are.
func (b *buffer) grow(s *Store) {
	if b.large != nil {
		return
	}
	select {
	case s.fast <- struct{}{}:
		b.large = s.large.Get().(*[largeStep]byte)
		b.b = b.large[:]
	default:
	}
}

// freeBuffer gives the buffer's memory back. What is in it is not wanted any more.
func (d *download) freeBuffer() {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, s := &d.buffer, d.store
	b.late.Stop()
	b.from, b.to = 0, 0
	s.buffers.Put(b.small)
	if b.large != nil {
		s.large.Put(b.large)
		<-s.fast
	}
}

// drain receives one body to its end. Broken says why that is not the end of the content; err ends the fill.
func (d *download) drain(a *attempt) (broken, err error) {
	defer a.end()
	d.mu.Lock()
	d.body = a
	d.mu.Unlock()
	for empty := 0; ; {
		b := d.space()
		if a.skip > 0 {
			b = b[:min(int64(len(b)), a.skip)]
		}
		n, err := a.read(b, d.store.o.Stall)
		if a.skip > 0 {
			a.skip -= int64(n)
		} else if err := d.take(n, err != nil); err != nil {
			return nil, err
		}
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty > maxEmpty {
			err = io.ErrNoProgress
		}
		switch {
		case err == io.EOF && d.ended():
			return nil, nil
		case err == io.EOF:
			return &ContentError{Want: d.q.Digest, Claimed: d.at.size, Length: d.at.written}, nil
		case err != nil:
			return originError(d.q.Digest, a.why(err)), nil
		}
	}
}

// ended tells whether what has come can be all of the content.
func (d *download) ended() bool { return d.at.size < 0 || d.at.written >= d.at.size }

// space returns where the next bytes go: as many as are to come, and one.
func (d *download) space() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.buffer.from == d.buffer.to {
		d.buffer.from, d.buffer.to = 0, 0
	}
	b := d.buffer.b[d.buffer.to:]
	if d.at.size >= 0 {
		left := d.at.size - d.at.written - int64(d.buffer.to-d.buffer.from)
		b = b[:min(int64(len(b)), left+1)]
	}
	return b
}

// take takes n bytes that were received. They are put away when they are many, the last or the first, or else soon.
func (d *download) take(n int, last bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	b := &d.buffer
	waiting := b.to > b.from
	b.to += n
	// PRODUCT: invariant 9: every body has a limit.
	length := d.at.written + int64(b.to-b.from)
	switch {
	case d.at.size >= 0 && length > d.at.size:
		return &ContentError{Want: d.q.Digest, Claimed: d.at.size, Length: length}
	case length > d.store.o.MaxBlob:
		return fmt.Errorf("%s: %w: origin sent more than %d bytes", d.q.Digest, ErrTooLarge, d.store.o.MaxBlob)
	}
	// What is many, the last or the first goes at once; the rest waits for more, and not for long.
	if full := b.to == len(b.b); full || last || length == d.at.size || d.at.written == 0 {
		b.late.Stop()
		whole := full && b.from == 0
		err := d.flush()
		if whole {
			b.grow(d.store)
		}
		return err
	}
	if n > 0 && !waiting {
		b.late.Reset(soon)
	}
	return nil
}

// flushLate puts away what has waited for more.
func (d *download) flushLate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.flush(); err != nil && d.failed == nil {
		d.failed = err
		d.body.cancel(err)
	}
}

// flush puts received bytes on disk, into the hash, and before the readers. The mutex is held.
func (d *download) flush() error {
	for b := &d.buffer; b.from < b.to; {
		part := b.b[b.from:b.to]
		if d.ring.Load() != nil {
			part = part[:min(len(part), step)]
		}
		if err := d.put(part); errors.Is(err, errRing) {
			continue // in steps
		} else if err != nil {
			return err
		}
		d.hash.Write(part)
		b.from += len(part)
		d.at.written += int64(len(part))
		if max(d.at.written, d.at.size) > Small {
			d.small = nil
		} else {
			d.small = append(d.small, part...)
		}
		d.publish(d.at)
	}
	return nil
}

// verify compares what came with what was asked for and claimed, and lets the readers have the rest of it.
func (d *download) verify() error {
	// PRODUCT: invariant 3: a complete wrong blob never leaves.
	got := sum(d.q.Digest, d.hash)
	if got != d.q.Digest || d.at.size >= 0 && d.at.size != d.at.written {
		return &ContentError{Want: d.q.Digest, Got: got, Claimed: d.at.size, Length: d.at.written}
	}
	if d.at.written <= Small {
		d.store.remember(d.q.Digest, d.path, bytes.Clone(d.small))
	}
	d.at.size = d.at.written
	d.at.stage = verified
	d.publish(d.at)
	return nil
}
