package main

import (
	"testing"
	"time"
)

func TestHush(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	h := newHush(func() time.Time { return now })
	lines, held := 0, 0
	for range 3600 { // an hour of outage, one failure a second
		if n, ok := h.pass("corp source_unreachable"); ok {
			lines, held = lines+1, held+n
		}
		now = now.Add(time.Second)
	}
	if lines != 60 || held != 59*59 {
		t.Errorf("%d lines, %d held back", lines, held)
	}
	if _, ok := h.pass("corp signature_invalid"); !ok {
		t.Error("another thing was held back")
	}
}
