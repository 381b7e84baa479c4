package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	// maxInUse is how many tags are remembered as in use, those used last.
	maxInUse = 4096
	// inUseFor is how long after a client was served it a tag is in use.
	inUseFor = 24 * time.Hour
	// maxImages is how many images are fetched ahead at a time, of one registry one at most.
	maxImages = 2
	// imageTime is how long one may take; of what goes on slowly then, the next try begins anew.
	imageTime = time.Hour
	// retryAfter is when an image that could not be fetched is tried once more, unless trust data changes before.
	retryAfter = 10 * time.Minute
	// lookEvery is how often all tags in use are looked at whatever has changed, so that their trust data is asked for.
	lookEvery = time.Hour
)

// A Prefetch remembers which tags clients use, and when trust data gives one of them a new digest, has its content fetched
// and kept before anybody asks for it: a signed digest can vanish from its registry. It outlives the Handlers that it works
// for. It is safe for concurrent use.
type Prefetch struct {
	now   func() time.Time                     // time.Now, but for tests
	after func(time.Duration) <-chan time.Time // time.After, likewise
	wake  chan struct{}                        // holds one element while there is news

	mu      sync.Mutex
	used    *simplelru.LRU[trust.Name, *use]
	changed map[string]bool      // sources
	busy    map[string]bool      // registries of which an image is fetched
	turns   map[string]time.Time // when the last image of a registry ended
	looked  time.Time            // when all tags were looked at
}

// A use is what is known of a tag in use.
type use struct {
	at      time.Time // when a client was served it last
	source  string
	has     digest.Digest // what it meant when it came into use, or what was fetched since
	failed  digest.Digest // what could not be fetched since then
	again   time.Time     // when that is tried once more; zero: not by itself
	rest    time.Time     // before when it is not tried
	pending bool          // it is to be looked at
}

// NewPrefetch returns a Prefetch that knows of no tag.
func NewPrefetch() *Prefetch {
	used, _ := simplelru.NewLRU[trust.Name, *use](maxInUse, nil) // fails for a size below one only
	return &Prefetch{
		now: time.Now, after: time.After, wake: make(chan struct{}, 1), used: used,
		changed: make(map[string]bool), busy: make(map[string]bool), turns: make(map[string]time.Time), looked: time.Now(),
	}
}

// Changed says that there is new trust data of a source. It does not block.
func (p *Prefetch) Changed(source string) {
	p.mu.Lock()
	p.changed[source] = true
	p.mu.Unlock()
	p.rouse()
}

// rouse makes Run look for what there is to do.
func (p *Prefetch) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// served notes that a client was served a tag.
func (p *Prefetch) served(d trust.Decision, dgst digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.used.Get(d.Name)
	if !ok {
		u = &use{has: dgst}
		p.used.Add(trust.Name{Repository: d.Name.Repository, Tag: strings.Clone(d.Name.Tag)}, u) // lest a whole request be held
	}
	u.at, u.source = p.now(), d.Source
}

// Run fetches until ctx ends, and returns when what was under way has ended too. Each image is fetched with the handler
// that is current when it begins; what fails is told to that one's Observe, once for each digest. Nobody waits for any of
// it: it has one fill at a time of a registry, and two in all.
func (p *Prefetch) Run(ctx context.Context, current func() *Handler) {
	var images sync.WaitGroup
	defer images.Wait()
	for ctx.Err() == nil {
		pending, wait := p.plan()
		for _, n := range pending {
			if !p.take(n) {
				continue // its turn comes when another has ended, which wakes us
			}
			h := current()
			d, ok := p.moved(ctx, h, n)
			if !ok {
				p.drop(n)
				continue
			}
			images.Go(func() { p.image(ctx, h, d) })
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-p.after(wait):
		}
	}
}

