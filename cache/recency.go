package cache

import (
	"os"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

const (
	// maxUses is of how much content it is known to the moment when it was used last. Of the rest it is known to the hour.
	maxUses = 16 << 10
	// saveEvery is how old the time of a file may be before a use writes it again.
	saveEvery = time.Hour
	// keptMode marks the files that are evicted last.
	keptMode = 0o400
)

// A use says when content was used last, and what its file says of that.
type use struct {
	at, saved time.Time
	kept      bool
}

// A recency knows when content was used, more exactly than the files do, which cost a write.
type recency struct {
	mu   sync.Mutex
	uses *simplelru.LRU[digest.Digest, *use]
}

// newRecency returns a recency that knows of no use.
func newRecency() recency {
	uses, _ := simplelru.NewLRU[digest.Digest, *use](maxUses, nil) // fails for sizes below 1 only
	return recency{uses: uses}
}

// mark notes a use of content whose file says saved, if that is known, and tells whether it should say now instead.
func (r *recency) mark(d digest.Digest, now, saved time.Time) (save bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, ok := r.uses.Get(d)
	if !ok {
		u = &use{saved: saved}
		r.uses.Add(d, u)
	}
	u.at = now
	if now.Sub(u.saved).Abs() < saveEvery {
		return false
	}
	u.saved = now
	return true
}

// keep notes a use of content that is marked as going last.
func (r *recency) keep(d digest.Digest, now, saved time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses.Add(d, &use{at: now, saved: saved, kept: true})
}

// isKept tells whether content is known to be marked.
func (r *recency) isKept(d digest.Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, ok := r.uses.Peek(d)
	return ok && u.kept
}

// last returns when content was used last, where its file says saved.
func (r *recency) last(d digest.Digest, saved time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u, ok := r.uses.Peek(d); ok {
		return u.at
	}
	return saved
}

// forget forgets content that is gone.
func (r *recency) forget(d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses.Remove(d)
}

// used notes a use of the content at path. The time of the file is written once an hour at most; that it cannot be written
// makes the content look older than it is, and no more.
func (s *Store) used(d digest.Digest, path string, saved time.Time) {
	if now := s.o.Now(); s.recency.mark(d, now, saved) {
		_ = os.Chtimes(path, time.Time{}, now)
	}
}

// saveRecency writes what the files do not say yet.
func (s *Store) saveRecency() {
	s.recency.mu.Lock()
	defer s.recency.mu.Unlock()
	for _, d := range s.recency.uses.Keys() {
		u, _ := s.recency.uses.Peek(d)
		if path, err := s.path(d); err == nil && !u.at.Equal(u.saved) {
			_ = os.Chtimes(path, time.Time{}, u.at)
			u.saved = u.at
		}
	}
}
