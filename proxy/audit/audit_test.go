package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a disk that can be full or stuck.
type sink struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	err  error
	gate chan struct{} // writes wait for it when it is not nil
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		n, _ := s.buf.Write(p[:len(p)/2])
		return n, s.err
	}
	return s.buf.Write(p)
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestLinesComeOutWholeAndInOrder(t *testing.T) {
	var s sink
	l := New(&s, Options{})
	var want strings.Builder
	for i := range 3000 {
		if err := l.Record(fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&want, i)
	}
	l.Close()
	if s.String() != want.String() {
		t.Errorf("%d bytes, want %d", len(s.String()), want.Len())
	}
}

func TestFullQueue(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := sink{gate: make(chan struct{})}
			dropped := 0
			l := New(&s, Options{Refuse: refuse, Dropped: func(n int, _ error) { dropped += n }})
			var refused int
			for range maxWaiting {
				if l.Record([]byte(`"x"`)) != nil {
					refused++
				}
			}
			if refuse && (refused == 0 || dropped != 0) || !refuse && (refused != 0 || dropped == 0) {
				t.Errorf("refuse %v: %d refused, %d dropped", refuse, refused, dropped)
			}
			close(s.gate)
			l.Close()
		})
	}
}

func TestDiskFullAndFreedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		s.fail(errors.New("no space left"))
		l := New(&s, Options{Refuse: true})
		if err := l.Record([]byte(`"first"`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gather)
		synctest.Wait()
		if err := l.Full(); !errors.Is(err, ErrFull) {
			t.Errorf("full: %v", err)
		}
		if err := l.Record([]byte(`"second"`)); !errors.Is(err, ErrFull) {
			t.Errorf("while the disk is full: %v", err)
		}
		s.fail(nil)
		time.Sleep(retryEvery) // the clock of the bubble
		synctest.Wait()
		if err := l.Record([]byte(`"third"`)); err != nil {
			t.Errorf("after it was freed: %v", err)
		}
		l.Close()
		// The half that fitted stays, on a line of its own.
		if got := s.String(); got != "\"fir\n\"first\"\n\"third\"\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestDropCountsWhatTheDiskRefuses(t *testing.T) {
	var s sink
	s.fail(errors.New("no space left"))
	dropped := 0
	l := New(&s, Options{Dropped: func(n int, err error) { dropped += n }})
	for range 10 {
		if err := l.Record([]byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	// Of each write the disk takes a half: what is whole there is not lost.
	if whole := strings.Count(s.String(), "\"x\"\n"); dropped == 0 || dropped+whole != 10 {
		t.Errorf("%d dropped and %d written, want 10 in all", dropped, whole)
	}
}

func TestCloseWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		s.fail(errors.New("no space left"))
		dropped := 0
		l := New(&s, Options{Refuse: true, Dropped: func(n int, _ error) { dropped += n }})
		if err := l.Record([]byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gather)
		synctest.Wait()
		l.Close()
		if dropped != 1 {
			t.Errorf("%d dropped, want 1", dropped)
		}
	})
}

// TestCutLine: a line of which the disk took a half spoils no other, and is counted.
func TestCutLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		dropped := 0
		l := New(&s, Options{Dropped: func(n int, _ error) { dropped += n }})
		for i, err := range []error{nil, errors.New("no space left"), nil} {
			s.fail(err)
			if err := l.Record(fmt.Appendf(nil, "%q", fmt.Sprint("line", i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(gather)
			synctest.Wait()
		}
		l.Close()
		if got := s.String(); got != "\"line0\"\n\"lin\n\"line2\"\n" || dropped != 1 {
			t.Errorf("%q, %d dropped", got, dropped)
		}
	})
}

func TestAfterClose(t *testing.T) {
	var s sink
	dropped := 0
	l := New(&s, Options{Dropped: func(n int, _ error) { dropped += n }})
	l.Close()
	if err := l.Record([]byte(`"late"`)); err != nil || dropped != 1 {
		t.Errorf("%v, %d dropped", err, dropped)
	}
	l = New(&s, Options{Refuse: true})
	if err := l.Full(); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := l.Record([]byte(`"late"`)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// counted is a writer that counts its writes.
type counted struct {
	bytes.Buffer
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

// Lines that come within a few milliseconds go out together, and none waits longer.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w counted
		l := New(&w, Options{})
		for range 3 {
			for range 100 {
				if err := l.Record([]byte(`"x"`)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(gather)
			synctest.Wait()
		}
		if w.writes != 3 || w.Len() != 3*100*4 {
			t.Errorf("%d bytes in %d writes", w.Len(), w.writes)
		}
		l.Close()
	})
}

// TestStuckWriter: a writer that never comes back does not hold up the end of the process, and what waits is counted.
func TestStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		dropped := 0
		l := New(&s, Options{Dropped: func(n int, _ error) { dropped += n }})
		for range 3 {
			if err := l.Record([]byte(`"x"`)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(gather)
			synctest.Wait()
		}
		// However long that takes, lines wait as long as there is room: nothing is refused here.
		time.Sleep(2 * stuckTime)
		if err := l.Record([]byte(`"x"`)); err != nil || dropped > 0 {
			t.Errorf("%v, %d dropped while there is room", err, dropped)
		}
		l.Close()
		if dropped != 3 {
			t.Errorf("%d dropped", dropped)
		}
		close(s.gate)
	})
}

// TestRetriesOfACutLine: however often it is tried, a cut line ends once.
func TestRetriesOfACutLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		s.fail(errors.New("no space left"))
		l := New(&s, Options{Refuse: true})
		if err := l.Record([]byte(`"first"`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gather + 3*retryEvery)
		synctest.Wait()
		s.fail(nil)
		time.Sleep(retryEvery)
		l.Close()
		if got := s.String(); got != "\"fir\n\"first\"\n" {
			t.Errorf("%q", got)
		}
	})
}

// TestStuckRefuses: PRODUCT section 2, on_full refuse: a writer that does not come back is one that takes nothing.
func TestStuckRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		l := New(&s, Options{Refuse: true})
		if err := l.Record([]byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(gather + stuckTime - time.Nanosecond)
		if err := errors.Join(l.Record([]byte(`"y"`)), l.Full()); err != nil {
			t.Errorf("a slow writer: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if l.Record([]byte(`"z"`)) == nil || l.Full() == nil {
			t.Error("lines are taken that nobody writes")
		}
		close(s.gate)
		time.Sleep(gather)
		synctest.Wait()
		if err := l.Record([]byte(`"z"`)); err != nil {
			t.Error(err)
		}
		l.Close()
		if got := s.String(); got != "\"x\"\n\"y\"\n\"z\"\n" {
			t.Errorf("%q", got)
		}
	})
}
