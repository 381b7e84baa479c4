package state

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// clockFile holds the floor of the clock.
	clockFile = "clock"
	// clockEvery is the least time between two writes of the floor.
	clockEvery = time.Minute
)

// A Clock is the machine's clock with a floor under it that outlives the process: what the machine's clock said at the
// last check of trust data that succeeded. However far that is set back, nothing becomes valid again that had expired by
// then. Only such a check raises the floor: it has shown that there is trust data which has not expired at that time, so
// that a clock which was set ahead of it all raises nothing. It is safe for concurrent use, and nobody who asks for the
// time waits for the disk.
type Clock struct {
	store *Store
	wall  func() time.Time
	ticks func() time.Duration
	known atomic.Pointer[reached]

	mu   sync.Mutex    // guards what follows, and who may change known
	kept time.Time     // the floor on disk
	next time.Duration // the tick before which it is not written again

	unread bool // there is a floor on disk that could not be read yet; looked at by whoever writes
}

// reached is what is known of the time. It is immutable.
type reached struct {
	floor  time.Time     // the latest that the machine's clock said at a check that succeeded
	latest time.Time     // the latest time by which a check succeeded; ahead of the floor once the machine's clock fell behind
	at     time.Duration // the tick at which that was known
}

// now returns the earliest time that it can be at the tick; of nothing, one that is long past.
func (r *reached) now(tick time.Duration) time.Time { return r.latest.Add(tick - r.at) }

// Clock returns the clock of the state folder. Wall is the machine's clock; ticks is one that nobody can set, of which
// only differences count. A floor that was damaged is told to Options.Observe, and counts as none: the next check that
// succeeds makes a new one. One that cannot be read counts as none until it can, and is not written over before.
func (s *Store) Clock(wall func() time.Time, ticks func() time.Duration) *Clock {
	c := &Clock{store: s, wall: wall, ticks: ticks, next: ticks()}
	var err error
	// PRODUCT: invariant 6, a damaged file is reported and never trusted.
	if c.kept, err = s.floor(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Observe("", clockFile, err)
		c.unread = unreadable(err)
	}
	c.known.Store(&reached{floor: c.kept, latest: c.kept, at: c.next})
	return c
}

// floor reads the floor. The error is fs.ErrNotExist if there is none.
func (s *Store) floor() (time.Time, error) {
	file := filepath.Join(s.o.Dir, clockFile)
	text, err := readSealed(file, clockFile)
	if err != nil {
		return time.Time{}, fmt.Errorf("state %s: %w", file, err)
	}
	return time.Parse(time.RFC3339Nano, text)
}

// Wall returns what the machine's clock says.
func (c *Clock) Wall() time.Time { return c.wall() }

// Floor returns what the machine's clock said at the last check that succeeded, the latest of all; zero if there was none.
func (c *Clock) Floor() time.Time { return c.known.Load().floor }

// Now returns the later of the machine's clock and of the floor, which moves on as time does while the process lives: it
// never goes back behind a check that succeeded. It has no monotonic reading, so that ages include the time for which the
// machine slept.
func (c *Clock) Now() time.Time {
	wall := c.wall().Round(0)
	if least := c.known.Load().now(c.ticks()); wall.Before(least) {
		return least
	}
	return wall
}

// Raise tells that a check succeeded that began when Now returned checked. The floor is kept on disk, at most once a
// minute: what a crash loses makes it lower by that. That it cannot be kept is told to Options.Observe.
func (c *Clock) Raise(checked time.Time) {
	floor, due := c.raise(checked.Round(0))
	if !due {
		return
	}
	err := c.write(floor)
	c.mu.Lock()
	if err == nil && floor.After(c.kept) {
		c.kept = floor
	}
	c.next = c.ticks() + clockEvery
	c.mu.Unlock()
	if err != nil {
		c.store.o.Observe("", clockFile, fmt.Errorf("state: the floor of the clock is not kept: %w", err))
	}
}

// write keeps the floor.
//
// PRODUCT: invariant 6, what could not be read at the start is not taken back by writing over it.
func (c *Clock) write(floor time.Time) error {
	if c.unread {
		was, err := c.store.floor()
		if c.unread = unreadable(err); c.unread {
			return err
		}
		if was.After(floor) {
			c.learn(was)
			return nil
		}
	}
	return replace(c.store.o.Dir, clockFile, seal(clockFile, floor.UTC().Format(time.RFC3339Nano)))
}

// learn takes in the floor of a process before this one; meanwhile, another may have been raised beyond it.
func (c *Clock) learn(was time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, tick := *c.known.Load(), c.ticks()
	c.kept = was
	if was.After(known.floor) {
		known.floor = was
	}
	if was.After(known.now(tick)) {
		known.latest, known.at = was, tick
	}
	c.known.Store(&known)
}

// unreadable tells whether a file is there, and may be whole, but could not be read.
func unreadable(err error) bool {
	var pathErr *fs.PathError
	return errors.As(err, &pathErr) && !errors.Is(err, fs.ErrNotExist)
}

// raise lifts what is known, and tells whether the floor is to be written, by this caller and no other.
func (c *Clock) raise(checked time.Time) (floor time.Time, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, tick := *c.known.Load(), c.ticks()
	if checked.After(known.now(tick)) {
		known.latest, known.at = checked, tick
	}
	// What ran ahead of the machine's clock is no floor: it would run ahead for ever. Nor is what that says now: it may
	// have been set since the check began.
	if wall := c.wall().Round(0); wall.Before(checked) {
		checked = wall
	}
	if checked.After(known.floor) {
		known.floor = checked
	}
	c.known.Store(&known)
	if c.store.o.ReadOnly || tick < c.next || !known.floor.After(c.kept) {
		return known.floor, false
	}
	c.next = math.MaxInt64 // until it is written
	return known.floor, true
}

// ResetClock forgets the floor: the machine's clock was ahead when it was made. It returns what it was, zero if it was
// damaged. The error is fs.ErrNotExist if there is none.
func (s *Store) ResetClock() (was time.Time, err error) {
	was, err = s.floor()
	if errors.Is(err, fs.ErrNotExist) {
		return was, err
	}
	if err := os.Remove(filepath.Join(s.o.Dir, clockFile)); err != nil {
		return was, fmt.Errorf("state: %w", err)
	}
	return was, syncDir(s.o.Dir)
}
