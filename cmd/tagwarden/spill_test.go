package main

import (
	"bytes"
	"fmt"
	"testing"
)

// stuck is a reader that takes nothing before it is freed.
type stuck struct {
	free chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.Buffer.Write(p)
}

func TestSpillNeverBlocks(t *testing.T) {
	w := &stuck{free: make(chan struct{})}
	s := newSpill(w)
	for i := range spillLines + 100 {
		fmt.Fprintln(s, i)
	}
	if s.dropped.Load() == 0 {
		t.Error("nothing was dropped")
	}
	over := make(chan struct{})
	close(over)
	s2 := newSpill(&stuck{free: make(chan struct{})})
	fmt.Fprintln(s2, "x")
	s2.close(over) // returns although nobody reads
	close(w.free)
	s.close(nil)
	if got := w.String()[:4]; got != "0\n1\n" {
		t.Errorf("%q", got)
	}
}
