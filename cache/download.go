package cache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"
	"time"
)

// attempts is how many times in a row a broken body is taken up again without progress.
const attempts = 6

// A download is the part of a fill that only its own goroutine touches, and the timer that flushes what it has received.
type download struct {
	*fill
	store   *Store
	turn    *turn         // nil while it has none
	waits   time.Duration // that its origin has demanded
	refused bool          // its origin has refused to begin in the middle

	mu     sync.Mutex // held while received bytes are put away
	hash   hash.Hash  // of what is put away
	at     progress   // as published last
	buffer buffer
	small  []byte // all content so far, unless it is large
	disk   disk
	grace  time.Duration
	body   *attempt
	failed error // why bytes could not be put away
}

// An attempt is one body of an origin, under a context of its own.
type attempt struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stop    func() bool // tells once that the body is still to be closed
	silence *time.Timer // ends it when the origin is silent for too long
	size    int64       // of the whole content, as it claims
	skip    int64       // bytes to leave out, which are there already
}

// errSilent is the reason of an attempt that was ended because nothing came.
type errSilent time.Duration

// Error implements error.
func (e errSilent) Error() string { return fmt.Sprintf("origin sent nothing for %s", time.Duration(e)) }

// takeTurn waits for the fill's turn.
func (d *download) takeTurn() error {
	turn, err := d.store.turns.take(d.ctx, d.q.From, d.q.Who)
	if err != nil {
		return d.stopped()
	}
	d.turn = turn
	return nil
}

// giveTurn gives the turn back.
func (d *download) giveTurn() {
	if d.turn != nil {
		d.store.turns.give(d.turn)
		d.turn = nil
	}
}

// run brings the content and publishes how far it is, up to verified. It tells whether the content is kept.
func (d *download) run() (kept bool, err error) {
	// An earlier fill may have ended after the caller's look at the disk and before it looked for a running one.
	if info, err := d.store.stat(d.q.Digest, d.path); err == nil {
		d.publish(progress{size: info.Size()})
		return true, nil
	}
	d.store.begun.Add(1)
	a, err := d.open(0)
	if err != nil {
		return false, err
	}
	d.at.size, d.at.stage = a.size, streaming
	if err := d.receive(a); err != nil {
		d.drop()
		return false, err
	}
	return d.commit(), nil
}

// receive receives all of the content, from as many bodies as it takes, and verifies it.
func (d *download) receive(a *attempt) error {
	if err := d.create(); err != nil {
		a.end()
		return err
	}
	d.buffer.init(d.store, d.flushLate)
	defer d.freeBuffer()
	var broken error
	for tries := 0; ; {
		before := d.at.written
		if a != nil {
			var err error
			if broken, err = d.drain(a); err != nil {
				return err
			}
			if broken == nil {
				return d.verify()
			}
		}
		if d.progressed(before) {
			tries = 0
		}
		if tries++; errors.As(broken, new(errSilent)) {
			tries += attempts / 2
		}
		if tries > attempts {
			return broken
		}
		if err := d.sleep(min(d.store.o.Backoff<<(tries-1), maxBackoff)); err != nil {
			return err
		}
		d.store.resumed.Add(1)
		a, broken = d.again()
	}
}

// progressed tells whether a body has brought so much that it was worth while: a step, or a hundredth of the content. No
// origin keeps a fill busy for ever with less.
func (d *download) progressed(before int64) bool {
	n := d.at.written - before
	return n >= step || n > 0 && d.at.size >= 0 && n >= d.at.size/100
}

// again asks the origin for the rest, or for everything again if it has just said that it cannot begin in the middle.
func (d *download) again() (*attempt, error) {
	offset := d.at.written
	if d.refused {
		offset = 0
	}
	a, err := d.open(offset)
	d.refused = offset > 0 && errors.Is(err, fs.ErrInvalid)
	switch {
	case err != nil:
		return nil, err
	case a.size >= 0 && d.at.size >= 0 && a.size != d.at.size:
		a.end()
		return nil, originError(d.q.Digest, fmt.Errorf("claims %d bytes, where it had claimed %d", a.size, d.at.size))
	}
	a.skip = d.at.written - offset
	return a, nil
}

// open asks the origin, and waits if that tells it to. Others have its turn meanwhile.
func (d *download) open(offset int64) (*attempt, error) {
	for {
		a, err := d.ask(offset)
		pause := told(err)
		if pause == 0 {
			return a, err
		}
		d.store.setbacks.tell(d.q.Scope, d.store.o.Now(), pause, err)
		if d.waits += pause; d.waits > patience {
			return nil, err
		}
		d.giveTurn()
		if err := d.sleep(pause); err != nil {
			return nil, err
		}
		if err := d.takeTurn(); err != nil {
			return nil, err
		}
	}
}

// ask calls the origin and checks what it claims.
func (d *download) ask(offset int64) (*attempt, error) {
	a := &attempt{}
	a.ctx, a.cancel = context.WithCancelCause(d.ctx)
	// PRODUCT: invariant 9: every wait has a limit.
	stall := d.store.o.Stall
	a.silence = time.AfterFunc(stall, func() { a.cancel(errSilent(stall)) })
	body, size, err := d.q.Origin(a.ctx, offset)
	a.silence.Stop()
	if err != nil {
		return nil, originError(d.q.Digest, a.why(err))
	}
	a.ReadCloser, a.size = body, size
	a.stop = context.AfterFunc(a.ctx, func() { body.Close() }) // so that a Read that hangs comes back
	// PRODUCT: invariant 9: every body has a limit.
	switch {
	case size < -1:
		err = &ContentError{Want: d.q.Digest, Claimed: size}
	case size > d.store.o.MaxBlob:
		err = fmt.Errorf("%s: %w: origin claims %d bytes, the limit is %d", d.q.Digest, ErrTooLarge, size, d.store.o.MaxBlob)
	}
	if err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

// why ends an attempt that failed with err, and returns the reason.
func (a *attempt) why(err error) error {
	var silent errSilent
	if errors.As(context.Cause(a.ctx), &silent) {
		err = silent
	}
	a.end()
	return err
}

// end ends an attempt and closes its body.
func (a *attempt) end() {
	if a.stop != nil && a.stop() {
		a.Close()
	}
	a.cancel(nil)
}

// read is one Read of the body. The origin may be silent for so long, and what the disk takes afterwards is not its fault.
func (a *attempt) read(b []byte, stall time.Duration) (int, error) {
	a.silence.Reset(stall)
	defer a.silence.Stop()
	return a.Read(b)
}
