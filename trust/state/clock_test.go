package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// A machine has a clock that somebody sets, and one that nobody can.
type machine struct {
	wall time.Time
	tick time.Duration
}

// pass lets time pass.
func (m *machine) pass(d time.Duration) { m.wall, m.tick = m.wall.Add(d), m.tick+d }

// start returns the clock of a folder as after a start of the process, and where damage is told.
func (m *machine) start(t *testing.T, dir string) (*Store, *Clock, *[]error) {
	t.Helper()
	told := new([]error)
	s, err := Open(t.Context(), Options{Dir: dir, Observe: func(_, _ string, err error) { *told = append(*told, err) }})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s, s.Clock(func() time.Time { return m.wall }, func() time.Duration { return m.tick }), told
}

// says checks what the clock says, and what it takes for the floor.
func says(t *testing.T, what string, c *Clock, now, floor time.Time) {
	t.Helper()
	if !c.Now().Equal(now) || !c.Floor().Equal(floor) {
		t.Errorf("%s: %s over %s, want %s over %s", what, c.Now(), c.Floor(), now, floor)
	}
}

// TestClockIsTheMachines: as long as nobody sets it, and before there is a floor.
func TestClockIsTheMachines(t *testing.T) {
	m := &machine{wall: noon, tick: time.Hour}
	_, c, told := m.start(t, t.TempDir())
	says(t, "at first", c, noon, time.Time{})
	m.pass(time.Minute)
	m.wall = noon.AddDate(-1, 0, 0)
	says(t, "set back before any check", c, noon.AddDate(-1, 0, 0), time.Time{})
	m.wall = noon
	for range 100 {
		c.Raise(c.Now())
		says(t, "checked", c, m.wall, m.wall)
		m.pass(time.Minute)
	}
	if !c.Wall().Equal(m.wall) || len(*told) > 0 {
		t.Errorf("%s, %v", c.Wall(), *told)
	}
}

// TestClockNeverGoesBack: time goes on from the last check that succeeded, whatever the machine's clock is set to; and
// after a restart it is no earlier than that check.
func TestClockNeverGoesBack(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	s, c, _ := m.start(t, dir)
	c.Raise(c.Now())
	m.pass(50 * time.Minute) // without a check
	m.wall = noon.Add(-10 * time.Hour)
	says(t, "set back", c, noon.Add(50*time.Minute), noon)
	m.pass(10 * time.Minute)
	says(t, "later", c, noon.Add(time.Hour), noon)
	c.Raise(c.Now())
	says(t, "checked", c, noon.Add(time.Hour), noon)
	must(t, s.Close())

	_, c, _ = m.start(t, dir)
	says(t, "after a restart", c, noon, noon)
	m.pass(10 * time.Minute)
	says(t, "and later", c, noon.Add(10*time.Minute), noon)
}

// TestClockMends: a machine that was ahead when something was checked, and is right again, is behind the floor until the
// time comes that it said, and no longer, although checks go on meanwhile.
func TestClockMends(t *testing.T) {
	m := &machine{wall: noon.Add(10 * time.Minute)}
	_, c, _ := m.start(t, t.TempDir())
	c.Raise(c.Now())
	m.wall = noon
	for range 10 {
		says(t, "behind", c, m.wall.Add(10*time.Minute), noon.Add(10*time.Minute))
		c.Raise(c.Now())
		m.pass(time.Minute)
	}
	m.pass(time.Minute)
	c.Raise(c.Now())
	says(t, "in time", c, noon.Add(21*time.Minute), noon.Add(11*time.Minute))
}

// TestClockAhead: a machine that was ahead while no check succeeded leaves nothing behind, nor does one that was set
// during a check.
func TestClockAhead(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	s, c, _ := m.start(t, dir)
	began := c.Now()
	m.wall = noon.AddDate(10, 0, 0)
	says(t, "ahead", c, noon.AddDate(10, 0, 0), time.Time{})
	c.Raise(began)
	m.wall = noon
	says(t, "right again", c, noon, noon)
	must(t, s.Close())
	_, c, _ = m.start(t, dir)
	says(t, "after a restart", c, noon, noon)
	// A machine that slept is ahead of the ticks.
	m.wall = noon.Add(72 * time.Hour)
	c.Raise(c.Now())
	m.pass(time.Second)
	says(t, "woken", c, noon.Add(72*time.Hour+time.Second), noon.Add(72*time.Hour))
}

