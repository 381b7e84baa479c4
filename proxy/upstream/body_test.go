package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// piped returns a client whose server, on the other side of a pipe, answers each connection's first request with serve.
// It is for bubbles of synctest, whose clock real connections would hold up.
func piped(t *testing.T, serve func(w io.Writer)) *Client {
	t.Helper()
	u, err := url.Parse("http://registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(Options{Name: "test", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.open.CloseIdleConnections)
	c.open.DialContext = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
				serve(far)
				_, _ = io.Copy(io.Discard, far) // until the client hangs up
			}
		}()
		return near, nil
	}
	return c
}

// drip sends a byte a second until the client hangs up.
func drip(w io.Writer) {
	for {
		time.Sleep(time.Second)
		if _, err := fmt.Fprint(w, "a"); err != nil {
			return
		}
	}
}

func elapsed(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Errorf("after %v, want %v", got, want)
	}
}

// PRODUCT: invariant 9, every wait has a limit: a body that stops is given up, one that is slow is not.
func TestIdleBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(w io.Writer) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			for range 3 {
				time.Sleep(59 * time.Second)
				fmt.Fprint(w, "a")
			}
		})
		start := time.Now()
		_, body, err := get(t, c, "", "http://registry.example.com/")
		wantError(t, err, Unreachable, "registry test: no byte for 60 s in the middle of a body")
		elapsed(t, start, 3*59*time.Second+60*time.Second)
		if body != "aaa" {
			t.Errorf("body %q", body)
		}
	})
}

// A caller that takes its time is not an upstream that does.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(w io.Writer) {
			fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%0100000d", 0)
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Scoped("").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for range 2 {
			time.Sleep(time.Hour)
			if _, err := io.ReadFull(res.Body, make([]byte, 50000)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(io.Writer) {})
		start := time.Now()
		_, _, err := get(t, c, "", "http://registry.example.com/")
		wantError(t, err, Unreachable, "timeout awaiting response headers")
		elapsed(t, start, headerLimit)
	})
}

// An answer that goes on for ever where only its headers were wanted does not keep the caller for ever.
func TestAnswerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(w io.Writer) {
			fmt.Fprint(w, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\n")
		})
		start := time.Now()
		_, _, err := get(t, c, "", "http://registry.example.com/")
		wantError(t, err, Unreachable, "401 unauthorized")
		elapsed(t, start, answerLimit)
	})
}

// The reason of a refusal is worth 10 s, however slowly it comes.
func TestSlowRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(w io.Writer) {
			fmt.Fprint(w, "HTTP/1.1 503 Busy\r\n\r\n")
			drip(w)
		})
		start := time.Now()
		_, _, err := NewRegistries(NewRegistry("registry.example.com", c)).Blob(t.Context(), "registry.example.com/a", aDigest, 0)
		wantError(t, err, Unreachable, "503 service unavailable")
		elapsed(t, start, errorLimit)
		time.Sleep(2 * time.Second) // the server finds out
	})
}

// A manifest has 60 s, however steadily it drips.
func TestSlowManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, func(w io.Writer) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\n\r\n")
			drip(w)
		})
		start := time.Now()
		_, _, err := NewRegistries(NewRegistry("registry.example.com", c)).Manifest(t.Context(), "registry.example.com/a", aDigest)
		wantError(t, err, Unreachable, "the answer was too slow")
		elapsed(t, start, documentLimit)
		time.Sleep(2 * time.Second) // the server finds out
	})
}

func TestCloseEndsTheRequest(t *testing.T) {
	gone := make(chan struct{})
	p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newClient(t, p.URL, Options{}).Scoped("").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	<-gone
}
