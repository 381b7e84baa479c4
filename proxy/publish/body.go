package publish

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// Files come and go in pieces of pieceSize bytes, each of which may take pieceTime: 16 KiB in a second at least.
const (
	pieceSize = 80 << 10
	pieceTime = 5 * time.Second
	// spare bytes of all that may have arrived are for the first pieces: a small file finds a place beside many large ones.
	spare = maxBytes / 4
)

var (
	errLarge = errors.New("too large")
	errFull  = errors.New("too many bytes have arrived")
)

// An arrival is a file on its way in.
type arrival struct {
	own, all *semaphore.Weighted
	pieces   [][]byte
	leave    []func()
}

// receive reads the body. It takes memory only for what arrives, piece by piece, from what the client and all may have. The
// error is errLarge, errFull, or that of the connection.
func (a *arrival) receive(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > maxFile {
		return errLarge
	}
	control := http.NewResponseController(w)
	body := http.MaxBytesReader(w, r.Body, maxFile)
	for {
		if !a.enter() {
			return errFull
		}
		// A connection of a kind that has no deadlines is none of a stranger's.
		_ = control.SetReadDeadline(time.Now().Add(pieceTime))
		piece := make([]byte, pieceSize)
		n, err := fill(piece, body)
		a.pieces = append(a.pieces, piece[:n])
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			return errLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// fill reads until the piece is full or the reader ends, which is io.EOF only where all has arrived that was announced.
func fill(piece []byte, from io.Reader) (n int, err error) {
	for n < len(piece) && err == nil {
		var more int
		more, err = from.Read(piece[n:])
		n += more
	}
	return n, err
}

// enter takes the place of one piece.
func (a *arrival) enter() bool {
	n := int64(pieceSize)
	if len(a.pieces) > 0 {
		if !a.all.TryAcquire(spare + n) {
			return false
		}
		a.all.Release(spare + n)
	}
	leave, ok := enter(a.own, a.all, n)
	if ok {
		a.leave = append(a.leave, leave)
	}
	return ok
}

// forget gives back what the arrival has taken.
func (a *arrival) forget() {
	for _, leave := range a.leave {
		leave()
	}
}

// whole returns all that has arrived, once.
func (a *arrival) whole() []byte {
	data := bytes.Join(a.pieces, nil)
	a.pieces = nil
	return data
}

// send writes the body, of size bytes. Where that fails the client has left, was too slow, or sees that the answer is cut off.
// The server gives the connection's next answer a time of its own.
func send(w http.ResponseWriter, body io.Reader, size int64) {
	control := http.NewResponseController(w)
	for size > 0 {
		_ = control.SetWriteDeadline(time.Now().Add(pieceTime)) // as in receive
		n, err := io.CopyN(w, body, min(size, pieceSize))
		if size -= n; err != nil {
			return
		}
	}
}