// TestClockIsWrittenSeldom: once a minute, whatever the number of checks.
func TestClockIsWrittenSeldom(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon, tick: 7 * time.Hour}
	_, c, _ := m.start(t, dir)
	last, writes := "", 0
	for range 121 {
		c.Raise(c.Now())
		if data, err := os.ReadFile(filepath.Join(dir, clockFile)); err == nil && string(data) != last {
			last = string(data)
			writes++
		}
		m.pass(time.Second)
	}
	if writes != 3 {
		t.Errorf("%d writes in two minutes", writes)
	}
	// What is on disk already is not written again.
	must(t, os.Remove(filepath.Join(dir, clockFile)))
	m.wall = noon
	m.tick += time.Hour
	c.Raise(c.Now())
	if _, err := os.Stat(filepath.Join(dir, clockFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a floor that has not risen was written: %v", err)
	}
}

// TestClockThatCannotBeKept: it is told once a minute, the floor holds for this process, and is written when it can be.
func TestClockThatCannotBeKept(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	file := filepath.Join(dir, clockFile)
	_, c, told := m.start(t, dir)
	must(t, os.Mkdir(file, 0o700))
	for range 121 {
		c.Raise(c.Now())
		m.pass(time.Second)
	}
	if len(*told) != 3 || !strings.Contains((*told)[0].Error(), "the floor of the clock is not kept") {
		t.Errorf("told %v", *told)
	}
	says(t, "not kept", c, m.wall, m.wall.Add(-time.Second))
	must(t, os.Remove(file))
	m.tick += time.Minute
	c.Raise(c.Floor()) // which is as high as before
	if text, err := readSealed(file, clockFile); err != nil || text != c.Floor().Format(time.RFC3339Nano) {
		t.Errorf("%q, %v", text, err)
	}
}

// TestClockDamaged: PRODUCT invariant 6, a file that is not what was written is reported and is no time, and the next check
// makes a new one.
func TestClockDamaged(t *testing.T) {
	genuine := string(seal(clockFile, noon.Format(time.RFC3339Nano)))
	for what, data := range map[string]string{
		"empty": "", "rubbish": "x", "without a checksum": "2999-01-01T00:00:00Z\n", "zeros": strings.Repeat("\x00", len(genuine)),
		"another time":      strings.Replace(genuine, "2026", "2999", 1),
		"cut":               genuine[:len(genuine)-1],
		"more behind it":    genuine + "\n",
		"endless":           genuine[:20] + strings.Repeat(" ", 1<<20),
		"of something else": string(seal("r.example/app", noon.Format(time.RFC3339Nano))),
		"no time":           string(seal(clockFile, "noon")),
		"a folder":          "",
	} {
		dir, m := t.TempDir(), &machine{wall: noon}
		file := filepath.Join(dir, clockFile)
		if what == "a folder" {
			must(t, os.Mkdir(file, 0o700))
		} else {
			must(t, os.WriteFile(file, []byte(data), 0o600))
		}
		s, c, told := m.start(t, dir)
		says(t, what, c, noon, time.Time{})
		if len(*told) != 1 {
			t.Errorf("%s: told %v", what, *told)
		}
		c.Raise(c.Now())
		must(t, s.Close())
		_, c, told = m.start(t, dir)
		if what != "a folder" && (!c.Floor().Equal(noon) || len(*told) > 0) {
			t.Errorf("%s, after a check: %s, %v", what, c.Floor(), *told)
		}
	}
}

// PRODUCT: invariant 6, a floor that could not be read at the start, and can be later, is not lost by writing over it.
func TestClockUnreadAtFirst(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	s, c, _ := m.start(t, dir)
	m.pass(time.Minute)
	c.Raise(c.Now())
	must(t, s.Close())
	// A link to itself cannot be read by anybody.
	file := filepath.Join(dir, clockFile)
	must(t, os.Rename(file, file+".aside"))
	must(t, os.Symlink(clockFile, file))
	m.wall = noon.AddDate(0, 0, -9)
	_, c, told := m.start(t, dir)
	for range 2 {
		m.pass(clockEvery)
		c.Raise(c.Now())
		says(t, "unread", c, m.wall, m.wall)
	}
	if len(*told) != 3 {
		t.Errorf("told %v", *told)
	}
	must(t, os.Rename(file+".aside", file))
	m.pass(clockEvery)
	c.Raise(c.Now())
	says(t, "read at last", c, noon.Add(time.Minute), noon.Add(time.Minute))
	m.pass(2 * clockEvery)
	c.Raise(c.Now())
	says(t, "and later", c, noon.Add(3*time.Minute), noon.Add(time.Minute))
}

