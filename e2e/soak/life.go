package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/e2e/rig"
	"golang.org/x/sync/errgroup"
)

const (
	lives       = 3                // of the gateway: it is killed twice
	reloads     = 3                // in each life
	settleLimit = 90 * time.Second // for what the gateway holds to go
	quiet       = 2 * time.Second
	lastAnswers = 8 // that are under way when the gateway is told to end
)

// operate does what operators and bad luck do: reloads, and two ends as by a power cut. In the last life nobody asks for a
// moment, so that there is something to compare with.
func (s *soak) operate(ctx context.Context) error {
	for life := range lives {
		if life > 0 {
			if err := s.g.crash(ctx, true); err != nil {
				return err
			}
		}
		if life == lives-1 {
			if err := s.hush(ctx); err != nil {
				return err
			}
		}
		for range reloads {
			if !rig.Wait(ctx, s.o.duration/lives/(reloads+1)) {
				return ctx.Err()
			}
			if err := s.g.reload(); err != nil {
				return err
			}
		}
		if !rig.Wait(ctx, s.o.duration/lives/(reloads+1)) {
			return ctx.Err()
		}
	}
	return nil
}

// hush measures the gateway while nobody asks.
func (s *soak) hush(ctx context.Context) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.hangUp()
	rig.Wait(ctx, quiet)
	m, err := s.g.look(ctx)
	s.before = m
	return err
}

// hangUp closes the connections of all clients.
func (s *soak) hangUp() {
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// settled waits until the gateway holds no more than before the load, and measures it. What it keeps to registry and sources for
// a while is cut, which it has to notice.
func (s *soak) settled(ctx context.Context) error {
	s.hangUp()
	for _, o := range s.w.outlets() {
		o.shut()
		if err := o.reopen(); err != nil {
			return err
		}
	}
	for end := time.Now().Add(settleLimit); ; {
		m, err := s.g.look(ctx)
		if err != nil {
			return err
		}
		s.after = m
		if s.leaks() == nil || time.Now().After(end) {
			return nil
		}
		if !rig.Wait(ctx, lookEvery/4) {
			return ctx.Err()
		}
	}
}

// leaks tells what the gateway holds now that it did not before.
func (s *soak) leaks() error {
	l, a, b := s.o.limits, s.after, s.before
	var errs []error
	for _, one := range []struct {
		what             string
		now, then, limit int64
	}{
		{"goroutines", int64(a.goroutines), int64(b.goroutines), int64(l.goroutines)},
		{"descriptors", int64(a.descriptors), int64(b.descriptors), int64(l.descriptors)},
		{"bytes of heap", a.heap, b.heap, l.heap},
	} {
		if one.now > one.then+one.limit {
			errs = append(errs, fmt.Errorf("%d %s after the load, %d before", one.now, one.what, one.then))
		}
	}
	if a.cached > cacheSize {
		errs = append(errs, fmt.Errorf("%d bytes in the cache, %d are allowed", a.cached, cacheSize))
	}
	return errors.Join(errs...)
}

// end tells the gateway to end while answers are under way, and clients keep their connections.
func (s *soak) end(ctx context.Context) error {
	for _, t := range s.transports {
		defer t.CloseIdleConnections()
	}
	s.w.registry.set(dripping)
	var all errgroup.Group
	begun := make(chan struct{}, lastAnswers)
	for i := range lastAnswers {
		all.Go(func() error { return s.last(ctx, s.client(i*homes), begun) })
	}
	for range lastAnswers {
		<-begun
	}
	began := time.Now()
	if err := s.g.process.Stop(endLimit); err != nil {
		s.broken("end: %v", err)
	}
	s.took = time.Since(began)
	if err := all.Wait(); err != nil {
		s.broken("answer under way at the end: %v", err)
	}
	return nil
}

// last asks for a blob that takes its time to arrive, and tells when it has begun to.
func (s *soak) last(ctx context.Context, c *client, begun chan<- struct{}) error {
	tell := sync.OnceFunc(func() { begun <- struct{}{} })
	defer tell()
	r := s.w.repositories[0]
	d, size := s.w.cold(r, c.rng)
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.g.base()+"/v2/"+r.name+"/blobs/"+d.String(), nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	tell()
	hash := d.Algorithm().Hash()
	n, err := io.Copy(hash, res.Body)
	if err != nil || n != size || digest.NewDigest(d.Algorithm(), hash) != d {
		return fmt.Errorf("%s, %d of %d bytes: %w", res.Status, n, size, err)
	}
	return nil
}
