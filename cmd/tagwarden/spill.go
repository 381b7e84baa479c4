package main

import (
	"io"
	"sync/atomic"
)

// spillLines is how many log lines may wait for a reader that is slow.
const spillLines = 4096

// A spill is a writer that never blocks: what its reader does not take in time is dropped and counted. A log that nobody
// reads must not stop the gateway.
type spill struct {
	w       io.Writer
	queue   chan []byte
	stop    chan struct{}
	done    chan struct{}
	dropped atomic.Uint64
}

func newSpill(w io.Writer) *spill {
	s := &spill{w: w, queue: make(chan []byte, spillLines), stop: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *spill) run() {
	defer close(s.done)
	for {
		select {
		case line := <-s.queue:
			// There is nobody to tell that the log cannot be written.
			_, _ = s.w.Write(line)
		case <-s.stop:
			for len(s.queue) > 0 {
				_, _ = s.w.Write(<-s.queue)
			}
			return
		}
	}
}

// Write implements io.Writer. It takes lines whole or not at all.
func (s *spill) Write(p []byte) (int, error) {
	select {
	case s.queue <- append([]byte(nil), p...):
	default:
		s.dropped.Add(1)
	}
	return len(p), nil
}

// close writes what waits, as far as the reader takes it before over is closed. What is written later is lost.
func (s *spill) close(over <-chan struct{}) {
	close(s.stop)
	select {
	case <-s.done:
	case <-over:
	}
}
