package main

import (
	"os"
	"sync"
)

// A logFile appends to a file by its name, so that the file can be moved away and a new one begun.
type logFile struct {
	path string

	mu sync.Mutex
	f  *os.File
}

func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(p)
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}

// reopen begins to append to what has the name now. After an error the file before goes on.
func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.f
	if l.f = f; old != nil {
		return old.Close()
	}
	return nil
}

// moved tells whether the name no longer means the file that is open.
func (l *logFile) moved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := os.Stat(l.path)
	if err != nil {
		return os.IsNotExist(err)
	}
	open, err := l.f.Stat()
	return err == nil && !os.SameFile(now, open)
}
