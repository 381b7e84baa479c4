package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Touch notes when the last successful check of what was saved last began, without the cost of a save and without its
// durability: what a crash loses makes the data look older, never newer.
func (c *Collection) Touch(checked time.Time) error {
	if c.store.o.ReadOnly {
		return nil
	}
	tmp := filepath.Join(c.dir, ".checked")
	text := fmt.Sprintf("%d %s", c.generation, checked.UTC().Format(time.RFC3339Nano))
	if err := os.WriteFile(tmp, seal(c.name, text), 0o600); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return os.Rename(tmp, filepath.Join(c.dir, "checked"))
}

// touched returns the time that Touch noted of the record that was loaded, or the record's. It came later, even where it
// says an earlier time: the clock may have been wrong when the record was saved.
func (c *Collection) touched(record time.Time) time.Time {
	file := filepath.Join(c.dir, "checked")
	// PRODUCT: invariant 6, a damaged file is never trusted: a wrong time would make old data look fresh.
	text, err := readSealed(file, c.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return record
	case err != nil:
		c.store.o.Observe(c.source, c.name, fmt.Errorf("state %s: %w", file, err))
		return record
	}
	var generation uint64
	var noted string
	_, err = fmt.Sscanf(text, "%d %s", &generation, &noted)
	t, wrong := time.Parse(time.RFC3339Nano, noted)
	if err != nil || wrong != nil || generation != c.generation {
		return record
	}
	return t
}
