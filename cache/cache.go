// Package cache keeps bytes on disk under the digest of those bytes.
//
// Content is asked for by digest alone. What is on disk is a hit and goes out as the bare file; what is not is filled from an
// Origin: once per digest, however many callers, all of whom read the same growing file while it arrives. A fill belongs to
// the Store and outlives the caller that began it.
//
// Readers of a growing file see all but its last 64 KiB until the whole of it has the right length and the right hash. Wrong
// content therefore never leaves complete, content of 64 KiB or less never leaves wrong at all, and neither is kept. A range
// that ends before the withheld part may leave unverified; whoever must not pass that on waits for Complete or takes Bytes.
//
// The folder looks like this, folders being 0700 and files 0600:
//
//	sha256/ab/abcd...    content, verified and complete; sha512 likewise
//	partial/RUN/         what the fills of one open Store have written so far
//	partial/RUN.lock     locked for as long as that Store is open
//	damaged/             folders with something in them that stood where content should be: moved away, never deleted
//
// Two processes on one folder are harmless: each writes below its own RUN and moves only whole content into place, where
// both can use it. A Store that opens removes what a dead one left and leaves alone what a living one is writing. Only their
// counts drift apart.
//
// The package runs on Unix systems. It does not log and knows nothing of registries, tags or trust.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// Defaults of Options.
const (
	defaultMaxBlob  = 64 << 30
	defaultMaxFills = 256
	defaultStall    = time.Minute
)

// step is the size of one read from an origin, and of what is withheld from readers until the content is verified.
const step = 64 << 10

// An Origin opens content where it comes from, from byte offset on, which is 0. It is called in a fill's own goroutine, at
// most once for each call of Fill, and must return soon after ctx ends, as must a Read of body.
//
// The size is that of the whole content in bytes, or -1 if the origin does not say; it is a claim, and content of another
// length is refused. With a nil error body is not nil, and the store closes it, from another goroutine if ctx ends during a
// Read.
type Origin func(ctx context.Context, offset int64) (body io.ReadCloser, size int64, err error)

// Options say where a Store keeps its content and what bounds it. The zero value of every field but Dir is its default.
type Options struct {
	// Dir is the folder that holds everything. It is created if there is none. Who can write to it decides what is served.
	Dir string

	// Size is how many bytes of content the folder is meant for; 0 is no bound. Content larger than that alone is refused.
	// Older content does not give way to newer.
	Size int64

	// MaxBlob is the largest content taken, in bytes; the default is 64 GiB. It ends a body of unknown size that has no end.
	MaxBlob int64

	// MaxFills is how many fills run at a time, and four times how many do from one place; the default is 256. Each holds two open files and a buffer of 64 KiB.
	MaxFills int

	// Stall is the longest silence of an origin, before its answer or between two reads; the default is one minute. A fill
	// whose origin is silent for longer fails.
	Stall time.Duration

	// Observe is told what nobody waits to hear, if it is not nil. It is called from many goroutines and must not block.
	Observe func(Event)
}

// A Store keeps content in a folder. It is safe for concurrent use. Open makes one.
type Store struct {
	dir     string
	partial string       // this Store's own folder of unfinished files
	release func() error // gives partial up
	maxBlob int64
	stall   time.Duration
	observe func(Event)
	places  chan struct{} // holds one element for each fill that has its place
	buffers sync.Pool     // of *[step]byte

	ctx  context.Context // ends when the Store closes, with ErrClosed; fills run under it and not under their callers'
	stop context.CancelCauseFunc
	work sync.WaitGroup // the fills and the first count

	mu    sync.Mutex // also orders stop against the start of new fills
	fills map[provenance]*fill
	// shares hold one element for each fill from a place that has its turn there.
	shares map[string]chan struct{}

	total  ledger
	hits   atomic.Uint64
	misses atomic.Uint64
	begun  atomic.Uint64
	failed atomic.Uint64
}

