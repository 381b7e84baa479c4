//go:build !linux

package cache

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// allocate makes room on disk for n bytes of file from offset on, where the system can. This one cannot.
func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

// changed returns when a file was changed last, as far as this system tells.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }
