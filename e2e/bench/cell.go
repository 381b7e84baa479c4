package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// cell measures one target in one row. It returns false when the target had to be cut and is of no use any more.
func (b *bench) cell(ctx context.Context, r row, t *instance, round int) bool {
	limited, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	begin := time.Now()
	if r.cold {
		flush()
	}
	s, err := b.sample(limited, r, t)
	if ctx.Err() != nil {
		return false // the run was cut, which is nobody's failure
	}
	s.Row, s.Target, s.Round, s.Content = r.name, t.name, round, r.content
	if err != nil {
		s.Error = err.Error()
		b.note("%s, %s: %v", r.name, t.name, err)
	}
	b.samples = append(b.samples, s)
	if took := time.Since(begin); took > slow {
		b.skip[r.name+t.name] = true
		b.note("%s, %s: took %.0f s, measured in one round", r.name, t.name, took.Seconds())
	}
	return limited.Err() == nil
}

// sample has the row measured, between two moments when nothing moves.
func (b *bench) sample(ctx context.Context, r row, t *instance) (sample, error) {
	before, err := b.rest(ctx, t)
	if err != nil {
		return sample{}, err
	}
	b.origin.behave(r.latency, r.rate)
	defer b.origin.behave(0, 0)
	b.origin.take()
	s, err := r.measure(ctx, t)
	if err != nil {
		return s, err
	}
	after, err := b.rest(ctx, t)
	s.CPU, s.Origin = (after - before).Seconds(), b.origin.take()
	if err != nil || t.process == nil || r.reread == nil {
		return s, err
	}
	if err := once(ctx, t, r.reread...); err != nil {
		return s, fmt.Errorf("once more: %w", err)
	}
	_, err = b.rest(ctx, t)
	s.Reread = b.origin.take()
	return s, err
}

// rest waits until the origin is not asked and the target costs nothing, and returns what it has cost until then. A target
// that never rests is measured as it is.
func (b *bench) rest(ctx context.Context, t *instance) (time.Duration, error) {
	if t.process == nil {
		return 0, nil
	}
	last, calm := time.Duration(-1), 0
	for end := time.Now().Add(idleLimit); ; {
		now, err := cpuOf(t.process.PID())
		switch {
		case err != nil:
			return 0, err
		case now == 0:
			return 0, errors.New(t.name + " has ended")
		case now != last || b.origin.busy():
			calm = 0
		default:
			calm++
		}
		last = now
		if calm == 3 || time.Now().After(end) {
			return now, nil
		}
		if !rig.Wait(ctx, 20*time.Millisecond) {
			return now, ctx.Err()
		}
	}
}

// peaks adds the row of memory of a session.
func (b *bench) peaks(s session, running map[string]*instance, round int) error {
	for name, i := range running {
		if i.process == nil {
			continue
		}
		peak, err := peakOf(i.process.PID())
		if err != nil {
			return err
		}
		b.samples = append(b.samples, sample{Row: peakRow(s.name), Target: name, Round: round, PeakMB: float64(peak) / 1e6})
	}
	return nil
}

// peakRow is the name of the row of memory of a session.
func peakRow(session string) string { return "peak resident memory, " + session }
