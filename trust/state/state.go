// Package state keeps verified metadata and version floors on disk, durably.
//
// What is kept of a collection is a Record: the signed files themselves, so that whoever loads them verifies them again.
// A record lies in two slots, each with a checksum over everything in it, the collection's name included. A save replaces
// one slot after the other, each by write, sync, rename, sync of the folder: a crash at any moment leaves one slot whole,
// and a slot that is damaged later costs nothing.
//
//	DIR/lock                                    held by the one process that writes, and its number and host
//	DIR/clock                                   the floor of the clock
//	DIR/SOURCE/<sha256 of the collection>/name  the collection's name, for people
//	                                     /0 /1  the slots
//	                                     /checked  time of the last successful check, not durable
//	DIR/_archive                                what was reset
package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// MaxRecord is the most bytes that one record may take on disk.
const MaxRecord = 128 << 20

// ErrLost is returned for a collection of which something was kept that can no longer be read.
var ErrLost = errors.New("kept trust data is damaged in both copies")

var sourcePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// A Record is what is kept of one collection.
type Record struct {
	// Files are the verified files under the names that the format gives them.
	Files []File
	// Checked is when the last successful check with the source began.
	Checked time.Time
}

// A File is one named file of a record.
type File struct {
	Name string
	Data []byte
}

// Options are what a Store needs.
type Options struct {
	// Dir is created, with mode 0700, if it does not exist.
	Dir string
	// ReadOnly opens without the lock; saves succeed and keep nothing.
	ReadOnly bool
	// Observe is told about damaged files as they are found; nil: nobody is.
	Observe func(source, collection string, err error)
	// Waiting is told, at most once and before Open waits, which process has the lock; nil: nobody is.
	Waiting func(holder string)
}

// A Store is a state folder.
type Store struct {
	o    Options
	lock *os.File
	kept crowd
}

// Open opens the state folder and takes its lock, because two writers would undo each other's floors. It waits for the
// lock until ctx ends, and then says who is in the way.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Observe == nil {
		o.Observe = func(string, string, error) {}
	}
	s := &Store{o: o, kept: crowd{count: make(map[string]int)}}
	if o.ReadOnly {
		return s, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := flock(ctx, f, o.Waiting); err != nil {
		return nil, errors.Join(fmt.Errorf("state %s is in use by %s, stop the running gateway first: %w", o.Dir, holder(f), err), f.Close())
	}
	s.lock = f
	sign(f)
	sweep(o.Dir)
	sweep(filepath.Join(o.Dir, "*"))
	return s, nil
}

// Writable tells whether the state folder takes a file now; the error says why not.
func (s *Store) Writable() error {
	f, err := os.CreateTemp(s.o.Dir, tmpPrefix+"*")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, werr := f.WriteString("probe")
	return errors.Join(werr, f.Close(), os.Remove(f.Name()))
}

// Close gives the lock back.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// Collection returns the place of one collection. One Collection of a name may be in use at a time.
func (s *Store) Collection(source, name string) *Collection {
	sum := sha256.Sum256([]byte(name))
	return &Collection{store: s, source: source, name: name, dir: filepath.Join(s.o.Dir, source, hex.EncodeToString(sum[:]))}
}

// A Collection is the place in which the record of one collection is kept. It is not safe for concurrent use.
type Collection struct {
	store        *Store
	source, name string
	dir          string
	generation   uint64
}

// slots are the names of the two copies, in the order in which a save writes them.
var slots = [2]string{"0", "1"}

