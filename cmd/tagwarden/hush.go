package main

import (
	"sync"
	"time"
)

// hushTime is how long a line that says the same is held back.
const hushTime = time.Minute

// A hush lets one of many lines about the same thing through, once a minute, with the count of those it held back: an
// outage is one line a minute, not one a request. Keys are words of the config and of this program, so that it is bounded.
type hush struct {
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
	held map[string]int
}

func newHush(now func() time.Time) *hush {
	return &hush{now: now, last: make(map[string]time.Time), held: make(map[string]int)}
}

// pass tells whether a line about key may go out now, and how many were held back since the last one.
func (h *hush) pass(key string) (held int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if last, said := h.last[key]; said && now.Sub(last) < hushTime {
		h.held[key]++
		return 0, false
	}
	held = h.held[key]
	h.last[key], h.held[key] = now, 0
	return held, true
}
