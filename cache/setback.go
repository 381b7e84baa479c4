package cache

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

const (
	// maxSetbacks is how many failures are remembered.
	maxSetbacks = 4096
	// maxBackoff is the longest pause after a failure.
	maxBackoff = 10 * time.Second
	// maxTold is the longest pause that an origin can demand.
	maxTold = 5 * time.Minute
	// patience is how long a fill waits, in all, because its origin says that it should.
	patience = 15 * time.Second
)

// A matter is what failures are failures of: one digest in one scope, or all of a scope if the digest is empty.
type matter struct {
	scope  string
	digest digest.Digest
}

// A setback is a failure and how long it stands.
type setback struct {
	err   error
	until time.Time
	pause time.Duration
	row   int // how many failures in a row it is the last of
}

// setbacks remember failures, so that origins are not asked in a tight loop for what they do not have.
type setbacks struct {
	base time.Duration
	free int
	mu   sync.Mutex
	all  *simplelru.LRU[matter, setback]
}

// newSetbacks returns setbacks whose first pause is base, after so many failures in a row that have none.
func newSetbacks(base time.Duration, free int) setbacks {
	all, _ := simplelru.NewLRU[matter, setback](maxSetbacks, nil) // fails for sizes below 1 only
	return setbacks{base: base, free: free, all: all}
}

// add remembers a failure. The first ones in a row have no pause; each after them is twice the one before, if that ended
// less than a longest pause ago.
func (s *setbacks) add(m matter, now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, pause := 1, s.base
	if before, ok := s.all.Peek(m); ok && now.Sub(before.until) < maxBackoff {
		row, pause = before.row+1, max(pause, 2*before.pause)
	}
	if row <= s.free {
		pause = 0
	}
	pause = min(pause, maxBackoff)
	s.all.Add(m, setback{err: err, until: now.Add(pause), pause: pause, row: row})
}

// tell remembers that an origin wants to be left alone for a while.
func (s *setbacks) tell(scope string, now time.Time, pause time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Add(matter{scope: scope}, setback{err: err, until: now.Add(pause)})
}

// clear forgets the failures of a matter.
func (s *setbacks) clear(m matter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Remove(m)
}

// standing returns the failure of a matter that stands, or nil, and how much longer its whole scope is to be left alone.
func (s *setbacks) standing(m matter, now time.Time) (pause time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told, ok := s.all.Peek(matter{scope: m.scope}); ok {
		if pause = max(0, told.until.Sub(now)); pause > patience {
			return pause, told.err
		}
	}
	if failed, ok := s.all.Peek(m); ok && now.Before(failed.until) {
		return pause, failed.err
	}
	return pause, nil
}

// told returns for how long an origin wants to be left alone, as its error tells by a method RetryAfter; 0 if it does not.
func told(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if !errors.As(err, &e) {
		return 0
	}
	return max(0, min(e.RetryAfter(), maxTold))
}
