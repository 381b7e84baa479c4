package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// stat returns the size of the content of digest d at path, or fs.ErrNotExist. It reads none of it: what has its name was
// verified before it got it.
func (s *Store) stat(d digest.Digest, path string) (int64, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, missing(d)
	case err != nil:
		return 0, diskError(d, err)
	case !info.Mode().IsRegular():
		s.damaged(d, path, 0, fmt.Sprintf("%s where content should be", info.Mode().Type()))
		return 0, missing(d)
	case info.Size() == 0 && d != sum(d, newHash(d)):
		s.damaged(d, path, 0, "empty file where content should be")
		return 0, missing(d)
	}
	return info.Size(), nil
}

// open opens the content of digest d at path, which was size bytes when it was last looked at. The error is fs.ErrNotExist
// if it has gone or has another size by now.
func (s *Store) open(d digest.Digest, path string, size int64) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(d)
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
		return nil, missing(d)
	}
	return file, nil
}

// damaged takes away what is at path, counted there with size bytes, and reports it.
func (s *Store) damaged(d digest.Digest, path string, size int64, why string) {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // another reader found it too
	}
	if err != nil {
		err = s.moveAway(d, path)
	}
	if err != nil {
		err = fmt.Errorf("%s: %s, and it cannot be taken away: %w", path, why, err)
	} else {
		err = fmt.Errorf("%s: %s, taken away", path, why)
		s.total.add(path, -size)
	}
	s.observe(Event{Kind: Damaged, Digest: d, Err: err})
}

// moveAway makes room at path without deleting what is there: a folder with something in it was not put there by a Store,
// and may be all that somebody has.
func (s *Store) moveAway(d digest.Digest, path string) error {
	root := filepath.Join(s.dir, "damaged")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	away, err := os.MkdirTemp(root, d.Algorithm().String()+"-*")
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(away, d.Encoded()))
}

// missing is the answer to a miss.
func missing(d digest.Digest) error {
	return fmt.Errorf("%s: not cached: %w", d, fs.ErrNotExist)
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
