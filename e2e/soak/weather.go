package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// A climate says how often something breaks, and for how long.
type climate struct {
	calmLeast, calmMost, badLeast, badMost time.Duration
}

// verificationFailed is the metric that counts trust data which was not what it should be.
const verificationFailed = `tagwarden_security_events_total{kind="verification_failed"}`

// noticeTime is how long a lie lasts at least before it must have been noticed.
const noticeTime = refresh + time.Second

// settle is how long after an outage of that length something may still be left alone: the gateway's pauses double from one
// failure to the next, so that none is longer than all before it and its first, up to 16 s; and then it has to ask.
func settle(outage time.Duration) time.Duration {
	return min(16*time.Second, outage+2*time.Second) + 2*time.Second
}

// between returns a random duration.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// weather breaks one outlet from time to time, until ctx ends.
func (s *soak) weather(ctx context.Context, o *outlet, rng *rand.Rand) error {
	c := s.o.climate
	for n := rng.IntN(len(o.faults)); rig.Wait(ctx, between(rng, c.calmLeast, c.calmMost)); n++ {
		f := o.faults[n%len(o.faults)]
		if err := s.fault(ctx, o, f, between(rng, c.badLeast, c.badMost)); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

// fault breaks an outlet once.
func (s *soak) fault(ctx context.Context, o *outlet, f fault, length time.Duration) error {
	lie := f == spoiled || f == strange
	if lie {
		length = max(length, noticeTime)
	}
	began := time.Now()
	rested := !o.windows.touches(began, began) // else it may be left alone still
	end := o.windows.open(began)
	before, life, err := s.g.metric(ctx, verificationFailed)
	known := err == nil && rested
	bad, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	err = o.misbehave(bad, f)
	end(time.Now().Add(settle(time.Since(began))))
	s.injected(o, f)
	if err != nil || !lie || !known || ctx.Err() != nil {
		return err
	}
	after, later, err := s.g.metric(ctx, verificationFailed)
	if err == nil && life == later && after <= before {
		s.broken("%s %s for %s, and nobody noticed", o.name, f, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// injected counts a fault.
func (s *soak) injected(o *outlet, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[o.name+" "+string(f)]++
}

// broken notes a promise that did not hold.
func (s *soak) broken(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promises = append(s.promises, fmt.Sprintf(format, args...))
}
