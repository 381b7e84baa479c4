package rig

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseMemory(t *testing.T) {
	for _, c := range []struct {
		raw   string
		want  int64
		fails bool
	}{
		{"Name:\tbare\nVmPeak:\t  9000 kB\nVmHWM:\t   2048 kB\nVmRSS:\t  1024 kB\n", 2 << 20, false},
		{"Name:\tbare\nVmHWM:\t 2048 MB\n", 0, true},
		{"Name:\tbare\nVmHWM:\t x kB\n", 0, true},
		{"Name:\tbare\n", 0, true},
	} {
		got, err := parseMemory([]byte(c.raw), Peak)
		if got != c.want || err != nil != c.fails {
			t.Errorf("%q: %d, %v", c.raw, got, err)
		}
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !Wait(ctx, time.Second) || time.Since(begin) != time.Second {
			t.Errorf("waited %s", time.Since(begin))
		}
		if Wait(ctx, time.Hour) || time.Since(begin) != time.Minute || Wait(ctx, 0) {
			t.Errorf("waited %s, though its context has ended", time.Since(begin))
		}
	})
}

// TestListening: the ports are those of the line that says so.
func TestListening(t *testing.T) {
	registry, admin := listening([]byte("no JSON\n{\"message\":\"x\"}\n{\"message\":\"listening\",\"registry\":\"a:1\",\"admin\":\"b:2\"}\n"))
	if registry != "a:1" || admin != "b:2" {
		t.Error(registry, admin)
	}
}