// Open returns a Store over the folder o.Dir. It makes the folders that are missing and removes the unfinished files that a
// dead process left. The content is counted in the background, without being read, so that Open is quick however much there
// is. It fails if an option is out of range, or if the folder cannot be created, written to or locked.
func Open(o Options) (*Store, error) {
	if err := o.fillIn(); err != nil {
		return nil, err
	}
	root := filepath.Join(o.Dir, "partial")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	if err := sweep(root); err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	partial, release, err := claim(root)
	if err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	s := &Store{
		dir:     filepath.Clean(o.Dir),
		partial: partial,
		release: sync.OnceValue(release),
		maxBlob: o.MaxBlob,
		stall:   o.Stall,
		observe: o.Observe,
		places:  make(chan struct{}, o.MaxFills),
		buffers: sync.Pool{New: func() any { return new([step]byte) }},
		fills:   make(map[provenance]*fill),
		shares:  make(map[string]chan struct{}),
		total:   newLedger(),
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.work.Add(1)
	go s.count()
	return s, nil
}

// fillIn checks the options and puts the defaults where nothing was said.
func (o *Options) fillIn() error {
	if o.Dir == "" {
		return errors.New("cache folder: not named")
	}
	if o.Size < 0 || o.MaxBlob < 0 || o.MaxFills < 0 || o.Stall < 0 {
		return fmt.Errorf("cache folder %s: negative limit", o.Dir)
	}
	if o.MaxBlob == 0 {
		o.MaxBlob = defaultMaxBlob
	}
	if o.Size > 0 {
		o.MaxBlob = min(o.MaxBlob, o.Size)
	}
	if o.MaxFills == 0 {
		o.MaxFills = defaultMaxFills
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	return nil
}

// Close stops all fills, whose readers get ErrClosed, and removes what they have written. Get and Fill return ErrClosed from
// then on; files already open stay readable. If ctx ends before the last fill has stopped, Close returns the cause and may be
// called again; what is left then is removed by the next Open.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.stop(ErrClosed)
	s.mu.Unlock()

	idle := make(chan struct{})
	go func() {
		s.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		return fmt.Errorf("cache folder %s: %d fills do not stop: %w", s.dir, len(s.places), context.Cause(ctx))
	}
	if err := s.release(); err != nil {
		return fmt.Errorf("cache folder %s: %w", s.dir, err)
	}
	return nil
}

// Get returns the content of digest d, if all of it is on disk. Otherwise the error is fs.ErrNotExist, also while a fill of
// it runs. Something there that cannot be content, such as the empty file that a power cut can leave, is taken away,
// reported and not there. A digest that is not sha256 or sha512 in lower-case hex is refused with one of go-digest's errors
// before any path is touched. Further errors are ErrClosed and ErrDisk.
func (s *Store) Get(d digest.Digest) (*Blob, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	return s.lookUp(d, path)
}

// lookUp is Get for a digest that is known to be valid, and where its content would be.
func (s *Store) lookUp(d digest.Digest, path string) (*Blob, error) {
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", d, ErrClosed)
	}
	size, err := s.stat(d, path)
	if err != nil {
		s.misses.Add(1)
		return nil, err
	}
	s.hits.Add(1)
	return &Blob{store: s, digest: d, path: path, size: size}, nil
}

// Stats are the figures of one Store.
type Stats struct {
	Bytes    int64  // content on disk; too low until the first count has ended, which takes seconds
	Running  int    // fills that have their place
	Hits     uint64 // calls of Get and Fill that found complete content
	Misses   uint64 // calls of Get and Fill that did not
	Fills    uint64 // origins asked since Open
	Failures uint64 // fills that failed since Open
}

// Stats returns the figures as they are now.
func (s *Store) Stats() Stats {
	return Stats{
		Bytes:    s.total.bytes(),
		Running:  len(s.places),
		Hits:     s.hits.Load(),
		Misses:   s.misses.Load(),
		Fills:    s.begun.Load(),
		Failures: s.failed.Load(),
	}
}
