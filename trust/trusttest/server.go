package trusttest

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"strings"
	"sync"

	"github.com/tagwarden/tagwarden/trust"
)

// A Server publishes files, and remembers what it was asked. It implements trust.Source.
type Server struct {
	mu      sync.Mutex
	files   map[string][]byte
	asked   []string
	fault   error
	endless map[string]bool
	stalled map[string]func()
	// limit is the largest size that was asked for, by kind of file.
	limit map[string]int64
}

// put publishes one file.
func (s *Server) put(name string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = raw
}

// Fetch implements trust.Source.
func (s *Server) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	if asked := s.note(file, limit); asked != nil {
		asked()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	raw, ok := s.files[file]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if int64(len(raw)) > limit || s.endless[file] {
		return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: file + " is too large"}
	}
	return bytes.Clone(raw), nil
}

// note remembers that the file was asked for, and returns whom to tell before it is never sent.
func (s *Server) note(file string, limit int64) (asked func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, file)
	s.limit[kind(file)] = max(s.limit[kind(file)], limit)
	return s.stalled[file]
}

// kind returns the role by which the size of a file is limited.
func kind(file string) string {
	for _, role := range []string{"root", "timestamp", "snapshot"} {
		if strings.Contains(file, role) {
			return role
		}
	}
	return "targets"
}

// Asked returns the files that were asked for since it was last called.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// Fail makes every Fetch fail with err, until it is nil again.
func (s *Server) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// Files returns what is published now; Serve publishes it again, whatever has happened since.
func (s *Server) Files() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.files)
}

// Serve makes the server publish exactly these files.
func (s *Server) Serve(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = maps.Clone(files)
	if files == nil {
		s.files = make(map[string][]byte)
	}
}

// Remove takes a file away.
func (s *Server) Remove(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, file)
}
