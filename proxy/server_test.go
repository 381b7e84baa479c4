package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"go.uber.org/zap"
)

// Requests as nobody should send them, over a connection as it is. Each gets its answer, once, and upstream hears of none.
func TestRaw(t *testing.T) {
	g := newGate(t)
	const host = "Host: localhost\r\n"
	blob := "/v2/corp/free/app/blobs/" + digest.FromString("x").String()
	hidden := "GET " + blob + " HTTP/1.1\r\n" + host + "\r\n"
	for name, c := range map[string]struct{ request, answer string }{
		"push":                       {"PUT /v2/corp/free/app/manifests/v1 HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n", "405"},
		"push of much":               {"PUT /v2/corp/free/app/manifests/v1 HTTP/1.1\r\n" + host + "Content-Length: 9999999999\r\n\r\n", "405"},
		"push in chunks":             {"PATCH " + blob + " HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", "405"},
		"push that asks":             {"PUT /v2/x/blobs/uploads/1 HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "405"},
		"upload":                     {"POST /v2/x/blobs/uploads/?mount=x&from=y HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", "405"},
		"delete":                     {"DELETE /v2/corp/free/app/manifests/v1 HTTP/1.1\r\n" + host + "\r\n", "405"},
		"options":                    {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "405"},
		"connect":                    {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "405"},
		"trace":                      {"TRACE /v2/ HTTP/1.1\r\n" + host + "\r\n", "405"},
		"a method of their own":      {"X /v2/ HTTP/1.1\r\n" + host + "\r\n", "405"},
		"a request within a body":    {"POST /v2/ HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, "405"},
		"GET with a body":            {"GET /v2/ HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, "400"},
		"GET with a body to come":    {"GET /v2/ HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n", "400"},
		"GET with chunks":            {"GET /v2/ HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"two lengths":                {"GET /v2/ HTTP/1.1\r\n" + host + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + hidden, "400"},
		"length and chunks":          {"GET /v2/ HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"odd encoding":               {"GET /v2/ HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n" + hidden, "501"},
		"negative length":            {"GET /v2/ HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\n" + hidden, "400"},
		"no host":                    {"GET /v2/ HTTP/1.1\r\n\r\n" + hidden, "400"},
		"two hosts":                  {"GET /v2/ HTTP/1.1\r\n" + host + "Host: docker.io\r\n\r\n" + hidden, "400"},
		"line folding":               {"GET /v2/ HTTP/1.1\r\n" + host + "X: y\r\n z: 1\r\n" + "A : b\r\n\r\n" + hidden, "400"},
		"bare newline in a name":     {"GET /v2/x\nY/manifests/v1 HTTP/1.1\r\n" + host + "\r\n" + hidden, "400"},
		"huge headers":               {"GET /v2/ HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431"},
		"huge path":                  {"GET /v2/" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n" + host + "\r\n", "431"},
		"other protocol":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "4"},
		"old protocol without host":  {"GET /v2/corp/free/app/manifests/v1 HTTP/1.0\r\n\r\n", "403"},
		"absolute form, other host":  {"GET http://evil.example/v2/app/manifests/v1 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "403"},
		"traversal":                  {"GET /v2/../../etc/passwd HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "404"},
		"escaped traversal":          {"GET /v2/%2e%2e/%2e%2e/manifests/v1 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "400"},
		"nul":                        {"GET /v2/x%00/manifests/v1 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "400"},
		"upgrade":                    {"GET /v2/ HTTP/1.1\r\n" + host + "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n", "200"},
		"two on one connection work": {"GET /v2/ HTTP/1.1\r\n" + host + "\r\nGET /v2/_catalog HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			got := g.raw(c.request)
			if !strings.HasPrefix(got, "HTTP/1.") || !strings.HasPrefix(strings.SplitN(got, " ", 2)[1], c.answer) {
				t.Errorf("%.200q", got)
			}
			want := 1
			if strings.HasPrefix(name, "two on") {
				want = 2
			}
			if n := strings.Count(got, "HTTP/1."); n != want || strings.Contains(got, "100 Continue") {
				t.Errorf("%d answers: %q", n, got)
			}
			if c.answer == "405" && (!strings.Contains(got, "\r\nAllow: GET, HEAD\r\n") || !strings.Contains(got, `"UNSUPPORTED"`) || !strings.Contains(got, "\r\nConnection: close\r\n")) {
				t.Errorf("%q", got)
			}
		})
	}
	if got, r := g.asked(), g.recorded(); len(got) > 0 || len(r) != 2 { // the two that parsed and were refused for their host
		t.Errorf("upstream was asked %v, recorded %v", got, r)
	}
}

// A client that does not finish its headers is not waited for, nor one that has nothing more to ask.
func TestServerLimits(t *testing.T) {
	s := Server(http.NotFoundHandler(), zap.NewNop())
	if s.ReadHeaderTimeout != 10*time.Second || s.IdleTimeout != 2*time.Minute || s.MaxHeaderBytes != 32<<10 || s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("%+v", s)
	}
	if s.HTTP2.MaxConcurrentStreams != 128 || s.HTTP2.WriteByteTimeout != idleLimit {
		t.Errorf("%+v", s.HTTP2)
	}
}

// HTTP/2 comes with TLS, and streams are reset where a connection would break.
func TestHTTP2(t *testing.T) {
	g := newGate(t)
	content, d, path := g.pushBlob(1 << 20)
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(g.Handler, zap.NewNop())
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	g.registry.Fail(upstreamPath(d), upstreamtest.Fault{CorruptLast: true, Times: 1})
	for i := range 3 {
		res, err := s.Client().Get(s.URL + path)
		if err != nil && i == 0 {
			continue // the stream was reset before its headers had left
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		whole := err == nil && res.StatusCode == 200
		if res.ProtoMajor != 2 || whole != (i > 0) || whole && !bytes.Equal(body, content) {
			t.Errorf("%s: %d bytes, %v", res.Proto, len(body), err)
		}
	}
	req, err := http.NewRequestWithContext(context.Background(), "POST", s.URL+"/v2/x/blobs/uploads/", bufio.NewReader(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(req)
	if err != nil || res.StatusCode != 405 {
		t.Fatal(res, err)
	}
	res.Body.Close()
}
