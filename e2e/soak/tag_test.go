package main

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// at is a moment of a story that begins at 0.
func at(d time.Duration) time.Time { return time.Unix(1000, 0).Add(d) }

// story returns a window from one moment to another; to 0 it goes on.
func story(from, to time.Duration) *window {
	w := &window{begin: at(from)}
	if to > 0 {
		w.end = at(to)
	}
	return w
}

func TestWindows(t *testing.T) {
	const s = time.Second
	w := &windows{all: []*window{story(10*s, 20*s), story(15*s, 18*s), story(30*s, 0)}}
	for _, c := range []struct {
		begin, end   time.Duration
		touches      bool
		longest      time.Duration // that is calm, of the stretches from begin to end
		beyondIsCalm bool
	}{
		{0, 9 * s, false, 9 * s, false},
		{0, 12 * s, true, 10 * s, false},
		{12 * s, 17 * s, true, 0, false},
		{12 * s, 25 * s, true, 5 * s, false},
		{21 * s, 29 * s, false, 8 * s, false},
		{16 * s, 99 * s, true, 10 * s, false},
		{31 * s, 99 * s, true, 0, false},
	} {
		if got := w.touches(at(c.begin), at(c.end)); got != c.touches {
			t.Errorf("%v to %v: touches %t", c.begin, c.end, got)
		}
		if c.longest > 0 && !w.calm(at(c.begin), at(c.end), c.longest) || w.calm(at(c.begin), at(c.end), c.longest+1) {
			t.Errorf("%v to %v: %v are not the longest calm", c.begin, c.end, c.longest)
		}
	}
	if got := w.length(); got != 10*s {
		t.Errorf("%v in all", got)
	}
	var open windows
	end := open.open(at(5 * s))
	if open.touches(at(0), at(4*s)) || !open.touches(at(9*s), at(10*s)) {
		t.Error("a window that goes on")
	}
	open.open(at(1 * s))(at(2 * s)) // which is known only now
	if open.calm(at(0), at(9*s), 4*s) || !open.calm(at(0), at(9*s), 3*s) {
		t.Error("the calm between two windows")
	}
	if end(at(7 * s)); open.touches(at(8*s), at(9*s)) || !open.touches(at(6*s), at(9*s)) {
		t.Error("a window that has ended")
	}
}

// TestJudge holds answers against a tag that meant one after the other: a, b from 10 s on, nothing from 20 s on, c from 60 s
// on; its source was broken from 22 s to 50 s.
func TestJudge(t *testing.T) {
	const s = time.Second
	new := func() *tag {
		return &tag{source: &windows{all: []*window{story(22*s, 50*s)}}, all: []meaning{
			{"a", at(0), at(10 * s)}, {"b", at(10 * s), at(20 * s)}, {"", at(20 * s), at(60 * s)}, {"c", at(60 * s), time.Time{}},
		}}
	}
	for _, c := range []struct {
		name       string
		said       digest.Digest
		floor      int
		asked, got time.Duration
		right      bool
		floorAfter int
	}{
		{"what it means", "a", 0, 5 * s, 6 * s, true, 0},
		{"what it comes to mean meanwhile", "b", 0, 9 * s, 11 * s, true, 1},
		{"what it will mean", "b", 0, 8 * s, 9 * s, false, 0},
		{"what it meant a moment ago", "a", 0, 10*s + staleness - 1, 16 * s, true, 0},
		{"what it meant too long ago", "a", 0, 10*s + staleness, 16 * s, false, 0},
		{"what it meant before somebody saw another", "a", 1, 11 * s, 12 * s, false, 1},
		{"what it means after that", "b", 1, 11 * s, 12 * s, true, 1},
		{"what was taken back a moment ago", "b", 1, 21 * s, 21 * s, true, 1},
		{"what was taken back, while the source is broken", "b", 1, 49 * s, 49 * s, true, 1},
		{"what was taken back, after the source has answered", "b", 1, 50*s + staleness, 56 * s, false, 1},
		{"nothing, when it was taken back", "", 1, 30 * s, 30 * s, true, 2},
		{"nothing, which it never meant so far", "", 0, 5 * s, 6 * s, false, 0},
		{"what it meant when nothing was seen", "b", 2, 30 * s, 30 * s, false, 2},
		{"what was signed last", "c", 2, 99 * s, 99 * s, true, 3},
		{"what nobody signed", "d", 0, 5 * s, 6 * s, false, 0},
	} {
		x := new()
		x.floor = c.floor
		err := x.judge(c.said, x.seen(), at(c.asked), at(c.got))
		if (err == nil) != c.right || x.seen() != c.floorAfter {
			t.Errorf("%s: %v, then floor %d", c.name, err, x.seen())
		}
	}
	for _, c := range []struct {
		listed bool
		asked  time.Duration
		right  bool
	}{{true, 5 * s, true}, {false, 5 * s, false}, {true, 30 * s, true}, {false, 30 * s, true}, {true, 56 * s, false}, {false, 56 * s, true}} {
		if err := new().judgeListed(c.listed, 0, at(c.asked), at(c.asked)); (err == nil) != c.right {
			t.Errorf("listed %t at %s: %v", c.listed, c.asked, err)
		}
	}
}

func TestPublish(t *testing.T) {
	clock := at(0)
	x := &tag{all: []meaning{{digest: "a"}}}
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	x.publish("b", now, func() {
		if x.now() != "b" || !x.all[0].end.IsZero() {
			t.Error("while it is published, both may be answered")
		}
	})
	if x.all[0].end != at(2*time.Second) || x.all[1].begin != at(time.Second) {
		t.Errorf("%+v", x.all)
	}
	x.publish("", now, func() {})
	if d := x.past(func(n int) int { return n - 1 }); d != "b" || x.now() != "" {
		t.Errorf("past %q, now %q", d, x.now())
	}
}
