package trust_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// PRODUCT: section 4, only a refusal that rests on an older check has the source asked again: what may be served is not
// delayed by it, and neither is what nothing is known of.
func TestOneQuestionIsEnough(t *testing.T) {
	for _, c := range []struct {
		name  string
		w     word
		asked int
	}{
		{"signed, by an older check", word{st: claims(signed)}, 1},
		{"unsigned, by an older check", word{st: claims()}, 2},
		{"nothing verified", word{err: errors.New("down")}, 1},
	} {
		now := start.Add(9 * time.Second)
		authority(t, &now, &c.w).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		if len(c.w.asked) != c.asked {
			t.Errorf("%s: asked %v", c.name, c.w.asked)
		}
	}
}

// PRODUCT: invariant 4, a failed verification is a security event; that the config allows no root is none, and neither is a
// source that is away.
func TestSecurityEvents(t *testing.T) {
	for _, c := range []struct {
		err    error
		events int
	}{
		{&trust.Refusal{Reason: trust.RootNotPinned, Text: "x"}, 1},
		{&trust.Refusal{Reason: trust.RootNotPinned, Text: "x", Err: trust.ErrNoPin}, 0},
		{&trust.Refusal{Reason: trust.ThresholdNotMet, Text: "x"}, 1},
		{&trust.Refusal{Reason: trust.StateUnavailable, Text: "x"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			events := 0
			col := trust.NewCollections(trust.CollectionsOptions{Format: &format{err: c.err}, Memory: 1 << 20, Observe: func(e trust.Event) {
				if e.Kind != trust.EventRefresh {
					events++
				}
			}})
			defer col.Close()
			if _, err := col.Resolve(t.Context(), name, time.Minute); err == nil {
				t.Error("resolved by nothing")
			}
			synctest.Wait()
			if events != c.events {
				t.Errorf("%v: %d events, want %d", c.err, events, c.events)
			}
		})
	}
}
