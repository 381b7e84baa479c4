package main

import (
	"slices"
	"sync"
	"time"
)

// A window is a stretch of time in which something was broken on purpose, and a while after it. Without an end it goes on.
type window struct{ begin, end time.Time }

// Windows are those of one place. They may overlap.
type windows struct {
	mu  sync.Mutex
	all []*window // in the order in which they begin
}

// open begins a window, and returns how to say when it ends, which may be a time to come.
func (w *windows) open(at time.Time) (end func(time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &window{begin: at}
	i := len(w.all)
	for i > 0 && w.all[i-1].begin.After(at) {
		i--
	}
	w.all = slices.Insert(w.all, i, one)
	return func(at time.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		one.end = at
	}
}

// touches tells whether something was broken at a moment between begin and end.
func (w *windows) touches(begin, end time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if !one.begin.After(end) && (one.end.IsZero() || !one.end.Before(begin)) {
			return true
		}
	}
	return false
}

// calm tells whether between begin and end there is a stretch of that length in which nothing was broken.
func (w *windows) calm(begin, end time.Time, length time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if !one.end.IsZero() && one.end.Before(begin) {
			continue
		}
		if one.begin.After(end) {
			break
		}
		if one.begin.Sub(begin) >= length {
			return true
		}
		if one.end.IsZero() {
			return false
		}
		begin = one.end
	}
	return end.Sub(begin) >= length
}

// length is how long they last together, but for what goes on.
func (w *windows) length() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum time.Duration
	var last time.Time
	for _, one := range w.all {
		begin := one.begin
		if begin.Before(last) {
			begin = last
		}
		if one.end.After(begin) {
			sum, last = sum+one.end.Sub(begin), one.end
		}
	}
	return sum
}
