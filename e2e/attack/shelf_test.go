package attack

import (
	"net/http"
	"sync"
)

// A shelf holds what clients find of a repository: what was published last, or what an attacker puts in its place.
type shelf struct {
	mu        sync.Mutex
	published map[string][]byte
	first     map[string][]byte // what was published first
	instead   map[string][]byte // what is published instead of what was signed
	fault     func(w http.ResponseWriter, file string) bool
}

// put publishes files, all at once.
func (s *shelf) put(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.published = s.instead; s.published == nil {
		s.published = files
	}
	if s.first == nil {
		s.first = files
	}
}

// fail lets requests be answered by fault where that returns true.
func (s *shelf) fail(fault func(w http.ResponseWriter, file string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// answer sends a file.
func (s *shelf) answer(w http.ResponseWriter, r *http.Request, file string) {
	s.mu.Lock()
	raw, ok := s.published[file]
	fault := s.fault
	s.mu.Unlock()
	switch {
	case fault != nil && fault(w, file):
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(raw) // a client that left is no concern
	}
}
