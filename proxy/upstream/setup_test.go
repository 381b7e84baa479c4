package upstream

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// peer is a server on loopback that counts the connections made to it.
type peer struct {
	*httptest.Server
	conns atomic.Int64
}

// newPeer starts a peer that speaks TLS with a certificate for 127.0.0.1, ::1, example.com and *.example.com.
func newPeer(t *testing.T, h http.Handler) *peer {
	t.Helper()
	p := unstarted(t, h)
	p.StartTLS()
	return p
}

// newPlainPeer starts a peer that speaks plain http.
func newPlainPeer(t *testing.T, h http.Handler) *peer {
	t.Helper()
	p := unstarted(t, h)
	p.Start()
	return p
}

func unstarted(t *testing.T, h http.Handler) *peer {
	p := &peer{Server: httptest.NewUnstartedServer(h)}
	p.EnableHTTP2 = true
	p.Listener = &countingListener{Listener: p.Listener, n: &p.conns}
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(p.Close)
	return p
}

// host is host and port of the peer.
func (p *peer) host() string { return p.Listener.Addr().String() }

// port is its port.
func (p *peer) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(p.host())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// roots vouch for every peer.
func roots(t *testing.T) *x509.CertPool {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// newClient returns a client for rawURL that trusts every peer.
func newClient(t *testing.T, rawURL string, o Options) *Client {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	o.URL, o.Roots = u, roots(t)
	if o.Name == "" {
		o.Name = "test"
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.open.CloseIdleConnections)
	t.Cleanup(c.public.CloseIdleConnections)
	return c
}

// places makes c find the named hosts at peers, by whichever transport it goes there, and nothing else. What was dialled
// over the public transport is recorded.
func places(t *testing.T, c *Client, at map[string]*peer) (public *[]string) {
	t.Helper()
	public = &[]string{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		p, ok := at[host]
		if !ok {
			t.Errorf("%s was dialled", address)
			return nil, net.UnknownNetworkError(host)
		}
		return (&net.Dialer{}).DialContext(ctx, network, p.host())
	}
	c.open.DialContext = dial
	c.public.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		*public = append(*public, address)
		return dial(ctx, network, address)
	}
	c.public.TLSClientConfig.RootCAs = c.open.TLSClientConfig.RootCAs
	return public
}

// get asks c for a URL under a scope.
func get(t *testing.T, c *Client, scope, rawURL string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Scoped(scope).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

// wantError fails the test unless err is an *Error of this kind with these words.
func wantError(t *testing.T, err error, kind Kind, words ...string) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("error %T %v, want an *Error", err, err)
	}
	if e.Kind != kind {
		t.Errorf("kind %d of %q, want %d", e.Kind, e, kind)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("error %q does not say %q", e, w)
		}
	}
}

// user returns Credentials that never change.
func user(name, password string) Credentials {
	return func(context.Context) (Credential, error) { return Credential{Username: name, Password: password}, nil }
}
