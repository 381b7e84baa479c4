package main

import (
	"context"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// sinceNow returns a clock that nobody can set: how long ago it was made.
func sinceNow() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// watchClock looks, until ctx ends, whether the machine's clock is behind what was verified, and says so while it is: also
// where nobody asks for a tag.
func (g *gateway) watchClock(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := g.current.Load().decider.Clock(); err != nil {
			g.o.clock(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// clock observes that the machine's clock is behind: one event a minute, so that an alert lasts as long as its cause.
func (o *observer) clock(err error) {
	if _, ok := o.hush.pass(string(trust.EventClockBehind)); ok {
		o.metrics.Security(string(trust.EventClockBehind))
		o.log.Error("security event", zap.String("kind", string(trust.EventClockBehind)), zap.Error(err))
	}
}
