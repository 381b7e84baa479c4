package main

import (
	"sync"
	"time"
)

// A window is a stretch of time in which something was broken on purpose, and a while after it. Without an end it goes on.
type window struct{ begin, end time.Time }

// Windows are those of one place, in the order in which they began. They may overlap.
type windows struct {
	mu  sync.Mutex
	all []window
}

// open begins a window, and returns how to say when it ends, which may be a time to come.
func (w *windows) open(at time.Time) (end func(time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.all)
	w.all = append(w.all, window{begin: at})
	return func(at time.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all[i].end = at
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
