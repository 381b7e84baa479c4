package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// TestSoak runs a short soak of the real binary, with bounds on time that hold on a busy machine too.
func TestSoak(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc, and all of 127.0.0.0/8")
	}
	dir := t.TempDir()
	binary, remove, err := rig.Build("soak")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}()
	o, err := parse([]string{"-tagwarden", binary, "-for", "12s", "-clients", "50", "-rate", "150", "-calm", "10s", "-rough", "20s"})
	if err != nil {
		t.Fatal(err)
	}
	o.limits.stalled = 1
	s, err := run(t.Context(), o, dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.report(&out)
	t.Logf("%s", out.Bytes())
	if err := s.verdict(); err != nil {
		t.Error(err)
	}
	if s.tally.total() < 200 || len(s.faults) < 3 || len(s.tally.decisions) == 0 || s.lines == 0 || s.during.goroutines == 0 || len(s.tally.names()) < len(kinds()) {
		t.Errorf("next to nothing was tried: %d requests, %v", s.tally.total(), s.faults)
	}
}

func TestParse(t *testing.T) {
	if o, err := parse(nil); err != nil || o.clients != 500 || o.duration != 10*time.Minute || o.climate.badMost != 6*time.Second {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse([]string{"-for", "30s"}); err != nil || o.climate.badMost != 2*time.Second {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"x"}, {"-for", "1s"}, {"-clients", "0"}, {"-rate", "0"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(99-i))
	}
	if got := fmt.Sprint(percentiles(all, 0, 50, 99, 100)); got != "[0s 50ns 99ns 99ns]" {
		t.Error(got)
	}
	if got := percentiles(nil, 50); got[0] != 0 {
		t.Error(got)
	}
}

func TestMetrics(t *testing.T) {
	text := []byte("# HELP a\na{k=\"x\"} 1\na{k=\"y\"} 2.5e1\nab 7\nbad\n")
	for prefix, want := range map[string]float64{"a{": 26, `a{k="x"}`: 1, "ab ": 7, "c": 0} {
		if got := sum(text, prefix); got != want {
			t.Errorf("%s: %v, want %v", prefix, got, want)
		}
	}
}

// A leak is told, and so are promises that do not hold.
func TestVerdict(t *testing.T) {
	within := limits{stalled: 0.2, calm: time.Second, rough: time.Second, resident: 100, heap: 10, goroutines: 10, descriptors: 10}
	fine := func() *soak { return &soak{tally: newTally(), o: options{limits: within, duration: time.Second}} }
	if err := fine().verdict(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*soak){
		"goroutines":  func(s *soak) { s.after.goroutines = 11 },
		"descriptors": func(s *soak) { s.after.descriptors = 11 },
		"heap":        func(s *soak) { s.after.heap = 11 },
		"cache":       func(s *soak) { s.after.cached = cacheSize + 1 },
		"memory":      func(s *soak) { s.during.peak = 101 },
		"calm":        func(s *soak) { s.tally.took[calm] = []time.Duration{2 * time.Second} },
		"rough":       func(s *soak) { s.tally.took[rough] = []time.Duration{2 * time.Second} },
		"stalls":      func(s *soak) { s.m.stalled(time.Unix(1, 0), time.Unix(2, 0), nil) },
		"promise":     func(s *soak) { s.broken("x") },
		"answer":      func(s *soak) { s.tally.add("x", outcome{wrong: os.ErrInvalid}, calm) },
	} {
		s := fine()
		if change(s); s.verdict() == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
}
