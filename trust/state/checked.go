package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Touch notes when the last successful check began, without the cost of a save and without its durability: what a crash
// loses makes the data look older, never newer.
func (c *Collection) Touch(checked time.Time) error {
	if c.store.o.ReadOnly {
		return nil
	}
	tmp := filepath.Join(c.dir, ".checked")
	if err := os.WriteFile(tmp, []byte(c.seal(c.generation, checked.UTC().Format(time.RFC3339Nano))), 0o600); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return os.Rename(tmp, filepath.Join(c.dir, "checked"))
}

// seal returns the line that says of which record and when the last check was, with a checksum that holds for this
// collection alone.
func (c *Collection) seal(generation uint64, checked string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s\n", generation, checked, c.name))
	return fmt.Sprintf("%d %s %s\n", generation, checked, hex.EncodeToString(sum[:]))
}

// touched returns the time that Touch noted for this very record, if it is later than the record's.
func (c *Collection) touched(record time.Time) time.Time {
	t, err := c.readTouched()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		c.store.o.Observe(c.source, c.name, fmt.Errorf("state %s: %w", filepath.Join(c.dir, "checked"), err))
	case t.After(record):
		return t
	}
	return record
}

// readTouched returns what Touch noted. The time is zero if that was for another record.
func (c *Collection) readTouched() (time.Time, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, "checked"))
	if err != nil {
		return time.Time{}, err
	}
	var generation uint64
	var checked, sum string
	// PRODUCT: invariant 6, a damaged file is never trusted: a wrong time would make old data look fresh.
	if _, err := fmt.Sscanf(string(data), "%d %s %s", &generation, &checked, &sum); err != nil || c.seal(generation, checked) != string(data) {
		return time.Time{}, fmt.Errorf("%w: checksum differs", errDamaged)
	}
	if generation != c.generation {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, checked)
}
