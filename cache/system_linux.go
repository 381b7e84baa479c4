package cache

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// keepSize makes room for a file without making it longer.
const keepSize = 1

// allocate makes room on disk for n bytes of file from offset on, where the file system can. The length stays as it is.
func allocate(file *os.File, offset, n int64) error {
	return syscall.Fallocate(int(file.Fd()), keepSize, offset, n)
}

// changed returns when a file was changed last, its mode and times included.
func changed(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return info.ModTime()
}