// plan returns the tags that are to be looked at, and when there will be more. Those of the registry come first whose last
// turn is longest ago, and of one registry those used last.
// PRODUCT: invariant 9, slow registries do not take all turns.
func (p *Prefetch) plan() (pending []trust.Name, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	all := now.Sub(p.looked) >= lookEvery
	if all {
		p.looked = now
	}
	wait = lookEvery - now.Sub(p.looked)
	for _, n := range p.used.Keys() {
		u, _ := p.used.Peek(n)
		due := !u.again.IsZero() && !now.Before(u.again)
		if now.Sub(u.at) > inUseFor {
			u.pending = false
			continue
		}
		if all || due || p.changed[u.source] {
			u.pending = true
		}
		if due {
			u.again = time.Time{}
		}
		if u.pending {
			pending = append(pending, n)
		} else if !u.again.IsZero() {
			wait = min(wait, u.again.Sub(now))
		}
	}
	clear(p.changed)
	slices.Reverse(pending)
	slices.SortStableFunc(pending, func(a, b trust.Name) int {
		ra, _ := names.Split(a.Repository)
		rb, _ := names.Split(b.Repository)
		return p.turns[ra].Compare(p.turns[rb])
	})
	return pending, wait
}

// take makes the registry of a tag busy with it, unless that or too many others are busy already.
// PRODUCT: invariant 9, one slow registry does not slow the others.
func (p *Prefetch) take(n trust.Name) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	registry, _ := names.Split(n.Repository)
	u, ok := p.used.Peek(n)
	if !ok || p.busy[registry] || len(p.busy) == maxImages {
		return false
	}
	u.pending = false
	p.busy[registry] = true
	return true
}

// drop makes the registry of a tag idle again.
func (p *Prefetch) drop(n trust.Name) {
	registry, _ := names.Split(n.Repository)
	p.mu.Lock()
	delete(p.busy, registry)
	p.turns[registry] = p.now()
	p.mu.Unlock()
}

// moved returns the decision about a tag by the trust data in hand, if that has what is not known to be in the cache. No
// client asked: the decision is nobody's to record. Where the data in hand is old it is asked for, and we hear of a change.
// PRODUCT: invariant 7, it is a decision as any other, by the rule and its source.
func (p *Prefetch) moved(ctx context.Context, h *Handler, n trust.Name) (trust.Decision, bool) {
	over, cancel := context.WithCancel(ctx)
	cancel() // so that the Decider waits for nobody
	d := h.o.Decider.Decide(over, "", n)
	target, ok := d.Admit()
	p.mu.Lock()
	defer p.mu.Unlock()
	u, known := p.used.Peek(n)
	// PRODUCT: invariant 9, what has failed is not asked for in a tight loop, however often trust data changes.
	return d, ok && d.Prefetch && known && u.has != target.Digest && (u.failed != target.Digest || !p.now().Before(u.rest))
}

// image fetches what a tag means now, and notes how that ended.
func (p *Prefetch) image(ctx context.Context, h *Handler, d trust.Decision) {
	within, cancel := context.WithTimeout(ctx, imageTime)
	defer cancel()
	err := h.fetchAhead(within, d)
	target, _ := d.Admit()
	news := p.note(d.Name, target.Digest, err)
	if err != nil && news && ctx.Err() == nil {
		h.o.Observe(Event{Kind: PrefetchFailed, Op: "manifest", Err: fmt.Errorf("%s is %s now, which was not fetched ahead: %w", d.Name, target.Digest, err)})
	}
	p.drop(d.Name)
	p.rouse()
}

// note notes whether what a tag means was fetched, and tells whether a failure is news. What fails for the first time is tried
// once more by itself.
func (p *Prefetch) note(n trust.Name, d digest.Digest, err error) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.used.Peek(n)
	switch {
	case !ok:
		return true
	case err == nil:
		u.has, u.failed = d, ""
		return true
	}
	u.rest = p.now().Add(retryAfter)
	if u.failed == d {
		return false
	}
	u.failed, u.again = d, u.rest
	return true
}
