package cache

import (
	"context"
	"slices"
	"sync"
)

// turns say which fills run. Nobody holds one while waiting for another, so that a slow place or a greedy client is in
// nobody's way but its own.
//
// PRODUCT: invariant 9: one slow or hostile upstream or client does not slow the others.
type turns struct {
	most, perPlace, perClient int

	mu      sync.Mutex
	running int
	places  map[string]int
	clients map[string]int
	queue   []*turn // in order of arrival
}

// A turn is that of one fill, from a place and for a client.
type turn struct {
	from, who string
	begin     chan struct{}
}

// newTurns returns turns of which so many run at a time: in all, from one place, and begun by one client.
func newTurns(most, perPlace, perClient int) turns {
	return turns{most: most, perPlace: perPlace, perClient: perClient, places: make(map[string]int), clients: make(map[string]int)}
}

// take waits for a turn, which must be given back, or returns the cause of ctx.
func (t *turns) take(ctx context.Context, from, who string) (*turn, error) {
	w := &turn{from, who, make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, w)
	t.next()
	t.mu.Unlock()
	select {
	case <-w.begin:
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		return w, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue, w)
	if i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	} else {
		t.end(w)
	}
	return nil, context.Cause(ctx)
}

// give ends a turn.
func (t *turns) give(w *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(w)
}

// end ends a turn and begins those that there is room for now. The mutex is held.
func (t *turns) end(w *turn) {
	t.running--
	lower(t.places, w.from)
	lower(t.clients, w.who)
	t.next()
}

// lower counts one less, and forgets what is not there any more.
func lower(m map[string]int, key string) {
	if m[key]--; m[key] <= 0 {
		delete(m, key)
	}
}

// next begins the turns that there is room for. The mutex is held.
func (t *turns) next() {
	if t.running == t.most {
		return
	}
	t.queue = slices.DeleteFunc(t.queue, func(w *turn) bool {
		if t.running == t.most || t.places[w.from] == t.perPlace || w.who != "" && t.clients[w.who] == t.perClient {
			return false
		}
		t.running++
		t.places[w.from]++
		t.clients[w.who]++
		close(w.begin)
		return true
	})
}

// count returns how many run.
func (t *turns) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running
}

// waiting returns how many wait.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}
