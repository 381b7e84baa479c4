package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tagwarden/tagwarden/cache"
	"go.uber.org/zap"
)

// watched is a connection that tells what it was given to send from, as sendfile is reached.
type watched struct {
	*net.TCPConn
	from chan<- io.Reader
}

func (c watched) ReadFrom(r io.Reader) (int64, error) {
	c.from <- r
	return c.TCPConn.ReadFrom(r)
}

type watchedListener struct {
	net.Listener
	from chan<- io.Reader
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watched{c.(*net.TCPConn), l.from}, nil
}

// A blob on disk goes from its file to the connection with nothing between, so that the kernel copies it.
func TestSendfile(t *testing.T) {
	g := newGate(t)
	content, d, path := g.pushBlob(1 << 20)
	g.get("GET", path)
	g.kept(d)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := make(chan io.Reader, 1)
	s := Server(g.Handler, zap.NewNop())
	go s.Serve(watchedListener{listener, from})
	defer s.Close()
	for _, r := range []string{"", "bytes=1000-999999"} {
		req, err := http.NewRequest("GET", "http://"+listener.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", r)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.Contains(content, body) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		limited, ok := (<-from).(*io.LimitedReader)
		if !ok {
			t.Fatal("the connection was not given a part of anything")
		}
		if f, ok := limited.R.(*os.File); !ok || filepath.Base(f.Name()) != d.Encoded() {
			t.Errorf("the connection was given a %T, not the file", limited.R)
		}
	}
}

// A client that reads nothing is cut, and what it held is free again.
func TestIdleClient(t *testing.T) {
	for _, cached := range []bool{true, false} {
		t.Run(fmt.Sprintf("cached %v", cached), func(t *testing.T) {
			g := newGate(t)
			g.idle = 300 * time.Millisecond
			const n = 16 << 20 // more than the system keeps for a connection
			content, d, path := g.pushBlob(n)
			if cached {
				_, err := g.o.Cache.Fill(t.Context(), cache.Request{Digest: d, From: "here", Origin: func(context.Context, int64) (io.ReadCloser, int64, error) {
					return io.NopCloser(bytes.NewReader(content)), n, nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				g.kept(d)
			}
			c, err := net.Dial("tcp", g.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			g.until("the client is cut", func() bool { return g.answered() == 1 })
			if got, _ := io.Copy(io.Discard, c); got >= n {
				t.Error("all of it was sent")
			}
		})
	}
}

// deadlines is a ResponseWriter that remembers its deadlines.
type deadlines struct {
	http.ResponseWriter
	mu  sync.Mutex
	all []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, t)
	return nil
}

// A slow client is not an idle one: the deadline moves with the file, and only with it.
func TestWhileItMoves(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	synctest.Test(t, func(t *testing.T) {
		h := &Handler{idle: 60 * time.Second}
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		began := time.Now()
		stop := h.whileItMoves(w, file)
		for _, move := range []int64{10, 0, 0, 5, 0} { // one look each 20 s
			if _, err := file.Seek(move, io.SeekCurrent); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
		}
		stop()
		if _, err := file.Seek(1, io.SeekCurrent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		var got []time.Duration
		for _, d := range w.all {
			got = append(got, d.Sub(began))
		}
		equal(t, "deadlines", got, 80*time.Second, 140*time.Second)
	})
}

// Every answer is written under a deadline of its own.
func TestAnswersHaveDeadlines(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	for _, path := range []string{
		"/v2/", "/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/manifests/v2", "/v2/corp/team/app/tags/list", "/v2/corp/team/app/referrers/" + image.Digest.String(),
		"/v2/corp/team/app/blobs/" + image.Layer.String(), "/nowhere",
	} {
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		began := time.Now()
		g.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		if len(w.all) == 0 || w.all[0].Before(began.Add(idleLimit)) {
			t.Errorf("%s: %v", path, w.all)
		}
	}
}

// The client's time begins when there is something to take, not while upstream is waited for.
func TestFollowingExtends(t *testing.T) {
	n := 0
	f := &following{ReadSeeker: strings.NewReader("abc"), extend: func() { n++ }}
	if b, err := io.ReadAll(f); err != nil || string(b) != "abc" || n < 2 || f.err != nil {
		t.Error(string(b), err, n, f.err)
	}
}
