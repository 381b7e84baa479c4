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
	died, err := sweep(root)
	s.suspect(died) // whatever fails from here on: those folders are gone
	if err != nil {
		return err
	}
	partial, release, err := claim(root)
	if err != nil {
		return err
	}
	s.partial, s.release = partial, sync.OnceValue(release)
	return nil
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

// sweep removes the folders below root whose lock nobody holds, or that have none. It returns when they were last changed,
// which is when a process did something last before it died; the zero time if none has died here.
func sweep(root string) (died time.Time, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return died, err
	}
	for _, e := range entries {
		folder := filepath.Join(root, strings.TrimSuffix(e.Name(), lockSuffix))
		info, _ := e.Info() // if it is gone, another sweep was here
		lock, err := os.OpenFile(folder+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return died, err
		}
		held, err := holds(lock)
		if err == nil && held {
			if info != nil && info.ModTime().After(died) {
				died = info.ModTime()
			}
			err = discard(folder, lock)
		} else {
			lock.Close()
		}
		if err != nil {
			return died, err
		}
	}
	return died, nil
}

// holds locks an open lock file, and reports whether this call got the lock and the file still has its name.
func holds(lock *os.File) (bool, error) {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "lock", Path: lock.Name(), Err: err}
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
