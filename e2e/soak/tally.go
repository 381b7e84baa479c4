package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxTold is how many wrong answers are told in full.
const maxTold = 20

// sampleEvery is how many decisions there are to one that is looked for in the audit log.
const sampleEvery = 8

// A count is what came of the requests of one kind.
type count struct {
	requests, excused, wrong int
	statuses                 map[int]int // 0: the connection broke
}

// Trouble is what was the matter when an answer came.
type trouble uint8

const (
	calm    trouble = iota // nothing that it rests on
	rough                  // its source, or the gateway, was broken on purpose
	stalled                // the machine had no time
	troubles
)

// String is what a report calls it.
func (t trouble) String() string { return [troubles]string{"in calm", "in faults", "in stalls"}[t] }

// A tally is what came of all requests.
type tally struct {
	mu        sync.Mutex
	kinds     map[string]*count
	told      []string
	took      [troubles][]time.Duration // by warm tags
	bytes     int64
	decisions map[string]time.Time // a sample: when clients saw them, by id
	skipped   int                  // decisions since the last of the sample
}

func newTally() *tally {
	return &tally{kinds: make(map[string]*count), decisions: make(map[string]time.Time)}
}

// add counts an outcome.
func (t *tally) add(kind string, o outcome, when trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.kinds[kind]
	if c == nil {
		c = &count{statuses: make(map[int]int)}
		t.kinds[kind] = c
	}
	c.requests++
	t.bytes += o.size
	if o.err != nil {
		c.statuses[0]++
	} else {
		c.statuses[o.status]++
	}
	switch {
	case o.wrong != nil:
		c.wrong++
		if len(t.told) < maxTold {
			t.told = append(t.told, fmt.Sprintf("%s, at %s for %s: %v (%s)", kind, o.asked.Format("15:04:05.000"), o.got.Sub(o.asked).Round(time.Millisecond), o.wrong, &o.reply))
		}
	case o.excused:
		c.excused++
	case o.warm:
		t.took[when] = append(t.took[when], o.got.Sub(o.asked))
	}
	if id := o.header.Get("Tagwarden-Decision"); id != "" && o.err == nil {
		if t.skipped++; t.skipped == sampleEvery {
			t.decisions[id], t.skipped = o.got, 0
		}
	}
}

// wrong is how many answers broke a promise.
func (t *tally) wrong() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, c := range t.kinds {
		n += c.wrong
	}
	return n
}

// total is how many requests there were.
func (t *tally) total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, c := range t.kinds {
		n += c.requests
	}
	return n
}

// names are the kinds that were asked for, sorted.
func (t *tally) names() []string { return slices.Sorted(maps.Keys(t.kinds)) }

// percentiles returns the value below which so many of a hundred are, for each of them; 0 of none.
func percentiles(all []time.Duration, of ...float64) []time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	found := make([]time.Duration, len(of))
	for i, p := range of {
		if len(sorted) > 0 {
			found[i] = sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
		}
	}
	return found
}
