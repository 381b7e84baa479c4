package trust

import (
	"context"
	"iter"
	"math"
	"sync"
	"time"
)

const (
	// patience is how long an answer waits for a refresh when verified data is in hand.
	patience = 2 * time.Second
	// refreshTime is the longest that one refresh may take.
	refreshTime = 30 * time.Second
	// firstPause and lastPause bound the pause after failed refreshes, which doubles.
	firstPause = 2 * time.Second
	lastPause  = 16 * time.Second
	// strangerSlots and strangerRate bound how many collections of which nothing is known may be asked for at a time, and
	// how many a second: names that nobody ever signed must not crowd out those that somebody did.
	strangerSlots = 16
	strangerQueue = 256
	strangerRate  = 100
	// loadSlots bounds how many kept collections are read and verified again at a time.
	loadSlots = 4
	// queue is how many refreshes and loads of what is known may wait.
	queue = 16 << 10
	// inUse is how long after its last use a collection is refreshed in the background.
	inUse = 10 * time.Minute
	// backgroundRate bounds how many background refreshes of one source begin in a second.
	backgroundRate = 200
)

// A Format knows one kind of trust metadata. Implementations are safe for concurrent use.
type Format interface {
	// Locate names the collection that speaks for n, and n in that collection. A collection is what one set of metadata
	// covers: an image repository in Notary v1, a whole repository of many images in TUF 1.0.
	Locate(n Name) (collection, target string)
	// Tag is the inverse within a collection: the tag of the repository that the target is, if it is one.
	Tag(repository, target string) (tag string, ok bool)
	// Open returns the verifier of a collection. It does nothing slow; there is one verifier of a collection at a time.
	Open(collection string) Verifier
}

// A Verifier keeps one collection verified. Its methods are never called at the same time. Errors are *Refusals, or mean
// that something could not be asked; on error the earlier state stands, and nothing unverified is ever returned.
type Verifier interface {
	// Load returns the state that was kept, verified again, without any network; nil if none was ever kept.
	Load(ctx context.Context) (*Snapshot, error)
	// Refresh asks the source. The snapshot is complete, verified and kept durably before it is returned.
	Refresh(ctx context.Context) (*Snapshot, error)
}

// CollectionsOptions are what Collections need.
type CollectionsOptions struct {
	// Source names the source in events.
	Source string
	Format Format
	// Memory bounds what all snapshots may take, in bytes; least recently used go first and are loaded from state again.
	Memory int64
	// Refresh is how often collections in use are refreshed in the background. Zero: they are not.
	Refresh time.Duration
	// Now is the clock by which the age and the end of snapshots are judged; nil: time.Now. Waits and pauses do not go by
	// it, since somebody may set it.
	Now func() time.Time
	// Confirm is told when a check began that has succeeded, before anything rests on it; nil: nobody is.
	Confirm func(checked time.Time)
	Observe func(Event) // nil: nobody is told
}

// Collections is the Resolver over the snapshots of one source.
type Collections struct {
	o     CollectionsOptions
	known lane // refreshes of what is in hand
	cold  lane // first refreshes
	loads lane // of what is kept
	ctx   context.Context
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu   sync.Mutex // guards what follows, and what collections hold
	open shelf
}

// A collection is one open verifier. Only the flight that is under way calls it.
type collection struct {
	name     string
	verifier Verifier
	snapshot *Snapshot // nil: none yet
	loaded   bool      // the kept state was read; used by the flight alone
	flight   *flight   // nil: none under way
	failure  error     // why the latest flight failed, nil if it did not
	pause    time.Duration
	again    time.Time // no flight begins before it
	used     time.Time // by a request
	due      time.Time // for a background refresh
	size     int64     // what is counted for it
}

