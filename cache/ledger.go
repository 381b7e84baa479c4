package cache

import "sync"

// A ledger adds up the bytes of content on disk, and can do so anew from a walk over the folder while content comes and goes.
type ledger struct {
	mu     sync.Mutex
	sum    int64
	coming map[string]int64    // content that is about to get its name
	tally  int64               // what the walk that runs makes of the sum
	fresh  map[string]struct{} // paths that are not the walk's business any more; nil when none runs
}

// begin begins a walk. Only one runs at a time.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally = 0
	l.fresh = make(map[string]struct{})
	for path, size := range l.coming {
		l.tally += size
		l.fresh[path] = struct{}{}
	}
}

// add accounts for content that comes to path or, with a negative size, goes from there.
func (l *ledger) add(path string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum += size
	if l.fresh != nil {
		l.tally += size
		l.fresh[path] = struct{}{}
	}
}

// come accounts for content that is about to get its name. It is called before, lest a walk comes across it first, and the
// function that it returns is called afterwards, whether it has it or not.
func (l *ledger) come(path string, size int64) (came func(ok bool)) {
	l.add(path, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.coming == nil {
		l.coming = make(map[string]int64)
	}
	l.coming[path] = size
	return func(ok bool) {
		l.mu.Lock()
		delete(l.coming, path)
		l.mu.Unlock()
		if !ok {
			l.add(path, -size)
		}
	}
}

// found accounts for content that the walk came across, unless add was there first.
func (l *ledger) found(path string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.fresh[path]; !ok {
		l.tally += size
	}
}

// end ends the walk. What it made of the sum stands, if it came to its end. Content that went before the walk had come
// across it is missing in the sum until the next one.
func (l *ledger) end(whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if whole {
		l.sum = l.tally
	}
	l.fresh = nil
}

// bytes returns the sum.
func (l *ledger) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.sum, 0)
}