// Load returns the newest record that is whole. The error is fs.ErrNotExist if none was ever saved, and ErrLost if one
// was and neither copy is whole. A damaged copy is reported to Observe. It is replaced at once, and so is one that a crash
// has left behind, so that the next fault finds two again.
func (c *Collection) Load() (*Record, error) {
	if err := c.named(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.dir); err != nil {
		return nil, err
	}
	if !c.store.o.ReadOnly {
		sweep(c.dir)
	}
	var newest *Record
	var unreadable error
	var behind []string // the slots that do not hold the newest
	for i, slot := range slots {
		generation, r, err := c.read(slot)
		if err != nil {
			behind = append(behind, slot)
			c.store.o.Observe(c.source, c.name, fmt.Errorf("state %s: %w", filepath.Join(c.dir, slot), err))
			var pathErr *fs.PathError
			if errors.As(err, &pathErr) && !errors.Is(err, fs.ErrNotExist) {
				unreadable = err
			}
			continue
		}
		switch {
		case newest == nil:
			newest, c.generation = r, generation
		case generation > c.generation:
			newest, c.generation = r, generation
			behind = slices.Clone(slots[:i])
		case generation < c.generation:
			behind = append(behind, slot)
		}
	}
	// PRODUCT: invariant 6, a copy that cannot be read now, for want of permission or by a disk fault, may be the newer
	// one: starting from the older, or from nothing, would take floors back.
	if unreadable != nil {
		return nil, fmt.Errorf("state: %w", unreadable)
	}
	if newest == nil {
		return nil, ErrLost
	}
	c.mend(behind, newest)
	newest.Checked = c.touched(newest.Checked)
	return newest, nil
}

// mend writes the newest record into the slots that do not hold it.
//
// PRODUCT: invariant 6, what is served from now on is in both copies: the loss of one must not bring an older version back.
func (c *Collection) mend(behind []string, newest *Record) {
	if len(behind) == 0 || c.store.o.ReadOnly {
		return
	}
	data, err := encode(c.generation, c.name, *newest)
	for _, slot := range behind {
		if err == nil {
			err = replace(c.dir, slot, data)
		}
	}
	if err != nil {
		// What is whole serves all the same: a disk that is full or read-only must not stop deployments.
		c.store.o.Observe(c.source, c.name, fmt.Errorf("state %s: one copy is left, and another cannot be written: %w", c.dir, err))
	}
}

// named checks the one part of the path that is not a hash.
func (c *Collection) named() error {
	if !sourcePattern.MatchString(c.source) {
		return fmt.Errorf("state: source name %.80q cannot be a folder", c.source)
	}
	return nil
}

// Save keeps the record durably in both slots. After an error the earlier record, or this one, is what Load returns.
func (c *Collection) Save(r Record) error {
	if c.store.o.ReadOnly {
		return nil
	}
	if err := c.named(); err != nil {
		return err
	}
	// Not even a save that fails half way shares its number with the next.
	c.generation++
	data, err := encode(c.generation, c.name, r)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		if err := c.store.kept.add(filepath.Dir(c.dir), func() error { return c.create(data) }); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	} else {
		for _, slot := range slots {
			if err := replace(c.dir, slot, data); err != nil {
				return fmt.Errorf("state: %w", err)
			}
		}
	}
	return nil
}

// create makes the collection's folder appear whole, so that a folder without a slot always means a loss.
func (c *Collection) create(data []byte) error {
	parent := filepath.Dir(c.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, tmpPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.WriteFile(filepath.Join(tmp, "name"), []byte(c.name+"\n"), 0o600); err != nil {
		return err
	}
	for _, slot := range slots {
		if err := replace(tmp, slot, data); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, c.dir); err != nil {
		return err
	}
	return errors.Join(syncDir(parent), syncDir(filepath.Dir(parent)))
}

// Reset forgets what is kept of the collection, and returns the folder to which it was moved. The error is fs.ErrNotExist
// if nothing is kept. What comes next is a first use: whoever resets must know why the earlier trust was lost.
func (c *Collection) Reset(now time.Time) (archive string, err error) {
	if err := c.named(); err != nil {
		return "", err
	}
	parent := filepath.Join(c.store.o.Dir, archiveDir, c.source)
	archive = filepath.Join(parent, filepath.Base(c.dir)+"."+now.UTC().Format("20060102T150405.000000000Z"))
	if _, err := os.Stat(c.dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("state: %w", err)
	}
	if err := os.Rename(c.dir, archive); err != nil {
		return "", fmt.Errorf("state: %w", err)
	}
	c.generation = 0
	return archive, errors.Join(syncDir(filepath.Dir(c.dir)), syncDir(parent))
}

// archiveDir is where Reset moves things. No source can have its name.
const archiveDir = "_archive"