// NewCollections returns the resolver. Close ends its refreshes.
func NewCollections(o CollectionsOptions) *Collections {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Confirm == nil {
		o.Confirm = func(time.Time) {}
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	c := &Collections{
		o: o, open: newShelf(o.Memory),
		known: newLane(32, queue, math.Inf(1)), cold: newLane(strangerSlots, strangerQueue, strangerRate), loads: newLane(loadSlots, queue, math.Inf(1)),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if o.Refresh > 0 {
		c.done.Go(c.keep)
	}
	return c
}

// Close cancels the refreshes under way and waits for them.
func (c *Collections) Close() {
	c.mu.Lock() // no flight begins between the stop and the wait
	c.stop()
	c.mu.Unlock()
	c.done.Wait()
}

// Resolve implements Resolver.
func (c *Collections) Resolve(ctx context.Context, n Name, maxAge time.Duration) (Statement, error) {
	name, target := c.o.Format.Locate(n)
	s, failure, err := c.current(ctx, name, maxAge)
	if err != nil {
		return Statement{Failure: failure}, err
	}
	e := s.Lookup(target)
	st := s.statement(n.Repository, e)
	st.Failure = failure
	if e.Refusal != nil {
		return st, e.Refusal
	}
	return st, nil
}

// Tags implements Resolver.
func (c *Collections) Tags(ctx context.Context, repository string, maxAge time.Duration) (iter.Seq2[string, Statement], Statement, error) {
	name, _ := c.o.Format.Locate(Name{Repository: repository})
	s, failure, err := c.current(ctx, name, maxAge)
	if err != nil {
		return nil, Statement{Failure: failure}, err
	}
	st := s.statement(repository, Entry{})
	st.Failure = failure
	return func(yield func(string, Statement) bool) {
		for target, e := range s.Entries {
			tag, ok := c.o.Format.Tag(repository, target)
			if !ok || e.Refusal != nil {
				continue
			}
			if !yield(tag, s.statement(repository, e)) {
				return
			}
		}
	}, st, nil
}

// current returns the collection's snapshot from a check no older than maxAge, or the one in hand when a newer one
// cannot be had in time, with the reason of the latest failure. Without any snapshot the error says why.
func (c *Collections) current(ctx context.Context, name string, maxAge time.Duration) (s *Snapshot, failure, err error) {
	k, s, f := c.ask(name, maxAge)
	switch {
	case f != nil:
		c.wait(ctx, f, s != nil)
	case s != nil && c.usable(s, maxAge):
		return s, nil, nil
	}
	c.mu.Lock()
	s, failure = k.snapshot, k.failure
	c.mu.Unlock()
	if s == nil && failure == nil {
		failure = &Refusal{Reason: SourceUnreachable, Text: "the first check is still under way", Err: ctx.Err()}
	}
	if s == nil {
		err = failure
	}
	return s, failure, err
}

// ask returns the collection, its snapshot, and the flight to wait for, if there is one: unless the snapshot is from a
// check no older than maxAge, one begins. Nobody waits in the pause after a failed one, nor again for a source that has
// failed while what is in hand may still serve.
func (c *Collections) ask(name string, maxAge time.Duration) (*collection, *Snapshot, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.collection(name)
	k.used = time.Now()
	if k.snapshot != nil && c.usable(k.snapshot, maxAge) {
		return k, k.snapshot, nil
	}
	f := c.begin(k)
	if k.snapshot != nil && k.failure != nil && !c.o.Now().After(k.snapshot.Expires) {
		return k, k.snapshot, nil
	}
	return k, k.snapshot, f
}

// usable tells whether the snapshot answers without a refresh. One from the future, after the clock was set back, and
// one that has expired do not: a source may have signed again only after the expiry.
func (c *Collections) usable(s *Snapshot, maxAge time.Duration) bool {
	now := c.o.Now()
	age := now.Sub(s.Checked)
	return age >= 0 && age <= maxAge && !now.After(s.Expires)
}

// collection returns the open collection, opening it when it is not. The caller holds the lock.
func (c *Collections) collection(name string) *collection {
	if k, ok := c.open.get(name); ok {
		return k
	}
	k := &collection{name: name, verifier: c.o.Format.Open(name)}
	c.open.put(k)
	return k
}
