package cache

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// keptFor is how long after its last use content goes last that was marked with Keep.
const keptFor = 30 * 24 * time.Hour

// Removed says what was removed to make room.
type Removed struct {
	Files, Bytes int64
}

// Prune removes content, the least recently used first and what was marked with Keep last, until at most so many bytes are
// left; 0 removes everything, from memory too. Who reads it already reads on. The error is the cause of ctx, or says what
// could not be removed.
func (s *Store) Prune(ctx context.Context, target int64) (Removed, error) {
	s.walking.Lock()
	defer s.walking.Unlock()
	if target <= 0 {
		s.memory.clear()
	}
	return s.shrink(ctx, func(total int64) int64 { return total - target })
}

// crowded tells whether more is on disk than should be, and some of it can go.
func (s *Store) crowded() bool {
	total := s.total.bytes()
	return s.o.Size > 0 && total > 0 && total+s.pending.Load() > s.o.Size
}

// relieve begins to make room if more is on disk than should be, unless that is under way.
func (s *Store) relieve() {
	if !s.crowded() || !s.evicting.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.work.Go(func() {
		for again := true; again; again = again && s.crowded() && s.evicting.CompareAndSwap(false, true) {
			again = s.makeRoom() // more may have come meanwhile
			s.evicting.Store(false)
		}
	})
}

// makeRoom removes content until a tenth of the bound is free, and tells whether it has removed any.
func (s *Store) makeRoom() bool {
	s.walking.Lock()
	defer s.walking.Unlock()
	removed, err := s.shrink(s.ctx, func(total int64) int64 { return total + s.pending.Load() - s.o.Size/10*9 })
	if err != nil && s.ctx.Err() == nil {
		s.o.Observe(Event{Kind: EvictFailed, Err: err})
	}
	return err == nil && removed.Files > 0
}

// rescue makes room on a full disk and tries again. Who waited for another to do so tries before.
func (s *Store) rescue(ctx context.Context, need int64, try func() error) error {
	s.walking.Lock()
	defer s.walking.Unlock()
	err := try()
	if !full(err) {
		return err
	}
	removed, _ := s.shrink(ctx, func(total int64) int64 { return max(need, total/10) })
	if removed.Files == 0 {
		return err
	}
	return try()
}

// shrink removes as many bytes as goal says of how many there are, the least recently used first. The walking mutex is held.
func (s *Store) shrink(ctx context.Context, goal func(total int64) int64) (sum Removed, err error) {
	// The first walk looks for as much as the ledger makes it. Where that was too little, there is another.
	now := s.o.Now()
	for range 2 {
		c := candidates{goal: goal(s.total.bytes())}
		if !s.survey(ctx, func(f content) {
			f.used = s.recency.last(f.digest, f.used)
			f.kept = f.kept && now.Sub(f.used) < keptFor
			c.add(f)
		}) {
			return sum, context.Cause(ctx)
		}
		c.goal = goal(s.total.bytes())
		c.trim()
		enough := c.sum >= c.goal || c.sum >= s.total.bytes()
		slices.SortFunc(c.files, goesBefore)
		for _, f := range c.files {
			if ctx.Err() != nil {
				return sum, context.Cause(ctx)
			}
			err = errors.Join(err, s.evict(f, &sum))
		}
		if enough || err != nil {
			break
		}
	}
	return sum, err
}

// evict removes one file, unless it was used since it was chosen.
func (s *Store) evict(f content, sum *Removed) error {
	if s.recency.last(f.digest, f.used).After(f.used) {
		return nil
	}
	stayed := s.total.leave(f.path, f.size)
	err := os.Remove(f.path)
	if err != nil {
		stayed()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making room: %w", err)
	}
	s.recency.forget(f.digest)
	s.evicted.Add(1)
	sum.Files++
	sum.Bytes += f.size
	return nil
}

// goesBefore orders content by when it is evicted.
func goesBefore(a, b content) int {
	if a.kept != b.kept {
		if b.kept {
			return -1
		}
		return 1
	}
	return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.digest, b.digest))
}

// candidates are the content that goes first, no more of it than makes up the goal, so that they are few where the folder
// has many. As a heap they have at their head what goes last.
type candidates struct {
	files []content
	sum   int64 // bytes of files
	goal  int64 // bytes
}

// add adds a file if it goes before others that make up the goal.
func (c *candidates) add(f content) {
	heap.Push(c, f)
	c.sum += f.size
	c.trim()
}

// trim drops what is not needed.
func (c *candidates) trim() {
	for len(c.files) > 0 && c.sum-c.files[0].size >= c.goal {
		c.sum -= c.files[0].size
		heap.Pop(c)
	}
}

// Len implements heap.Interface.
func (c *candidates) Len() int { return len(c.files) }

// Less implements heap.Interface.
func (c *candidates) Less(i, j int) bool { return goesBefore(c.files[i], c.files[j]) > 0 }

// Swap implements heap.Interface.
func (c *candidates) Swap(i, j int) { c.files[i], c.files[j] = c.files[j], c.files[i] }

// Push implements heap.Interface.
func (c *candidates) Push(x any) { c.files = append(c.files, x.(content)) }

// Pop implements heap.Interface.
func (c *candidates) Pop() any {
	last := len(c.files) - 1
	f := c.files[last]
	c.files = c.files[:last]
	return f
}
