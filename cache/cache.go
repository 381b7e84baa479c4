// Package cache keeps bytes on disk under the digest of those bytes.
//
// Content is asked for by digest alone. Small content that was used is in memory; what is on disk is a hit and goes out as
// the bare file; what is not is filled from an Origin: once per digest, however many callers, all of whom read the same
// growing file while it arrives. A fill belongs to the Store and outlives the caller that began it. A connection that breaks
// is taken up where it broke.
//
// Readers of a growing file see all but its last 64 KiB until the whole of it has the right length and the right hash. Wrong
// content therefore never leaves complete, content of 64 KiB or less never leaves wrong at all, and neither is kept. A range
// that ends before the withheld part may leave unverified; whoever must not pass that on waits for Complete or takes Bytes.
//
// What is kept is bounded by Options.Size: the least recently used goes first, and what was marked with Keep goes last. A
// disk that is full or broken stops nobody: content then passes by its readers through memory, checked as ever, and is not
// kept.
//
// The folder looks like this, folders being 0700 and files 0600:
//
//	sha256/ab/abcd...    content, verified and complete; sha512 likewise. The time of the file is that of its last use, to
//	                     within an hour; its mode is 0400 if it is to go last
//	partial/RUN/         what the fills of one open Store have written so far
//	partial/RUN.lock     locked for as long as that Store is open
//	damaged/             what was found where content should be, and was not that
//	doubts               when processes have died here
//
// Two processes on one folder are harmless: each writes below its own RUN and moves only whole content into place, where
// both can use it. A Store that opens removes what a dead one left and leaves alone what a living one is writing. Only their
// counts drift apart, until the next walk over the folder.
//
// The package runs on Unix systems. It does not log and knows nothing of registries, tags or trust.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"
)

// Defaults of Options.
const (
	defaultMemory    = 32 << 20
	defaultMaxBlob   = 64 << 30
	defaultMaxFills  = 256
	defaultMaxClient = 32
	defaultStall     = time.Minute
	defaultBackoff   = 250 * time.Millisecond
	defaultTries     = 16
)

// Options say where a Store keeps its content and what bounds it. The zero value of every field but Dir is its default.
type Options struct {
	// Dir is the folder that holds everything. It is created if there is none. Who can write to it decides what is served.
	Dir string

	// Size is how many bytes the content may take on disk, finished or not; 0 is no bound. Beyond it the least recently used
	// content is removed until a tenth is free. While it is removed the bound may be exceeded, by what arrives meanwhile.
	// Content larger than that alone is refused.
	Size int64

	// Memory is how many bytes of small content are kept in memory; the default is 32 MiB.
	Memory int64

	// MaxBlob is the largest content taken, in bytes; the default is 64 GiB. It ends a body of unknown size that has no end.
	MaxBlob int64

	// MaxFills is how many fills run at a time, and four times how many do from one place; the default is 256. Each holds
	// two open files and a buffer of 64 KiB; the 16 fastest have one of 1 MiB.
	MaxFills int

	// MaxClient is how many fills run at a time that one client began; the default is 32.
	MaxClient int

	// Stall is the longest silence of an origin, before its answer or between two reads; the default is one minute. An
	// origin that is silent before its answer has failed; one that falls silent later is asked for the rest once more.
	Stall time.Duration

	// Backoff is the first pause before a broken fill is taken up again, and before a failed one may be tried again. It
	// doubles with every failure, up to 10 s. The default is 250 ms.
	Backoff time.Duration

	// Tries is how often in a row the same thing may fail without a pause before it may be tried again; the default is 16,
	// and below 0 is none. What fails for a moment is mended at once, and what goes on failing is left alone.
	Tries int

	// Now is the clock that says when content was used; the default is time.Now.
	Now func() time.Time

	// Observe is told what nobody waits to hear, if it is not nil. It is called from many goroutines and must not block.
	Observe func(Event)
}

// A Store keeps content in a folder. It is safe for concurrent use. Open makes one.
type Store struct {
	o       Options // with the defaults filled in
	dir     string
	partial string       // this Store's own folder of unfinished files
	release func() error // gives partial up
	doubts  []window
	proving sync.Mutex // one proof at a time

	ctx  context.Context // ends when the Store closes, with ErrClosed; fills run under it and not under their callers'
	stop context.CancelCauseFunc
	work sync.WaitGroup // the fills, the first count and evictions

	mu    sync.Mutex // also orders stop against the start of new fills
	fills map[provenance]*fill

	turns    turns
	setbacks setbacks
	memory   memory
	recency  recency
	total    ledger
	pending  atomic.Int64 // bytes that unfinished files take
	walking  sync.Mutex   // one count or eviction at a time
	evicting atomic.Bool  // an eviction is under way
	buffers  sync.Pool    // of *[step]byte
	large    sync.Pool    // of *[largeStep]byte
	fast     chan struct{}
	rings    *semaphore.Weighted // of bytes

	hits, misses, begun, failed, resumed, evicted, uncached atomic.Uint64
}

