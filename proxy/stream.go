package proxy

import (
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// extend gives the client another idleLimit to take what is written next.
// A deadline that rolls: slow is right, silent is not.
func (h *Handler) extend(w http.ResponseWriter) {
	// A deadline of the connection is a matter of real time, whatever the clock of decisions says. Writers that have none
	// are not connections.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.idle))
}

// whileItMoves extends the deadline of w for as long as the file is read, until stop is called. The file is looked at from
// beside, so that nothing stands between it and the connection. A client that takes nothing is cut after idleLimit, or up
// to a third of that later.
func (h *Handler) whileItMoves(w http.ResponseWriter, file *os.File) (stop func()) {
	var mu sync.Mutex // between a look and stop: w must not be used after that
	var timer *time.Timer
	stopped, last := false, int64(0)
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if at, err := file.Seek(0, io.SeekCurrent); err == nil && at != last {
			last = at
			h.extend(w)
		}
		timer.Reset(h.idle / 3)
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(h.idle/3, look)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// following reads content that grows. It remembers why that failed, which who copies it does not tell from a client that
// has left; and whenever there is something to write it lets the client's time begin, since the wait before was not the
// client's.
type following struct {
	io.ReadSeeker
	extend func()
	err    error
}

// Read implements io.Reader.
func (f *following) Read(p []byte) (int, error) {
	n, err := f.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	f.extend()
	return n, err
}

// A flusher sends on everything that is written to it, so that bytes do not wait for those that come after them.
type flusher struct {
	io.Writer
	rc *http.ResponseController
}

// Write implements io.Writer.
func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}
