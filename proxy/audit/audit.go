// Package audit writes one JSON line per decision, in order, without holding requests up.
package audit

import (
	"encoding/json"
	"errors"
	"io"
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

// Record puts v, as one line of JSON, into the queue. The error is ErrFull when the line cannot be kept and must be.
func (l *Log) Record(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// PRODUCT: section 2, refuse stops serving while the log takes nothing.
	if l.failing.Load() {
		return ErrFull
	}
	select {
	case l.queue <- append(line, '\n'):
		return nil
	default:
	}
	if l.o.Refuse {
		return ErrFull
	}
	l.o.Dropped(1, ErrFull)
	return nil
}

// Close writes what is in the queue, and ends the log. Record must not be called any more.
func (l *Log) Close() {
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
func (l *Log) batch(line []byte) (batch []byte, lines int) {
	batch, lines = line, 1
	for len(batch) < batchBytes {
		select {
		case next := <-l.queue:
			batch, lines = append(batch, next...), lines+1
		default:
			return batch, lines
		}
	}
	return batch, lines
}

// write writes the batch. What cannot be written is lost, or, under Refuse, tried again until the log is closed.
func (l *Log) write(batch []byte, lines int) {
	for {
		n, err := l.w.Write(batch)
		if err == nil {
			l.failing.Store(false)
			return
		}
		if batch = batch[n:]; !l.o.Refuse {
			l.o.Dropped(lines, err)
			return
		}
		l.failing.Store(true)
		again := time.NewTimer(retryEvery)
		select {
		case <-again.C:
		case <-l.stop:
			again.Stop()
			l.o.Dropped(lines, err)
			return
		}
	}
}
