package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A flight is one refresh that any number of callers wait for.
type flight struct {
	began  time.Time
	inHand chan struct{} // closed when the kept state was loaded and holds a snapshot
	landed chan struct{} // closed at the end
}

// wait returns when the flight has landed, when the caller has gone, or, with verified data in hand, when the flight is
// older than patience: a slow source delays one request, not each.
func (c *Collections) wait(ctx context.Context, f *flight, inHand bool) {
	if !inHand {
		select {
		case <-f.landed:
			return
		case <-ctx.Done():
			return
		case <-f.inHand:
		}
	}
	late := time.NewTimer(patience - time.Since(f.began))
	defer late.Stop()
	select {
	case <-f.landed:
	case <-ctx.Done():
	case <-late.C:
	}
}

// begin returns the flight under way or begins one, unless the latest has failed and its pause is not over. The caller
// holds the lock.
func (c *Collections) begin(k *collection) *flight {
	now := time.Now()
	if k.flight == nil && !now.Before(k.again) && c.ctx.Err() == nil {
		f := &flight{began: now, inHand: make(chan struct{}), landed: make(chan struct{})}
		k.flight = f
		c.done.Go(func() { c.fly(k, f) })
	}
	return k.flight
}

// fly loads the collection's state if that was not done, refreshes it, and lands. It runs on the resolver's own
// context: a client that leaves cancels nobody.
func (c *Collections) fly(k *collection, f *flight) {
	ctx, cancel := context.WithTimeout(c.ctx, refreshTime)
	defer cancel()
	s, err := c.refresh(ctx, k, f)
	if err == nil {
		c.o.Confirm(s.Checked)
	}
	c.mu.Lock()
	had := k.snapshot
	k.flight, k.failure = nil, err
	if err == nil {
		k.snapshot, k.pause = s, 0
		k.due = soon(c.o.Now().Sub(s.Checked), c.o.Refresh)
		c.open.resize(k)
	} else {
		k.pause = nextPause(k.pause, err)
		k.again = time.Now().Add(k.pause)
	}
	c.mu.Unlock()
	close(f.landed)
	c.report(k.name, had, s, err)
}

// nextPause returns how long no flight begins after a failed one. A source that answers is asked again soon, since what
// it says may be mended at any moment; one that does not answer is asked ever less often.
func nextPause(last time.Duration, err error) time.Duration {
	switch ReasonOf(err) {
	case SourceUnreachable, StateUnavailable:
		return min(max(firstPause, 2*last), lastPause)
	}
	return firstPause
}

// refresh does the slow part of a flight. A verifier that panics, on input nobody thought of, has failed; it takes
// nobody with it.
func (c *Collections) refresh(ctx context.Context, k *collection, f *flight) (s *Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, &Refusal{Reason: MetadataInvalid, Text: fmt.Sprintf("verifier failed: %.200q", fmt.Sprint(p))}
		}
	}()
	if err := c.load(ctx, k, f); err != nil {
		return nil, err
	}
	through := c.known
	if k.snapshot == nil { // nobody else changes it during a flight
		through = c.cold
	}
	leave, err := through.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return k.verifier.Refresh(ctx)
}

// load reads the kept state, once.
func (c *Collections) load(ctx context.Context, k *collection, f *flight) error {
	if k.loaded {
		return nil
	}
	leave, err := c.loads.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s, err := k.verifier.Load(ctx)
	if err != nil {
		return err
	}
	k.loaded = true
	if s != nil {
		c.mu.Lock()
		k.snapshot = s
		c.open.resize(k)
		c.mu.Unlock()
		close(f.inHand)
	}
	return nil
}

// report tells the outcome of a refresh, and the security event that it may be.
func (c *Collections) report(name string, had, s *Snapshot, err error) {
	e := Event{Kind: EventRefresh, Source: c.o.Source, Collection: name, Err: err}
	if s != nil {
		e.Versions = s.Versions
		e.Changed = had == nil || !slices.EqualFunc(had.Versions, s.Versions, func(a, b RoleVersion) bool { return a.Role == b.Role && a.Version == b.Version })
	}
	c.o.Observe(e)
	var r *Refusal
	if !errors.As(err, &r) {
		return
	}
	// PRODUCT: invariant 4, what fails verification raises a security event, in every mode.
	if r.Reason == NoTrustData && had != nil {
		c.o.Observe(Event{Kind: EventVanished, Source: c.o.Source, Collection: name, Err: err})
	}
	if security[r.Reason] && !errors.Is(err, ErrNoPin) {
		c.o.Observe(Event{Kind: EventVerification, Source: c.o.Source, Collection: name, Err: err})
	}
}

// security are the reasons of a failed refresh that are security events.
var security = map[Reason]bool{
	RootNotPinned: true, RootMismatch: true, SignatureInvalid: true, ThresholdNotMet: true, MetadataRollback: true, MetadataInvalid: true,
}
