package trust

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// collectionSize is what an open collection is taken to hold besides its snapshot, in bytes.
	collectionSize = 2 << 10
	// maxStrangers is how many collections without a snapshot are remembered.
	maxStrangers = 4096
	// maxSteps bounds how many collections are looked at for one that can go.
	maxSteps = 64
)

// A shelf holds open collections, in the order of their last use. Those that have a snapshot are bounded by the bytes they
// take; those that have none by their number, so that names nobody ever signed push nothing out.
type shelf struct {
	memory    int64
	bytes     int64
	held      *simplelru.LRU[string, *collection]
	strangers *simplelru.LRU[string, *collection]
}

func newShelf(memory int64) shelf {
	// They fail only for a size below one.
	held, _ := simplelru.NewLRU[string, *collection](math.MaxInt, nil)
	strangers, _ := simplelru.NewLRU[string, *collection](math.MaxInt, nil)
	return shelf{memory: memory, held: held, strangers: strangers}
}

func (s *shelf) get(name string) (*collection, bool) {
	if k, ok := s.held.Get(name); ok {
		return k, true
	}
	return s.strangers.Get(name)
}

// put takes in a collection without a snapshot.
func (s *shelf) put(k *collection) {
	s.strangers.Add(k.name, k)
	shrink(s.strangers, func() bool { return s.strangers.Len() > maxStrangers }, func(*collection) {})
}

// resize counts what k, which has a snapshot, takes now, and lets the least recently used go until the rest fits.
func (s *shelf) resize(k *collection) {
	if s.strangers.Remove(k.name) {
		s.held.Add(k.name, k)
	}
	size := collectionSize + k.snapshot.Size
	s.bytes += size - k.size
	k.size = size
	shrink(s.held, func() bool { return s.bytes > s.memory }, func(k *collection) { s.bytes -= k.size })
}

// shrink removes the least recently used while there are too many. One with a flight under way stays, since there must be
// one verifier of a collection at a time; so does the one used last.
func shrink(l *simplelru.LRU[string, *collection], tooMany func() bool, gone func(*collection)) {
	for range min(l.Len()-1, maxSteps) {
		if !tooMany() {
			return
		}
		name, k, _ := l.GetOldest()
		if k.flight != nil {
			l.Get(name)
			continue
		}
		l.Remove(name)
		gone(k)
	}
}

// A lane bounds how many of one kind of work are under way, how many begin in a second, and how many wait.
type lane struct {
	slots   chan struct{}
	waiting chan struct{}
	pace    *rate.Limiter
}

func newLane(slots, queue int, perSecond float64) lane {
	return lane{make(chan struct{}, slots), make(chan struct{}, queue), rate.NewLimiter(rate.Limit(perSecond), slots)}
}

// enter waits for a place in the lane, and returns how to leave it. It does not wait where too many do.
func (l lane) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.waiting <- struct{}{}:
		defer func() { <-l.waiting }()
	default:
		return nil, &Refusal{Reason: SourceUnreachable, Text: "too many repositories are waiting to be checked"}
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &Refusal{Reason: SourceUnreachable, Text: "too many checks are under way", Err: ctx.Err()}
	}
	if err := l.pace.Wait(ctx); err != nil {
		<-l.slots
		return nil, &Refusal{Reason: SourceUnreachable, Text: "too many checks are under way", Err: err}
	}
	return func() { <-l.slots }, nil
}

// keep refreshes the collections in use before a request would have to wait for it.
func (c *Collections) keep() {
	every := min(max(c.o.Refresh/20, 50*time.Millisecond), 5*time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			c.refreshDue(max(1, int(backgroundRate*every.Seconds())))
		}
	}
}

// refreshDue begins at most n refreshes of collections that are in use and due.
func (c *Collections) refreshDue(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, k := range c.open.held.Values() {
		if n == 0 {
			return
		}
		if k.flight == nil && !now.Before(k.due) && now.Sub(k.used) <= inUse && c.begin(k) != nil {
			n--
		}
	}
}

// soon returns when what was checked so long ago is due for a background refresh: a while before requests would wait for
// one, and not for all collections at once.
func soon(age, refresh time.Duration) time.Time {
	return time.Now().Add(time.Duration((0.65+0.25*rand.Float64())*float64(refresh)) - age)
}
