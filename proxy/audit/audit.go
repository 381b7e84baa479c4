// Package audit writes one JSON line per decision, in order, without holding requests up, and counts what such lines say.
package audit

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueLines is how many lines may wait to be written.
	queueLines = 8 << 10
	// batchBytes is about how many bytes go out in one write.
	batchBytes = 64 << 10
	// retryEvery is how often a write that failed is tried again under Refuse.
	retryEvery = time.Second
)

// ErrFull is returned by Record when the line cannot be kept.
var ErrFull = errors.New("audit log takes no more lines")

// Options are what a Log needs.
type Options struct {
	// Refuse makes Record fail when lines cannot be kept; else they are dropped.
	Refuse bool
	// Dropped is told how many lines were lost, and why; nil: nobody is. It must not block.
	Dropped func(lines int, err error)
}

// A Log writes lines to one writer from a queue of bounded length.
type Log struct {
	o       Options
	w       io.Writer
	queue   chan []byte
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the last line was written
	failing atomic.Bool   // under Refuse: the writer does not take lines now
	cut     bool          // what was written ends within a line; of run alone

	mu     sync.RWMutex
	closed bool // no line goes into the queue any more
}

// New returns a log that writes to w until it is closed. Nobody else may write to w meanwhile.
func New(w io.Writer, o Options) *Log {
	if o.Dropped == nil {
		o.Dropped = func(int, error) {}
	}
	l := &Log{o: o, w: w, queue: make(chan []byte, queueLines), stop: make(chan struct{}), stopped: make(chan struct{})}
	go l.run()
	return l
}

// Record puts a line, without its end, into the queue; it is the log's from then on. The error is ErrFull when the line
// cannot be kept and must be.
func (l *Log) Record(line []byte) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	// PRODUCT: section 2, refuse stops serving while the log takes nothing.
	if l.failing.Load() {
		return ErrFull
	}
	if !l.closed {
		select {
		case l.queue <- append(line, '\n'):
			return nil
		default:
		}
	}
	if l.o.Refuse {
		return ErrFull
	}
	l.o.Dropped(1, ErrFull)
	return nil
}

// Full returns the error that Record would return now.
func (l *Log) Full() error {
	if l.o.Refuse && (l.failing.Load() || len(l.queue) == cap(l.queue)) {
		return ErrFull
	}
	return nil
}

// Close writes what is in the queue, and ends the log. What is recorded later is lost, and counted as such.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	<-l.stopped
}

func (l *Log) run() {
	defer close(l.stopped)
	for {
		select {
		case line := <-l.queue:
			l.write(l.batch(line))
		case <-l.stop:
			for len(l.queue) > 0 {
				l.write(l.batch(<-l.queue))
			}
			return
		}
	}
}

// batch returns the line with those that wait behind it, up to the size of one write.
func (l *Log) batch(line []byte) []byte {
	for len(line) < batchBytes {
		select {
		case next := <-l.queue:
			line = append(line, next...)
		default:
			return line
		}
	}
	return line
}

// write writes whole lines. Those that cannot be written are lost, or, under Refuse, tried again until the log is closed.
func (l *Log) write(batch []byte) {
	for {
		if l.cut {
			batch = append([]byte{'\n'}, batch...)
		}
		n, err := l.w.Write(batch)
		if n > 0 {
			l.cut = batch[n-1] != '\n'
		}
		if err == nil {
			l.failing.Store(false)
			return
		}
		// A line of which a part was written comes again, whole.
		if batch = rest(batch, n); !l.o.Refuse {
			l.o.Dropped(bytes.Count(batch, newline), err)
			return
		}
		l.failing.Store(true)
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
