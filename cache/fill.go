package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
)

// A fill brings the content of one digest to disk. Its goroutine publishes how far it is; everybody else waits for that.
type fill struct {
	from   string // where its origin is
	digest digest.Digest
	path   string
	ctx    context.Context // the Store's, until the fill ends
	cancel context.CancelCauseFunc

	// Guarded by the Store's mutex.
	callers int  // callers of Fill that wait for the origin's answer
	placed  bool // it has its place and goes on without callers

	mu    sync.Mutex
	now   progress
	err   error         // why it failed
	wake  chan struct{} // closed at the next change; nil while nobody waits for one
	file  *os.File      // what readers read; nil until the origin has answered
	users int           // of file: the readers and, until it ends, the fill itself
}

// progress is how far a fill is.
type progress struct {
	stage   stage
	size    int64 // of the whole content, as claimed and later as verified; -1 while unknown
	written int64 // how many bytes are in the file
}

// stage is what is known of the content. A fill only ever goes up.
type stage uint8

const (
	asking    stage = iota // the origin has not answered, or not even been asked
	streaming              // the size is known, or known to be unknown, and bytes arrive
	verified               // all bytes are in the file, and they are the right ones
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

// Fill returns the content of digest d, from disk or as it arrives. It joins the fill of d that runs from the same place,
// or begins one from origin o, and returns as soon as the origin has answered: the content may still be growing then. When
// Options.MaxFills run already, or a quarter of that from the same place, it waits for its turn.
//
// From names the place that o asks, such as a registry; there are few of them. What one place does with a digest is nothing
// to those who ask another: a slow or lying one holds up nobody else.
//
// The end of ctx ends this wait and nothing else: a fill that has its place goes on. The failure of a fill is the answer to
// all who wait for it, though it was the origin of only one of them that failed; whoever calls later begins anew, and so may
// a caller whose own origin was not asked.
//
// Errors are those of Get except fs.ErrNotExist, the origin's own, *ContentError, ErrTooLarge, and the cause of ctx.
func (s *Store) Fill(ctx context.Context, from string, d digest.Digest, o Origin) (*Blob, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	b, err := s.lookUp(d, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", d, context.Cause(ctx)) // nobody is there to begin a fill for
	}
	f, err := s.join(from, d, path, o)
	if err != nil {
		return nil, err
	}
	defer s.leave(f)
	if _, err := f.until(ctx, func(p progress) bool { return p.stage > asking }); err != nil {
		return nil, err
	}
	return &Blob{store: s, digest: d, path: path, fill: f}, nil
}

// A provenance is one digest from one place.
type provenance struct {
	from   string
	digest digest.Digest
}

// join returns the fill of d with one more caller, and begins it from o if there is none.
func (s *Store) join(from string, d digest.Digest, path string, o Origin) (*fill, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", d, ErrClosed)
	}
	f := s.fills[provenance{from, d}]
	if f == nil {
		f = &fill{from: from, digest: d, path: path, now: progress{size: -1}, users: 1}
		f.ctx, f.cancel = context.WithCancelCause(s.ctx)
		s.fills[provenance{from, d}] = f
		s.work.Add(1)
		go s.run(f, o)
	}
	f.callers++
	return f, nil
}

// leave takes a caller off a fill. A fill that still waits for its place and has lost its last caller is abandoned. There
// are thus never more fills waiting than callers, and requests that come and go do not pile up work.
//
// PRODUCT: invariant 9: every queue has a limit.
func (s *Store) leave(f *fill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.callers--
	if f.callers == 0 && !f.placed {
		f.cancel(errAbandoned)
		s.forget(f)
	}
}

// forget makes the next caller begin anew. The Store's mutex is held.
func (s *Store) forget(f *fill) {
	key := provenance{f.from, f.digest}
	if s.fills[key] == f {
		delete(s.fills, key)
	}
}

// run is the goroutine of one fill.
func (s *Store) run(f *fill, o Origin) {
	defer s.work.Done()
	leave, err := s.place(f)
	if err == nil {
		err = s.download(f, o)
		leave()
	}
	s.end(f, err)
}

// place waits for the fill's turn among those from the same place, and then among all. It returns how to give it up.
//
// PRODUCT: invariant 9: one slow or hostile upstream does not slow the others.
func (s *Store) place(f *fill) (leave func(), err error) {
	share := s.share(f.from)
	for _, turn := range []chan struct{}{share, s.places} {
		select {
		case turn <- struct{}{}:
		case <-f.ctx.Done():
			if turn == s.places {
				<-share
			}
			return nil, f.stopped()
		}
	}
	leave = func() { <-s.places; <-share }
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ctx.Err() != nil {
		leave()
		return nil, f.stopped()
	}
	f.placed = true
	return leave, nil
}

// share returns the places that fills from one place have.
func (s *Store) share(from string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.shares[from]
	if share == nil {
		share = make(chan struct{}, max(1, cap(s.places)/4))
		s.shares[from] = share
	}
	return share
}

// stopped returns why the fill's context has ended.
func (f *fill) stopped() error {
	return fmt.Errorf("%s: %w", f.digest, context.Cause(f.ctx))
}

// end publishes how a fill ended. By then its partial file is gone and callers who come begin anew, so that whoever hears
// of a failure can try again at once.
func (s *Store) end(f *fill, err error) {
	s.mu.Lock()
	s.forget(f)
	s.mu.Unlock()
	f.cancel(nil)

	f.mu.Lock()
	f.err = err
	if err == nil {
		f.now.stage = complete
	}
	f.changed()
	f.mu.Unlock()
	f.letGo()

	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, errAbandoned) {
		s.failed.Add(1)
		s.observe(Event{Kind: FillFailed, Digest: f.digest, Err: err})
	}
}

// start publishes the first progress, together with the file that readers read.
func (f *fill) start(file *os.File, p progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file = file
	f.now = p
	f.changed()
}

// publish tells everybody how far the fill is.
func (f *fill) publish(p progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = p
	f.changed()
}

// changed wakes those who wait. The fill's mutex is held.
func (f *fill) changed() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
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
		if f.wake == nil {
			f.wake = make(chan struct{})
		}
		wake := f.wake
		f.mu.Unlock()

		select {
		case <-wake:
		case <-ctx.Done():
			return progress{}, fmt.Errorf("%s: waiting for its origin: %w", f.digest, context.Cause(ctx))
		}
	}
}

// progress returns how far the fill is.
func (f *fill) progress() progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// use returns how far the fill is and, unless it is complete, the file that readers read, which the caller must let go.
func (f *fill) use() (progress, *os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.now.stage == complete {
		return f.now, nil, f.err
	}
	f.users++
	return f.now, f.file, nil
}

// letGo is called once for each use of the file, and closes it after the last.
func (f *fill) letGo() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users--
	if f.users == 0 && f.file != nil {
		f.file.Close()
	}
}
