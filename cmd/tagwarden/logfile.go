package main

import (
	"errors"
	"os"
	"sync/atomic"
)

// A logFile appends to a file by its name, so that the file can be moved away and a new one begun.
//
// PRODUCT: invariant 9, a write that does not come back holds up nobody else: not a reload, and not the end.
type logFile struct {
	path string
	f    atomic.Pointer[os.File]
}

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// Write implements io.Writer. What the file before did not take goes into the new one.
func (l *logFile) Write(p []byte) (n int, err error) {
	for {
		f := l.f.Load()
		some, err := f.Write(p[n:])
		if n += some; !errors.Is(err, os.ErrClosed) || l.f.Load() == f {
			return n, err
		}
	}
}

// Close closes the file.
func (l *logFile) Close() error { return l.f.Load().Close() }

// reopen begins to append to what has the name now. After an error the file before goes on.
func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	if old := l.f.Swap(f); old != nil {
		return old.Close()
	}
	return nil
}

// moved tells whether the name no longer means the file that is open.
func (l *logFile) moved() bool {
	now, err := os.Stat(l.path)
	if err != nil {
		return os.IsNotExist(err)
	}
	open, err := l.f.Load().Stat()
	return err == nil && !os.SameFile(now, open)
}
