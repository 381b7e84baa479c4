package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"
)

// unread is how long a fill goes on that nobody reads.
const unread = time.Minute

// An Origin opens content where it comes from, from byte offset on. It is called in a fill's own goroutine: first with
// offset 0, and again with how much is there already when a body ended before its end. It must return soon after ctx ends, as
// must a Read of body.
//
// The size is that of the whole content in bytes, or -1 if the origin does not say; it is a claim, and content of another
// length is refused. With a nil error body is not nil, and the store closes it, from another goroutine if ctx ends during a
// Read.
//
// An error that is fs.ErrInvalid, for an offset other than 0, says that the origin cannot begin there: it is asked from the
// beginning then, and what is there already is skipped. An error with a method RetryAfter() time.Duration above 0 says that
// the origin is to be left alone for so long.
type Origin func(ctx context.Context, offset int64) (body io.ReadCloser, size int64, err error)

// A Request says what a call of Fill wants and on whose behalf. Digest, From and Origin are needed.
type Request struct {
	// Digest is that of the content.
	Digest digest.Digest

	// From names the place that Origin asks, such as a registry; there are few of them. What one place does with a digest is
	// nothing to those who ask another: a slow or lying one holds up nobody else.
	From string

	// Scope names what Origin asks the place for, such as a repository. What one scope does not have, another may have:
	// failures are remembered apart.
	Scope string

	// Who names the client, such as its address. Of what one client begins, Options.MaxClient run at a time. The empty name
	// has no such bound.
	Who string

	// Origin is where the content comes from.
	Origin Origin
}

// Fill returns the content that q asks for, from memory or disk, or as it arrives. It joins the fill of the digest that runs
// from the same place, or begins one, and returns as soon as the origin has answered: the content may still be growing then.
// When as many fills run as may, of all, from the same place or begun by the same client, it waits for its turn.
//
// The end of ctx ends this wait and nothing else: a fill that has had its turn goes on. It stops when nobody has read it for
// a minute. The failure of a fill is the answer to all who wait for it, though it was the origin of only one of them that
// failed; and to whoever asks for the same in the same scope before a pause has passed, which grows from failure to failure
// from Options.Backoff to 10 s. A caller whose own origin was not asked may begin anew in another scope.
//
// An origin that says for how long it is to be left alone is asked by nobody of that scope before. A fill waits for up to
// 15 s because of that, and holds up nobody else; where it would be longer, it fails.
//
// Where the disk does not take the content, it goes to the readers that are there through memory; who comes later begins a
// fill of their own. Blob.Complete stays false then.
//
// Errors are those of Get except fs.ErrNotExist, the origin's own, *ContentError, ErrTooLarge, ErrDisk when too much content
// passes through memory already, and the cause of ctx.
func (s *Store) Fill(ctx context.Context, q Request) (*Blob, error) {
	b, err := s.Get(q.Digest)
	// A disk that cannot be read is no reason not to ask the origin.
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDisk) {
		return b, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", q.Digest, context.Cause(ctx)) // nobody is there to begin a fill for
	}
	f, err := s.join(q)
	if err != nil {
		return nil, err
	}
	defer s.leave(f)
	if _, err := f.until(ctx, func(p progress) bool { return p.stage > asking }); err != nil {
		return nil, err
	}
	return &Blob{store: s, digest: q.Digest, path: f.path, fill: f}, nil
}

// A provenance is one digest from one place.
type provenance struct {
	from   string
	digest digest.Digest
}

// join returns the fill that q asks for with one more caller, and begins it if there is none.
func (s *Store) join(q Request) (*fill, error) {
	path, err := s.path(q.Digest)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", q.Digest, ErrClosed)
	}
	key := provenance{q.From, q.Digest}
	f := s.fills[key]
	if f == nil {
		// PRODUCT: invariant 9: what has failed is not asked for in a tight loop.
		pause, err := s.setbacks.standing(matter{q.Scope, q.Digest}, s.o.Now())
		if err != nil {
			return nil, err
		}
		f = s.newFill(q, path)
		s.fills[key] = f
		s.work.Go(func() { s.run(f, pause) })
	}
	f.join()
	return f, nil
}

// newFill returns a fill that has not begun.
func (s *Store) newFill(q Request, path string) *fill {
	f := &fill{q: q, path: path, stall: s.o.Stall, readers: make(map[*follower]struct{}), now: progress{size: -1}}
	f.ctx, f.cancel = context.WithCancelCause(s.ctx)
	f.lonely = time.AfterFunc(unread, func() { s.giveUp(f) })
	f.lonely.Stop()
	return f
}

// leave takes a caller off a fill. A fill that still waits for its turn and has lost its last caller is abandoned. There
// are thus never more fills waiting than callers, and requests that come and go do not pile up work.
//
// PRODUCT: invariant 9: every queue has a limit.
func (s *Store) leave(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.callers--
	if f.callers == 0 && !f.placed {
		f.cancel(errAbandoned)
		s.forget(f)
	}
	f.watch()
}

// giveUp stops a fill that nobody has read for a while.
//
// PRODUCT: invariant 9: nobody makes the gateway download for nobody.
func (s *Store) giveUp(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		f.opened = true // it has waited for long enough
		f.letGo()
		return
	}
	if !f.wanted() {
		f.cancel(errUnread)
		s.forget(f)
	}
}

// forget makes the next caller begin anew. The Store's mutex is held.
func (s *Store) forget(f *fill) {
	key := provenance{f.q.From, f.q.Digest}
	if s.fills[key] == f {
		delete(s.fills, key)
	}
}

// run is the goroutine of one fill, which begins after a pause that its origin has told others to make.
func (s *Store) run(f *fill, pause time.Duration) {
	d := &download{fill: f, store: s, hash: newHash(f.q.Digest), at: progress{size: -1}}
	kept := false
	err := f.sleep(pause)
	if err == nil {
		err = d.takeTurn()
	}
	if err == nil && s.place(f) {
		kept, err = d.run()
	}
	d.giveTurn()
	if f.ctx.Err() != nil && f.progress().stage < verified && !kept {
		err = f.stopped() // what an origin says about being cut off is not the reason
	}
	s.end(f, kept, err)
}

// place makes the fill one that goes on without callers, unless it was abandoned before.
func (s *Store) place(f *fill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.placed = f.ctx.Err() == nil
	return f.placed
}

// end publishes how a fill ended. By then its partial file is gone, its failure remembered, and callers who come begin anew.
func (s *Store) end(f *fill, kept bool, err error) {
	m := matter{f.q.Scope, f.q.Digest}
	failed := err != nil && f.ctx.Err() == nil && !errors.Is(err, errUnread) && !errors.Is(err, errStuck)
	switch {
	case failed && !errors.Is(err, ErrDisk):
		s.setbacks.add(m, s.o.Now(), err)
	case err == nil:
		s.setbacks.clear(m)
	}
	s.mu.Lock()
	s.forget(f)
	s.mu.Unlock()
	f.finish(kept, err)
	if failed {
		s.failed.Add(1)
		s.o.Observe(Event{Kind: FillFailed, Digest: f.q.Digest, Err: err})
	}
}
