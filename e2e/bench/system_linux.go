package main

import (
	"errors"
	"os"
	"syscall"
)

// allocate reserves the space of a file whose length is known, where the file system can.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if size == 0 || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}

// free returns how many bytes can be written below dir.
func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// flush brings to disk what is only in memory, so that nobody writes while somebody is measured.
func flush() { syscall.Sync() }
