package publish

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// A wire is a listener whose connections hold nothing back: what one side writes the other has to read.
type wire struct {
	t     *testing.T
	conns chan net.Conn
	done  chan struct{}
}

// A peer is the server's end of a connection from some address.
type peer struct {
	net.Conn
	from string
}

func (p peer) RemoteAddr() net.Addr { return p }
func (p peer) Network() string      { return "tcp" }
func (p peer) String() string       { return p.from + ":1" }

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}
func (w *wire) Close() error   { close(w.done); return nil }
func (w *wire) Addr() net.Addr { return peer{} }

// A line is the client's end.
type line struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dial connects from an address.
func (w *wire) dial(from string) *line {
	here, there := net.Pipe()
	w.conns <- peer{there, from}
	w.t.Cleanup(func() { _ = here.Close() })
	return &line{w.t, here, bufio.NewReader(here)}
}

// say sends a request, or some of it.
func (l *line) say(format string, a ...any) *line {
	l.t.Helper()
	if _, err := fmt.Fprintf(l.Conn, format, a...); err != nil {
		l.t.Fatal(err)
	}
	return l
}

// hear returns the status and body of the answer.
func (l *line) hear() (int, string) {
	l.t.Helper()
	res, err := http.ReadResponse(l.in, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// over runs a test with a served shelf, in a time of its own.
func over(t *testing.T, s *shelf, test func(*testing.T, *Handler, *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := New(map[string]Repository{"site": s}, zap.NewNop())
		w := &wire{t, make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: h}
		go func() { _ = server.Serve(w) }()
		t.Cleanup(func() { _ = server.Close() })
		test(t, h, w)
	})
}

const (
	get = "GET /tuf/site/1.root.json HTTP/1.1\r\nHost: x\r\n\r\n"
	put = "PUT /tuf/site/%d.alice.json HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
)

// TestSlowBodies: strangers who send slowly are cut off after a while, and meanwhile shut nobody out.
func TestSlowBodies(t *testing.T) {
	over(t, &shelf{files: map[string][]byte{}}, func(t *testing.T, h *Handler, w *wire) {
		began := time.Now()
		var slow []*line
		for i := range 4 * burst {
			slow = append(slow, w.dial(fmt.Sprintf("10.0.0.%d", i%4)).say(put+"{", i+1, 60))
		}
		if status, says := w.dial("10.0.1.1").say(put+"good", 1, 4).hear(); status != 201 {
			t.Errorf("a signer among strangers: %d %s", status, says)
		}
		for _, l := range slow {
			if status, says := l.hear(); status != 400 || !strings.Contains(says, "slower than") {
				t.Errorf("%d %s", status, says)
			}
		}
		if d := time.Since(began); d != pieceTime {
			t.Errorf("cut off after %s", d)
		}
		if !h.all.bytes.TryAcquire(maxBytes) {
			t.Error("they left something behind")
		}
	})
}

// TestSteadyBody: who keeps to the least rate may take longer than the time of one piece.
func TestSteadyBody(t *testing.T) {
	over(t, &shelf{files: map[string][]byte{}}, func(t *testing.T, _ *Handler, w *wire) {
		const second = 20 << 10
		l := w.dial("10.0.0.1").say(put, 1, 20*second)
		for range 20 {
			l.say("%s", strings.Repeat("x", second))
			time.Sleep(time.Second)
		}
		if status, says := l.hear(); status != 403 {
			t.Errorf("%d %s", status, says)
		}
		l = w.dial("10.0.0.1")
		for i := range 2 {
			if status, says := l.say(put+"good", i+1, 4).hear(); status != 201 {
				t.Errorf("on the same connection, later: %d %s", status, says)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestSlowReaders: they hold places for a while, a share of them each, and no memory.
func TestSlowReaders(t *testing.T) {
	s := &shelf{files: map[string][]byte{"1.root.json": make([]byte, 3*pieceSize)}}
	over(t, s, func(t *testing.T, h *Handler, w *wire) {
		for i := range maxReaders {
			w.dial(fmt.Sprintf("10.0.0.%d", i/maxReadersOfOne)).say(get)
			synctest.Wait()
			if n := (i + 1) % maxReadersOfOne; n == 0 && i < maxReaders/2 {
				if status, _ := w.dial(fmt.Sprintf("10.0.0.%d", i/maxReadersOfOne)).say(get).hear(); status != 429 {
					t.Errorf("one more than its share: %d", status)
				}
			}
		}
		if status, _ := w.dial("10.0.1.1").say(get).hear(); status != 429 {
			t.Errorf("one more than there are places: %d", status)
		}
		time.Sleep(pieceTime)
		synctest.Wait()
		l := w.dial("10.0.0.1").say(get)
		if status, body := l.hear(); status != 200 || len(body) != 3*pieceSize {
			t.Errorf("after they were cut off: %d, %d bytes", status, len(body))
		}
		time.Sleep(time.Hour)
		if status, _ := l.say("%s", strings.Replace(get, "1.root", "2.root", 1)).hear(); status != 404 {
			t.Errorf("on the same connection, later: %d", status)
		}
		if !h.all.readers.TryAcquire(maxReaders) {
			t.Error("they left something behind")
		}
	})
}

// TestBytes: what has arrived is bounded, in all and from one client, and small files find a place beside many large ones.
func TestBytes(t *testing.T) {
	s := &shelf{files: map[string][]byte{}}
	h := New(map[string]Repository{"site": s}, zap.NewNop())
	send := func(size int) int {
		r := httptest.NewRequest("PUT", "/tuf/site/1.alice.json", bytes.NewReader(make([]byte, size)))
		r.RemoteAddr = "10.0.0.1:1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if got := send(2 * pieceSize); got != 403 {
		t.Fatal(got)
	}
	own, _ := h.clients.Get("10.0.0.1")
	for name, c := range map[string]struct {
		of           *semaphore.Weighted
		held         int64
		small, large int
	}{
		"nothing":            {h.all.bytes, 0, 403, 403},
		"all but the spare":  {h.all.bytes, maxBytes - spare - pieceSize, 403, 429},
		"all":                {h.all.bytes, maxBytes, 429, 429},
		"the client's":       {own.bytes, maxBytesOfOne, 429, 429},
		"all but one piece":  {own.bytes, maxBytesOfOne - pieceSize, 403, 429},
		"all but two pieces": {own.bytes, maxBytesOfOne - 2*pieceSize, 403, 403},
	} {
		if !c.of.TryAcquire(c.held) {
			t.Fatalf("%s: something was left behind", name)
		}
		if small, large := send(100), send(2*pieceSize-1); small != c.small || large != c.large {
			t.Errorf("%s are held: %d, %d", name, small, large)
		}
		c.of.Release(c.held)
	}
}

// TestPlaces: a file that has arrived waits for a place to be published, and not for ever.
func TestPlaces(t *testing.T) {
	over(t, &shelf{files: map[string][]byte{}}, func(t *testing.T, h *Handler, w *wire) {
		if !h.all.taken.TryAcquire(maxTaken) {
			t.Fatal("taken")
		}
		l := w.dial("10.0.0.1").say(put+"good", 1, 4)
		time.Sleep(takeTime - time.Second)
		h.all.taken.Release(1)
		if status, says := l.hear(); status != 201 {
			t.Errorf("%d %s", status, says)
		}
		if !h.all.taken.TryAcquire(1) {
			t.Fatal("its place was not given back")
		}
		began := time.Now()
		if status, _ := l.say(put+"good", 2, 4).hear(); status != 429 || time.Since(began) != takeTime {
			t.Errorf("%d after %s", status, time.Since(began))
		}
	})
}

func TestOrigin(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::7": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "pipe": "pipe",
	} {
		if got := origin(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
