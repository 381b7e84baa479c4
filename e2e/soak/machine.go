package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

const (
	probeEvery = 200 * time.Millisecond
	// stallLeast is how long the machine takes for next to nothing when it stalls.
	stallLeast = 250 * time.Millisecond
	// afterStall is how long after one what it held up may still be late.
	afterStall = time.Second
)

// A machine is what everything runs on. When it has no time for anybody, or its disk has none, answers are late and checks
// take long, and nobody can tell whose fault that is: such stretches are told apart.
type machine struct {
	stalls windows

	mu    sync.Mutex
	total time.Duration
}

// watch does what a check of trust data needs at least, again and again until ctx ends: it is woken, and brings a small file
// to the disk. When that takes long, the windows of others, too, cover it.
func (m *machine) watch(ctx context.Context, dir string, others ...*windows) error {
	for {
		due := time.Now().Add(probeEvery)
		if !rig.Wait(ctx, probeEvery) {
			return nil
		}
		if err := keep(dir); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(due) > stallLeast {
			m.stalled(due, now, others)
		}
	}
}

// stalled notes that the machine did.
func (m *machine) stalled(from, to time.Time, others []*windows) {
	for _, w := range append(others, &m.stalls) {
		w.open(from)(to.Add(afterStall))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += to.Sub(from)
}

// lost is how long the machine stalled.
func (m *machine) lost() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// keep writes a file as one is written that must survive a power cut.
func keep(dir string) error {
	f, err := os.Create(filepath.Join(dir, "probe.part"))
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4<<10))
	if err = errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(dir, "probe"))); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
