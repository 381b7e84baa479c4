package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	dialLimit      = 10 * time.Second
	handshakeLimit = 10 * time.Second
	headerLimit    = 30 * time.Second // from a request to the headers of its answer
	headerBytes    = 64 << 10

	idleConns        = 64
	idleConnsPerHost = 16
	idleConnLimit    = 90 * time.Second
	pingAfter        = 15 * time.Second // an HTTP/2 connection this long without a frame is asked whether it lives
	pingLimit        = 15 * time.Second
)

// newTransport returns a transport that verifies certificates with roots, nil for the system's. It does not look at the
// environment, keeps no cookies, follows nothing and decompresses nothing.
func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    handshakeLimit,
		ResponseHeaderTimeout:  headerLimit,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingLimit},
		MaxIdleConns:           idleConns,
		MaxIdleConnsPerHost:    idleConnsPerHost,
		IdleConnTimeout:        idleConnLimit,
	}
}

// openTransport returns the transport for hosts that may have any address. The name localhost is held to loopback, since
// credentials go there unencrypted; loopback is never reached through a proxy, where it would be the proxy's.
func openTransport(roots *x509.CertPool, proxy *url.URL) *http.Transport {
	t := newTransport(roots)
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return openDialer(address).DialContext(ctx, network, address)
	}
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if loopbackHost(originOf(req.URL).host) {
			return nil, nil
		}
		return proxy, nil
	}
	return t
}

// openDialer returns what dials an address, host and port, of the open transport.
func openDialer(address string) *net.Dialer {
	d := &net.Dialer{Timeout: dialLimit}
	if host, _, err := net.SplitHostPort(address); err == nil && strings.EqualFold(host, "localhost") {
		d.ControlContext = guardLoopback
	}
	return d
}

// publicTransport returns the transport for hosts that must be public. With a proxy it dials the proxy and nothing else:
// the caller has then judged the name.
func publicTransport(proxy *url.URL) *http.Transport {
	guarded := &net.Dialer{Timeout: dialLimit, ControlContext: guardPublic}
	t := newTransport(nil)
	t.DialContext = guarded.DialContext
	if proxy != nil {
		free := &net.Dialer{Timeout: dialLimit}
		at := originOf(proxy).address()
		t.Proxy = http.ProxyURL(proxy)
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return free.DialContext(ctx, network, at)
		}
	}
	return t
}
