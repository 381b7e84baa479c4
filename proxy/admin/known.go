package admin

import (
	"maps"
	"sync/atomic"
)

// A known finds metrics by their labels, of which there are few: the library's own way costs each request more than all
// the counting. It is safe for concurrent use.
type known[K comparable, M any] struct {
	find func(K) M // the library's way
	seen atomic.Pointer[map[K]M]
}

// newKnown returns a known that finds metrics by find.
func newKnown[K comparable, M any](find func(K) M) *known[K, M] {
	k := &known[K, M]{find: find}
	k.seen.Store(&map[K]M{})
	return k
}

// get returns the metric with the labels.
func (k *known[K, M]) get(labels K) M {
	seen := *k.seen.Load()
	if m, ok := seen[labels]; ok {
		return m
	}
	m := k.find(labels)
	more := maps.Clone(seen)
	more[labels] = m
	k.seen.Store(&more) // of two that do this at once one is forgotten, and found again
	return m
}
