package cache

import (
	"bytes"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

// Small is how many bytes the content has, at most, that is kept in memory once it was used. Content up to this size never
// leaves before all of it was verified.
const Small = step

// entryCost is what an entry takes beside its bytes, about.
const entryCost = 512

// A memory holds verified small content, the most recently used, bounded in bytes.
type memory struct {
	mu    sync.Mutex
	most  int64
	held  int64
	blobs *simplelru.LRU[digest.Digest, *Blob]
}

// newMemory returns a memory of so many bytes.
func newMemory(most int64) memory {
	blobs, _ := simplelru.NewLRU[digest.Digest, *Blob](math.MaxInt, nil) // fails for sizes below 1 only
	return memory{most: most, blobs: blobs}
}

// get returns the content of digest d, or nil.
func (m *memory) get(d digest.Digest) *Blob {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, _ := m.blobs.Get(d)
	return b
}

// add holds the content of b from now on, and lets go of what was used least recently.
func (m *memory) add(b *Blob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blobs.Contains(b.digest) {
		return
	}
	m.blobs.Add(b.digest, b)
	m.held += b.size + entryCost
	for m.held > m.most {
		_, old, ok := m.blobs.RemoveOldest()
		if !ok {
			break
		}
		m.held -= old.size + entryCost
	}
}

// clear lets go of everything.
func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs.Purge()
	m.held = 0
}

// bytes returns how many bytes are held.
func (m *memory) bytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// remember puts verified small content into memory. It must not be changed any more.
func (s *Store) remember(d digest.Digest, path string, content []byte) {
	if content == nil {
		content = []byte{}
	}
	s.memory.add(&Blob{store: s, digest: d, path: path, size: int64(len(content)), content: content})
}

// A memoryReader reads content that is in memory.
type memoryReader struct{ *bytes.Reader }

// Close implements io.Closer.
func (memoryReader) Close() error { return nil }