// TestClockLearns: what is learnt of an earlier process takes nothing back that was reached while it was read.
func TestClockLearns(t *testing.T) {
	m := &machine{wall: noon}
	_, c, _ := m.start(t, t.TempDir())
	c.Raise(c.Now())
	c.learn(noon.Add(-time.Minute))
	says(t, "an older one", c, noon, noon)
	c.learn(noon.Add(time.Minute))
	says(t, "a newer one", c, noon.Add(time.Minute), noon.Add(time.Minute))
}

// TestClockUnreadAndOlder: one that could not be read, and is older than what has been reached meanwhile, gives way.
func TestClockUnreadAndOlder(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	file := filepath.Join(dir, clockFile)
	must(t, os.Symlink(clockFile, file))
	s, c, _ := m.start(t, dir)
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, seal(clockFile, noon.AddDate(0, 0, -1).Format(time.RFC3339Nano)), 0o600))
	m.pass(clockEvery)
	c.Raise(c.Now())
	says(t, "read at last", c, m.wall, m.wall)
	must(t, s.Close())
	_, c, _ = m.start(t, dir)
	says(t, "after a restart", c, m.wall, m.wall)
}

// TestClockReadOnly: who only reads sees the floor, and does not write one.
func TestClockReadOnly(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	_, c, _ := m.start(t, dir)
	c.Raise(c.Now())
	m.pass(time.Hour)
	s, err := Open(t.Context(), Options{Dir: dir, ReadOnly: true})
	must(t, err)
	reader := s.Clock(func() time.Time { return m.wall }, func() time.Duration { return m.tick })
	reader.Raise(reader.Now())
	says(t, "reader", reader, m.wall, m.wall)
	if text, err := readSealed(filepath.Join(dir, clockFile), clockFile); err != nil || text != noon.Format(time.RFC3339Nano) {
		t.Errorf("on disk %q, %v", text, err)
	}
}

// TestResetClock: what was is said, and is gone; the clock begins anew.
func TestResetClock(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon.AddDate(10, 0, 0)}
	s, c, _ := m.start(t, dir)
	if _, err := s.ResetClock(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reset of nothing: %v", err)
	}
	c.Raise(c.Now())
	m.wall = noon
	if was, err := s.ResetClock(); err != nil || !was.Equal(noon.AddDate(10, 0, 0)) {
		t.Errorf("reset: %s, %v", was, err)
	}
	must(t, s.Close())
	s, c, _ = m.start(t, dir)
	says(t, "after the reset", c, noon, time.Time{})
	must(t, os.WriteFile(filepath.Join(dir, clockFile), []byte("x"), 0o600))
	if was, err := s.ResetClock(); err != nil || !was.IsZero() {
		t.Errorf("reset of a damaged one: %s, %v", was, err)
	}
	if _, err := os.Stat(filepath.Join(dir, clockFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// TestClockInCrowds: whoever raises it, and however often at once, nobody sees it go back.
func TestClockInCrowds(t *testing.T) {
	s := open(t, t.TempDir())
	began := time.Now()
	// A machine whose clock is set back all the time.
	wall := func() time.Time { now := time.Now(); return now.Add(-time.Duration(now.Nanosecond()%1000) * time.Hour) }
	c := s.Clock(wall, func() time.Duration { return time.Since(began) })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				checked := c.Now()
				c.Raise(checked)
				if floor, now := c.Floor(), c.Now(); now.Before(checked) || floor.After(now) {
					t.Errorf("%s after %s, over %s", now, checked, floor)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestClockIsWrittenByOne: checks that succeed at the same time write one floor, so that no older one comes last.
func TestClockIsWrittenByOne(t *testing.T) {
	dir, m := t.TempDir(), &machine{wall: noon}
	_, c, told := m.start(t, dir)
	must(t, os.Mkdir(filepath.Join(dir, clockFile), 0o700)) // each attempt is told
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() { c.Raise(noon) })
	}
	all.Wait()
	if len(*told) != 1 {
		t.Errorf("%d attempts", len(*told))
	}
}

// TestClockCountsSleep: the difference of two times includes what the machine slept, which a monotonic reading does not.
func TestClockCountsSleep(t *testing.T) {
	c := open(t, t.TempDir()).Clock(time.Now, func() time.Duration { return 0 })
	if now := c.Now(); now != now.Round(0) {
		t.Errorf("%s has a monotonic reading", now)
	}
}
