package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
	"golang.org/x/sync/errgroup"
)

const (
	signEvery = 500 * time.Millisecond
	lookEvery = time.Second
)

// Options are what a run is made of.
type options struct {
	binary   string
	clients  int
	rate     float64 // requests per second of all clients together
	duration time.Duration
	seed     uint64
	climate  climate
	limits   limits
}

// Limits are the figures that a run must stay within.
type limits struct {
	calm, rough time.Duration // the 99th percentile of warm tags, while nothing they rest on is broken, and while it is
	resident    int64         // bytes at most
	heap        int64         // bytes more than before the load
	stalled     float64       // the part of the time in which the machine is too busy to tell anything
	goroutines  int           // more than before the load
	descriptors int
}

// A soak is one run.
type soak struct {
	o     options
	w     *world
	g     *gateway
	tally *tally
	m     machine
	gate  sync.RWMutex // held by each request for reading, and by who wants silence

	before, after measure // of the last life
	during        measure // the greatest figures of all lives
	transports    []*http.Transport
	took          time.Duration // of the drain
	lines         int           // of the audit log

	mu       sync.Mutex
	faults   map[string]int
	promises []string // that did not hold
}

// run does everything, within the folder dir.
func run(ctx context.Context, o options, dir string) (*soak, error) {
	w, err := newWorld(time.Now())
	if err != nil {
		return nil, err
	}
	defer w.close()
	s := &soak{o: o, w: w, tally: newTally(), faults: make(map[string]int)}
	if s.g, err = newGateway(o.binary, dir, w); err != nil {
		return nil, err
	}
	if err := s.g.start(ctx); err != nil {
		return nil, err
	}
	defer func() { s.g.process.Kill() }()
	for m := range manners {
		for home := range homes {
			s.transports = append(s.transports, newTransport(m, home, s.g.trusted))
		}
	}
	if err := s.warm(ctx); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	if err := s.end(ctx); err != nil {
		return nil, err
	}
	return s, s.audited()
}

// client returns the client with that number.
func (s *soak) client(i int) *client {
	return &client{
		s: s, rng: rand.New(rand.NewPCG(s.o.seed, uint64(i))),
		http: &http.Client{Transport: s.transports[i%len(s.transports)], CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// warm asks once for all that must be answered at once from then on.
func (s *soak) warm(ctx context.Context) error {
	c := s.client(0)
	for _, r := range s.w.repositories {
		for _, t := range append(r.moving, r.fixed) {
			if o := c.tag(ctx, r, t, http.MethodGet); o.wrong != nil || o.status != http.StatusOK {
				return fmt.Errorf("%s:%s: %w: %s", r.name, t.name, o.wrong, &o.reply)
			}
		}
		if o := c.whole(ctx, request{path: r.name + "/blobs/" + r.image.Config.String()}, r.image.Config, -1, true); o.wrong != nil {
			return fmt.Errorf("%s: %w: %s", r.name, o.wrong, &o.reply)
		}
		layer, err := c.layer(ctx, r)
		if err != nil {
			return err
		}
		r.layer = layer
	}
	return nil
}

// load lets clients ask while everything breaks from time to time, and the gateway with it.
func (s *soak) load(ctx context.Context) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	all, loading := errgroup.WithContext(loading)
	for i := range s.o.clients {
		all.Go(func() error { s.demand(loading, s.client(i)); return nil })
	}
	for i, o := range s.w.outlets() {
		all.Go(func() error { return s.weather(loading, o, rand.New(rand.NewPCG(s.o.seed, uint64(1)<<32+uint64(i)))) })
	}
	all.Go(func() error { return s.m.watch(loading, s.g.dir, &s.w.notary.windows, &s.w.tuf.windows) })
	all.Go(func() error { s.sign(loading); return nil })
	all.Go(func() error { s.look(loading); return nil })
	all.Go(func() error {
		defer stop()
		return s.operate(loading)
	})
	return all.Wait()
}

// demand has one client ask, until ctx ends.
func (s *soak) demand(ctx context.Context, c *client) {
	var all []kind
	for _, k := range kinds() {
		for range k.weight {
			all = append(all, k)
		}
	}
	mean := time.Duration(float64(s.o.clients) / s.o.rate * float64(time.Second))
	for rig.Wait(ctx, between(c.rng, 0, 2*mean)) {
		k, r := all[c.rng.IntN(len(all))], s.w.repositories[c.rng.IntN(len(s.w.repositories))]
		s.gate.RLock()
		o := k.ask(c, context.WithoutCancel(ctx), r) // what has begun is always judged
		s.gate.RUnlock()
		s.tally.add(k.name, o, s.trouble(o))
	}
}

// trouble says what an answer may have been late for.
func (s *soak) trouble(o outcome) trouble {
	switch {
	case s.m.stalls.touches(o.asked, o.got):
		return stalled
	case s.g.down.touches(o.asked, o.got), o.source != nil && o.source.touches(o.asked, o.got):
		return rough
	}
	return calm
}

// sign moves tags until ctx ends.
func (s *soak) sign(ctx context.Context) {
	rng := rand.New(rand.NewPCG(s.o.seed, 2<<32))
	for rig.Wait(ctx, signEvery) {
		s.w.move(rng)
	}
}

// look keeps the greatest figures in mind.
func (s *soak) look(ctx context.Context) {
	for rig.Wait(ctx, lookEvery) {
		m, err := s.g.look(ctx)
		if err != nil {
			continue // it is down
		}
		s.mu.Lock()
		d := &s.during
		d.goroutines, d.descriptors = max(d.goroutines, m.goroutines), max(d.descriptors, m.descriptors)
		d.resident, d.peak, d.heap, d.cached = max(d.resident, m.resident), max(d.peak, m.peak), max(d.heap, m.heap), max(d.cached, m.cached)
		s.mu.Unlock()
	}
}
