package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Dir is a trust.Source of the files in one local folder.
type Dir string

// Fetch implements trust.Source. Only regular files have content, and no name leads out of the folder.
func (d Dir) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if file == "" || strings.HasPrefix(file, ".") || strings.ContainsAny(file, "/\\\x00") {
		return nil, fmt.Errorf("%.80q: %w", file, fs.ErrNotExist)
	}
	// PRODUCT: invariant 9, opening a pipe must not wait for who writes it.
	path := filepath.Join(string(d), file)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return read(f, path, file, limit)
}

// plain returns an error of the file system. That a file may not be read does not mean, here, that there is none: the
// operator's permissions are wrong, and nothing may be concluded from it.
func plain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return errors.New(err.Error())
	}
	return err
}
