// Package audit writes one JSON line per decision, in order, without holding requests up, and counts what such lines say.
package audit

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// maxWaiting is at how many bytes of waiting lines no more are taken; as many may be written meanwhile.
	maxWaiting = 4 << 20
	// gather is how long a line may wait for others that go out with it: one write costs more than many lines.
	gather = 5 * time.Millisecond
	// spareBytes is how large a buffer is kept for the next lines.
	spareBytes = 256 << 10
	// stuckTime is how long a write may take before the writer counts as one that takes nothing.
	stuckTime = time.Second
	// closeTime is how long the end of a log waits for a write.
	closeTime = 10 * time.Second
	// retryEvery is how often a write that failed is tried again under Refuse.
	retryEvery = time.Second
)

// errStuck is why lines are lost that waited at the end.
var errStuck = errors.New("audit log: a write does not end")

// ErrFull is returned by Record when the line cannot be kept.
var ErrFull = errors.New("audit log takes no more lines")

// Options are what a Log needs.
type Options struct {
	// Refuse makes Record fail when lines cannot be kept; else they are dropped.
	Refuse bool
	// Dropped is told how many lines were lost, and why; nil: nobody is. It must not block.
	Dropped func(lines int, err error)
}

// A Log writes lines to one writer, from memory of bounded size, a few milliseconds after they came.
type Log struct {
	o       Options
	w       io.Writer
	some    chan struct{} // holds one element when lines have begun to wait
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the last line was written
	cut     bool          // what was written ends within a line; of run alone

	mu      sync.Mutex
	waiting []byte    // lines, each with its end
	failing bool      // under Refuse: the writer does not take lines now
	since   time.Time // when the write began that is under way; zero: none is
	closed  bool      // no line is taken any more
}

// New returns a log that writes to w until it is closed. Nobody else may write to w meanwhile.
func New(w io.Writer, o Options) *Log {
	if o.Dropped == nil {
		o.Dropped = func(int, error) {}
	}
	l := &Log{o: o, w: w, some: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	go l.run()
	return l
}

// Record takes a copy of a line, given without its end. The error is ErrFull when the line cannot be kept and must be.
func (l *Log) Record(line []byte) error {
	taken, first := l.add(line)
	switch {
	case first:
		l.some <- struct{}{}
		return nil
	case taken:
		return nil
	case l.o.Refuse:
		return ErrFull
	}
	l.o.Dropped(1, ErrFull)
	return nil
}

// add lets a line wait, if there is room for it, and tells whether it is the first that does.
func (l *Log) add(line []byte) (taken, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.full() {
		return false, false
	}
	first = len(l.waiting) == 0
	l.waiting = append(append(l.waiting, line...), '\n')
	return true, first
}

// full tells whether no line can be kept. The mutex is held.
//
// PRODUCT: section 2, refuse stops serving while the log takes nothing.
func (l *Log) full() bool {
	stuck := l.o.Refuse && !l.since.IsZero() && time.Since(l.since) >= stuckTime
	return l.failing || stuck || len(l.waiting) >= maxWaiting
}

// take returns the lines that wait; those that come from now on go into empty.
func (l *Log) take(empty []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.waiting
	l.waiting = empty[:0]
	return lines
}

// Full returns the error that Record would return now.
func (l *Log) Full() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Refuse && l.full() {
		return ErrFull
	}
	return nil
}

// Close writes what waits, and ends the log. What is recorded later is lost, and counted as such; so is what waits behind a
// writer that does not come back within ten seconds.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case <-l.stopped:
	case <-late.C:
		l.o.Dropped(bytes.Count(l.take(nil), newline), errStuck)
	}
}

func (l *Log) run() {
	defer close(l.stopped)
	var spare []byte
	wait := time.NewTimer(gather)
	defer wait.Stop()
	for open := true; open; {
		select {
		case <-l.some:
			wait.Reset(gather)
			select {
			case <-wait.C:
			case <-l.stop:
				open = false
			}
		case <-l.stop:
			open = false
		}
		lines := l.take(spare)
		if len(lines) > 0 {
			l.write(lines)
		}
		if spare = nil; cap(lines) <= spareBytes {
			spare = lines
		}
	}
}

// begin notes that a write is under way.
func (l *Log) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
}

// end notes that it has ended, and whether the writer takes lines.
func (l *Log) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.failing = time.Time{}, l.o.Refuse && err != nil
}

// try writes lines, and tells how many bytes of them were. A line that was cut before is ended first.
func (l *Log) try(batch []byte) (n int, err error) {
	if l.cut {
		if _, err := l.w.Write(newline); err != nil {
			return 0, err
		}
	}
	n, err = l.w.Write(batch)
	l.cut = n > 0 && batch[n-1] != '\n'
	return n, err
}

// write writes whole lines. Those that cannot be written are lost, or, under Refuse, tried again until the log is closed.
func (l *Log) write(batch []byte) {
	for {
		l.begin()
		n, err := l.try(batch)
		l.end(err)
		if err == nil {
			return
		}
		// A line of which a part was written comes again, whole.
		if batch = rest(batch, n); !l.o.Refuse {
			l.o.Dropped(bytes.Count(batch, newline), err)
			return
		}
		again := time.NewTimer(retryEvery)
		select {
		case <-again.C:
		case <-l.stop:
			again.Stop()
			l.o.Dropped(bytes.Count(batch, newline), err)
			return
		}
	}
}

var newline = []byte{'\n'}

// rest returns the lines of which not all is among the first n bytes.
func rest(batch []byte, n int) []byte {
	return batch[bytes.LastIndexByte(batch[:n], '\n')+1:]
}
