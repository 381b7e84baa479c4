package cache

import "sync"

// A ledger adds up the bytes of content on disk, and can do so anew from a walk over the folder while content comes and goes.
type ledger struct {
	mu     sync.Mutex
	sum    int64
	coming map[string]*arrival // content that is about to get its name
	tally  int64               // what the walk that runs makes of the sum
	fresh  map[string]struct{} // paths that are not the walk's business any more; nil when none runs
}

// An arrival is content of so many bytes that is about to get its name.
type arrival struct{ size int64 }

// begin begins a walk. Only one runs at a time.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally = 0
	l.fresh = make(map[string]struct{})
	for path, a := range l.coming {
		l.tally += a.size
		l.fresh[path] = struct{}{}
	}
}

// leave accounts for content that is about to go from path. It is called before, lest what comes there next is taken for it,
// and the function that it returns takes it back, for content that did not go.
func (l *ledger) leave(path string, size int64) (stayed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// It can go before those who brought it say that it came. A walk must not count it for that any more.
	delete(l.coming, path)
	l.account(path, -size)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.account(path, size)
	}
}

// account adds to the sums. The mutex is held.
func (l *ledger) account(path string, size int64) {
	l.sum += size
	if l.fresh != nil {
		l.tally += size
		l.fresh[path] = struct{}{}
	}
}

// come accounts for content that is about to get its name. It is called before, lest a walk comes across it first, and the
// function that it returns is called afterwards, whether it has it or not.
func (l *ledger) come(path string, size int64) (came func(ok bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(path, size)
	if l.coming == nil {
		l.coming = make(map[string]*arrival)
	}
	a := &arrival{size}
	l.coming[path] = a
	return func(ok bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.coming[path] == a { // and not what came to the same path since
			delete(l.coming, path)
		}
		if !ok {
			l.account(path, -size)
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
