package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// A deaf connection is read only until it is told not to listen any more.
type deaf struct {
	net.Conn
	stop   *atomic.Bool
	closed chan struct{}
}

// Read implements net.Conn.
func (d deaf) Read(p []byte) (int, error) {
	if d.stop.Load() {
		<-d.closed
		return 0, net.ErrClosed
	}
	return d.Conn.Read(p)
}

// A client of HTTP/2 that reads nothing any more is cut, though its streams cannot be reset one by one: that would have to
// be written too.
// PRODUCT: invariant 9, one slow client does not hold what others need.
func TestUnread(t *testing.T) {
	ended := make(chan struct{}, 32)
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer func() { ended <- struct{}{} }()
		piece := make([]byte, 1<<20)
		for {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // as Handler.extend does
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}), zap.NewNop())
	s.Config.HTTP2.WriteByteTimeout = 100 * time.Millisecond
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.CloseClientConnections()
	var stop atomic.Bool
	closed := make(chan struct{})
	defer close(closed)
	transport := s.Client().Transport.(*http.Transport)
	transport.DialContext = func(_ context.Context, network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		return deaf{c, &stop, closed}, err
	}
	const requests = 16 // 4 MiB each, which is more than both ends of a connection hold
	begun := make(chan struct{}, requests)
	for range requests {
		go func() {
			res, err := s.Client().Get(s.URL)
			begun <- struct{}{}
			if err == nil {
				defer res.Body.Close()
				<-closed
			}
		}()
	}
	for range requests {
		<-begun
	}
	stop.Store(true)
	for i := range requests {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d answers are held by a client that reads nothing", requests-i, requests)
		}
	}
}