// Open returns a Store over the folder o.Dir. It makes the folders that are missing and removes the unfinished files that a
// dead process left. The content is counted in the background, without being read, so that Open is quick however much there
// is. On a full disk older content gives way. It fails if an option is out of range, or if the folder cannot be created,
// written to or locked.
//
// If a process has died here, what it may not have brought to the disk is not trusted: content whose file changed later
// than ten minutes before the last it did is read and hashed before it is used for the first time.
func Open(o Options) (*Store, error) {
	if err := o.fillIn(); err != nil {
		return nil, err
	}
	root := filepath.Join(o.Dir, "partial")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	s := &Store{
		o:        o,
		dir:      filepath.Clean(o.Dir),
		fills:    make(map[provenance]*fill),
		turns:    newTurns(o.MaxFills, max(1, o.MaxFills/4), o.MaxClient),
		setbacks: newSetbacks(o.Backoff, o.Tries),
		memory:   newMemory(o.Memory),
		recency:  newRecency(),
		buffers:  sync.Pool{New: func() any { return new([step]byte) }},
		large:    sync.Pool{New: func() any { return new([largeStep]byte) }},
		fast:     make(chan struct{}, maxFast),
		rings:    semaphore.NewWeighted(maxRings),
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	// A disk that is full of what was kept before must not keep anybody from serving it.
	err := s.moveIn(root)
	if full(err) {
		err = s.rescue(s.ctx, step, func() error { return s.moveIn(root) })
	}
	if err != nil {
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	s.work.Go(s.count)
	return s, nil
}

// fillIn checks the options and puts the defaults where nothing was said.
func (o *Options) fillIn() error {
	if o.Dir == "" {
		return errors.New("cache folder: not named")
	}
	if o.Size < 0 || o.Memory < 0 || o.MaxBlob < 0 || o.MaxFills < 0 || o.MaxClient < 0 || o.Stall < 0 || o.Backoff < 0 {
		return fmt.Errorf("cache folder %s: negative limit", o.Dir)
	}
	o.Memory = orElse(o.Memory, defaultMemory)
	o.MaxBlob = orElse(o.MaxBlob, defaultMaxBlob)
	if o.Size > 0 {
		o.MaxBlob = min(o.MaxBlob, o.Size)
	}
	o.MaxFills = orElse(o.MaxFills, defaultMaxFills)
	o.MaxClient = orElse(o.MaxClient, defaultMaxClient)
	o.Stall = orElse(o.Stall, defaultStall)
	o.Backoff = orElse(o.Backoff, defaultBackoff)
	o.Tries = orElse(o.Tries, defaultTries)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	return nil
}

// orElse returns what was said, or the default if nothing was.
func orElse[T int | int64 | time.Duration](said, otherwise T) T {
	if said == 0 {
		return otherwise
	}
	return said
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
		return fmt.Errorf("cache folder %s: %d fills do not stop: %w", s.dir, s.turns.count(), context.Cause(ctx))
	}
	s.saveRecency()
	if err := s.release(); err != nil {
		return fmt.Errorf("cache folder %s: %w", s.dir, err)
	}
	return nil
}

// Get returns the content of digest d, if all of it is in memory or on disk. Otherwise the error is fs.ErrNotExist, also
// while a fill of it runs. What is in memory takes no look at the disk. Something on disk that cannot be content, such as
// the empty file that a power cut can leave, is taken away, reported and not there. A digest that is not sha256 or sha512 in
// lower-case hex is refused with one of go-digest's errors before any path is touched. Further errors are ErrClosed and
// ErrDisk.
func (s *Store) Get(d digest.Digest) (*Blob, error) {
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", d, ErrClosed)
	}
	if b := s.memory.get(d); b != nil {
		s.hits.Add(1)
		s.used(d, b.path, time.Time{})
		return b, nil
	}
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	info, err := s.stat(d, path)
	if err != nil {
		s.misses.Add(1)
		return nil, err
	}
	s.hits.Add(1)
	s.used(d, path, info.ModTime())
	return &Blob{store: s, digest: d, path: path, size: info.Size()}, nil
}

// Keep marks the content of digest d as what is evicted last, now or when the fill of it that runs has ended. The mark
// survives a restart, and counts for 30 days after the last use. Content that is neither there nor on its way is
// fs.ErrNotExist; the other errors are those of Get. Calls for content that is marked already cost next to nothing.
func (s *Store) Keep(d digest.Digest) error {
	if s.recency.isKept(d) {
		return nil
	}
	path, err := s.path(d)
	if err != nil {
		return err
	}
	running := s.keepWhenDone(d)
	info, err := s.stat(d, path)
	if err != nil {
		if running && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.Chmod(path, keptMode); err != nil {
		return diskError(d, err)
	}
	s.recency.keep(d, s.o.Now(), info.ModTime())
	return nil
}

// keepWhenDone marks the fills of d that run, and tells whether there are any.
func (s *Store) keepWhenDone(d digest.Digest) (running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, f := range s.fills {
		if p.digest == d {
			f.keep.Store(true)
			running = true
		}
	}
	return running
}
