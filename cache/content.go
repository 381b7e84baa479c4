package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// stat returns what the file system says of the content of digest d at path, or fs.ErrNotExist. It reads none of it: what
// has its name was verified before it got it. What may not have come to the disk when a process died is read once.
func (s *Store) stat(d digest.Digest, path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing(d)
	case err != nil:
		return nil, diskError(d, err)
	case !info.Mode().IsRegular():
		s.damaged(d, path, 0, fmt.Sprintf("%s where content should be", info.Mode().Type()))
		return nil, missing(d)
	case info.Size() == 0 && d != sum(d, newHash(d)):
		s.damaged(d, path, 0, "empty file where content should be")
		return nil, missing(d)
	case s.doubted(info):
		if err := s.prove(d, path); err != nil {
			return nil, err
		}
	}
	return info, nil
}

// open opens the content of digest d at path, which was size bytes when it was last looked at. The error is ErrGone and
// fs.ErrNotExist if it has gone or has another size by now.
func (s *Store) open(d digest.Digest, path string, size int64) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone(d)
	}
	if err != nil {
		return nil, diskError(d, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, diskError(d, err)
	}
	if !info.Mode().IsRegular() || info.Size() != size {
		file.Close()
		s.damaged(d, path, size, fmt.Sprintf("%d bytes where there were %d", info.Size(), size))
		return nil, gone(d)
	}
	return file, nil
}

const (
	// maxDamaged is how many things are kept in damaged/.
	maxDamaged = 16
	// maxDamagedSize is the most bytes of a file that is kept there.
	maxDamagedSize = 64 << 20
)

// damaged takes away what is at path, counted there with size bytes, and reports it. Files that have something in them are
// moved aside, for whoever wants to know what happened to them, unless they are large or there are many already.
func (s *Store) damaged(d digest.Digest, path string, size int64, why string) {
	done := "moved aside"
	stayed := s.total.leave(path, size)
	err := errKeep
	if info, e := os.Lstat(path); e == nil && info.Mode().IsRegular() && info.Size() > 0 && info.Size() <= maxDamagedSize {
		err = s.moveAway(d, path, maxDamaged)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		done = "taken away"
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		stayed() // another reader found it too
		return
	}
	if err != nil {
		// A folder with something in it was not put there by a Store, and may be all that somebody has.
		done = "moved aside"
		err = s.moveAway(d, path, math.MaxInt)
	}
	if err != nil {
		stayed()
		err = fmt.Errorf("%s: %s, and it cannot be taken away: %w", path, why, err)
	} else {
		err = fmt.Errorf("%s: %s, %s", path, why, done)
		s.recency.forget(d)
	}
	s.o.Observe(Event{Kind: Damaged, Digest: d, Err: err})
}

// errKeep says that something is not moved aside.
var errKeep = errors.New("not to be kept")

// moveAway makes room at path without deleting what is there, unless so many things are aside already.
func (s *Store) moveAway(d digest.Digest, path string, most int) error {
	root := filepath.Join(s.dir, "damaged")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) >= most {
		return errors.Join(errKeep, err)
	}
	away, err := os.MkdirTemp(root, d.Algorithm().String()+"-*")
	if err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(away, d.Encoded())); err != nil {
		return errors.Join(err, os.Remove(away))
	}
	return nil
}

// missing is the answer to a miss.
func missing(d digest.Digest) error {
	return fmt.Errorf("%s: not cached: %w", d, fs.ErrNotExist)
}

// gone is the answer to whoever opens what has gone since it was found.
func gone(d digest.Digest) error {
	return fmt.Errorf("%s: %w: %w", d, ErrGone, fs.ErrNotExist)
}

// commit makes the verified file durable and gives it its name, in two stages between which a power cut costs nothing but
// the work. After an error there is nothing at path, and the file is the caller's to close and remove.
func commit(file *os.File, path string) error {
	// Stage one: the bytes, under a name that nobody asks for.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}

	// Stage two: the name. Only when the folder that holds it is on disk too is the content complete.
	folder := filepath.Dir(path)
	if err := makeFolder(folder); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	if err := syncFolder(folder); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// makeFolder makes ALGORITHM/ab, durably, unless it is there.
func makeFolder(folder string) error {
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	algorithm := filepath.Dir(folder)
	return errors.Join(syncFolder(algorithm), syncFolder(filepath.Dir(algorithm)))
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
