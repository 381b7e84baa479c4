package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"syscall"
	"time"
)

// flock takes the exclusive lock on f, asking ten times a second. Before it waits it tells who has the lock.
func flock(ctx context.Context, f *os.File, waiting func(holder string)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for told := waiting == nil; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if ctx.Err() == nil && !told {
			told = true
			waiting(holder(f))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// sign writes into the lock file who holds the lock. It is for people, and a disk that does not take it changes nothing.
func sign(f *os.File) {
	host, _ := os.Hostname() // without a name it reads as none
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
	}
}

var holderPattern = regexp.MustCompile(`^process [0-9]+ on [0-9A-Za-z.-]{1,253}\n$`)

// holder returns who holds the lock, as far as that is known.
func holder(f *os.File) string {
	line, err := io.ReadAll(io.NewSectionReader(f, 0, 512))
	if err != nil || !holderPattern.Match(line) {
		return "another process"
	}
	return string(line[:len(line)-1])
}
