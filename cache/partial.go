package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const lockSuffix = ".lock"

// moveIn takes the Store's own folder below root, and removes those of the dead.
func (s *Store) moveIn(root string) error {
	if err := s.inherit(root); err != nil {
		return err
	}
	partial, release, err := claim(root)
	if err != nil {
		return err
	}
	s.partial, s.release = partial, sync.OnceValue(release)
	return nil
}

// inherit learns what is to be doubted. One Store does so at a time.
//
// PRODUCT: invariant 3: who has the locks of the dead and has not yet noted what is to be doubted must not be taken for them.
func (s *Store) inherit(root string) (err error) {
	turn, err := os.OpenFile(filepath.Join(s.dir, "turn"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer turn.Close()
	if err := lockFile(turn, syscall.LOCK_EX); err != nil {
		return err
	}
	s.doubts = readDoubts(filepath.Join(s.dir, "doubts"))
	return sweep(root, s.suspect)
}

// claim makes a folder below root that no sweep touches until release is called or the process is dead, however it died.
func claim(root string) (folder string, release func() error, err error) {
	// A sweep can take a new lock file for a dead one and remove it before it is locked. The next one has better luck.
	for range 10 {
		lock, err := os.CreateTemp(root, "*"+lockSuffix)
		if err != nil {
			return "", nil, err
		}
		held, err := holds(lock)
		if err == nil && held {
			folder = strings.TrimSuffix(lock.Name(), lockSuffix)
			err = os.Mkdir(folder, 0o700)
		}
		if err == nil && held {
			err = syncFolder(root) // a power cut must leave the traces of this process
		}
		if err == nil && held {
			return folder, func() error { return discard(folder, lock) }, nil
		}
		lock.Close()
		if err != nil {
			os.Remove(lock.Name())
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("%s: other processes keep removing new lock files", root)
}

// sweep removes the folders below root whose lock nobody holds, or that have none. Before, it tells note when they were
// changed, which is when processes did something last before they died; of a lock without a folder, when that was. If that
// cannot be noted, the locks stay, for the next sweep to find.
func sweep(root string, note func(died []time.Time) error) (err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	dead := make(map[string]*os.File) // their locks, by folder
	defer func() {
		for _, lock := range dead {
			lock.Close()
		}
	}()
	var died []time.Time
	var counted string // the folder of which there is a time; its lock, which comes after it, has that of the start
	for _, e := range entries {
		folder := filepath.Join(root, strings.TrimSuffix(e.Name(), lockSuffix))
		if dead[folder] == nil {
			lock, lerr := hold(folder)
			switch {
			case lerr != nil:
				err = errors.Join(err, lerr) // it stays, and is doubted as the others are
			case lock == nil:
				continue // its process lives
			default:
				dead[folder] = lock
			}
		}
		if info, gone := e.Info(); gone == nil && folder != counted { // else another sweep was here
			died, counted = append(died, info.ModTime()), folder
		}
	}
	// PRODUCT: invariant 3: what is doubted is doubted until it is proven, also when this process dies here, or the disk is full.
	noted := len(died) == 0 || note(died) == nil
	for folder, lock := range dead {
		if !noted {
			err = errors.Join(err, os.RemoveAll(folder))
			continue
		}
		delete(dead, folder)
		err = errors.Join(err, discard(folder, lock))
	}
	return err
}

// hold takes the lock of a folder; nil if somebody else has it.
func hold(folder string) (*os.File, error) {
	lock, err := os.OpenFile(folder+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if held, err := holds(lock); err != nil || !held {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// lockFile takes a lock as flock does.
func lockFile(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// holds locks an open lock file, and reports whether this call got the lock and the file still has its name.
func holds(lock *os.File) (bool, error) {
	err := lockFile(lock, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	opened, err := lock.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(lock.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

// discard removes a folder whose lock is held, then the lock.
func discard(folder string, lock *os.File) error {
	err := os.RemoveAll(folder)
	if e := os.Remove(lock.Name()); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, lock.Close())
}
