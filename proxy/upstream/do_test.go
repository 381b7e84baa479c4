package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

// PRODUCT: invariant 8, requests start only at configured hosts.
func TestRequestsStartAtTheConfiguredHost(t *testing.T) {
	p, other := newPeer(t, hello), newPeer(t, hello)
	c := newClient(t, p.URL, Options{RedirectHosts: []string{other.host()}, TokenRealms: []string{other.host()}})
	for _, u := range []string{
		other.URL, "http://" + p.host(), "https://localhost:" + p.port(t), "https://127.0.0.1", "https://u:p@" + p.host(),
		"https://127.0.0.1.:" + p.port(t), "ftp://" + p.host(), "//" + p.host(), "https:" + p.host(), "/v2/", "https://[::ffff:127.0.0.1]:" + p.port(t),
	} {
		_, _, err := get(t, c, "", u)
		wantError(t, err, Unreachable, "registry test: ")
	}
	if p.conns.Load() != 0 || other.conns.Load() != 0 {
		t.Errorf("%d and %d connections, want none", p.conns.Load(), other.conns.Load())
	}
	if status, body, err := get(t, c, "", p.URL+"/x"); status != 200 || body != "hello" || err != nil {
		t.Errorf("%d %q %v", status, body, err)
	}
}

func TestOnlyReads(t *testing.T) {
	p := newPeer(t, hello)
	c := newClient(t, p.URL, Options{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "CONNECT", "get", ""} {
		u, err := url.Parse(p.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Scoped("").Do((&http.Request{Method: method, URL: u}).WithContext(t.Context()))
		wantError(t, err, Unreachable, "method")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Scoped("").Do(req)
	wantError(t, err, Unreachable, "body")
	if p.conns.Load() != 0 {
		t.Error("something was dialled")
	}
}

func TestRequestHeaders(t *testing.T) {
	var got http.Header
	p := newPeer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	c := newClient(t, p.URL, Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "Accept-Encoding", "If-None-Match"} {
		req.Header.Set(name, "callers")
	}
	res, err := c.Scoped("").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	want := map[string]string{
		"Authorization": "", "Cookie": "", "Proxy-Authorization": "", "Accept-Encoding": "identity", "If-None-Match": "callers",
		"User-Agent": "tagwarden", "Referer": "",
	}
	for name, v := range want {
		if got.Get(name) != v {
			t.Errorf("%s: %q, want %q", name, got.Get(name), v)
		}
	}
	if res.Request != req {
		t.Error("the answer does not belong to the caller's request")
	}
}

func TestContentEncoding(t *testing.T) {
	for _, tt := range []struct {
		status   int
		encoding []string
		ok       bool
	}{
		{200, nil, true},
		{200, []string{"identity"}, true},
		{200, []string{"gzip"}, false},
		{206, []string{"gzip"}, false},
		{200, []string{"identity, gzip"}, false},
		{200, []string{"identity", "gzip"}, false},
		{200, []string{""}, true},
		{200, []string{"Identity"}, true},
		{404, []string{"gzip"}, true}, // its body is no content
	} {
		p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Encoding"] = tt.encoding
			w.WriteHeader(tt.status)
		}))
		_, _, err := get(t, newClient(t, p.URL, Options{}), "", p.URL)
		if tt.ok && err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		if !tt.ok {
			wantError(t, err, Invalid, "content encoding")
		}
	}
}

func TestTLSIsVerified(t *testing.T) {
	p := newPeer(t, hello)
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(Options{Name: "test", URL: u}) // the system's roots do not know it
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = get(t, c, "", p.URL)
	wantError(t, err, Unreachable, "certificate")

	old := unstarted(t, hello)
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.EnableHTTP2 = false
	old.StartTLS()
	_, _, err = get(t, newClient(t, old.URL, Options{}), "", old.URL)
	wantError(t, err, Unreachable, "protocol version")
}

func TestHeaderLimit(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		p := unstarted(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// HTTP/2 counts differently and is given a little more.
			w.Header().Set("X", strings.Repeat("x", headerBytes+8192))
		}))
		p.EnableHTTP2 = http2
		p.StartTLS()
		_, _, err := get(t, newClient(t, p.URL, Options{}), "", p.URL)
		wantError(t, err, Unreachable)
	}
}

func TestEvents(t *testing.T) {
	p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
	}))
	var mu sync.Mutex
	var got []Event
	c := newClient(t, p.URL, Options{Name: "corp", Observe: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e)
	}})
	for _, path := range []string{"/200", "/404", "/304", "/503", "/abort"} {
		_, _, _ = get(t, c, "", p.URL+path) // what the caller sees is tested elsewhere
	}
	want := []Event{{"corp", "2xx"}, {"corp", "4xx"}, {"corp", "3xx"}, {"corp", "5xx"}, {"corp", "error"}}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, tt := range []struct {
		url, proxy, realm, redirect, want string
	}{
		{want: "url: missing"},
		{url: "ftp://example.com", want: "url: scheme"},
		{url: "example.com", want: "url: scheme"},
		{url: "https:///v2", want: "url: has no host"},
		{url: "https:example.com", want: "url: has no host"},
		{url: "https://u:p@example.com", want: "url: carries a user name"},
		{url: "https://example.com?x=y", want: "url: carries a query"},
		{url: "https://example.com#x", want: "url: carries a query"},
		{url: "https://example.com", proxy: "socks5://proxy:1080", want: "egress_proxy: scheme"},
		{url: "https://example.com", realm: "*", want: "token_realms: "},
		{url: "https://example.com", redirect: "https://x", want: "redirect_hosts: "},
		{url: "https://example.com/prefix", proxy: "http://u:p@proxy:3128", realm: "a", redirect: "b:1"},
	} {
		o := Options{}
		for raw, to := range map[*string]**url.URL{&tt.url: &o.URL, &tt.proxy: &o.EgressProxy} {
			if *raw == "" {
				continue
			}
			u, err := url.Parse(*raw)
			if err != nil {
				t.Fatal(err)
			}
			*to = u
		}
		if tt.realm != "" {
			o.TokenRealms = []string{tt.realm}
		}
		if tt.redirect != "" {
			o.RedirectHosts = []string{tt.redirect}
		}
		_, err := NewClient(o)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestUnreachableHost(t *testing.T) {
	p := newPeer(t, hello)
	c := newClient(t, p.URL, Options{Name: "corp", What: "source"})
	p.Close()
	_, _, err := get(t, c, "", p.URL)
	wantError(t, err, Unreachable, "source corp: ", "connection refused")
	var e *Error
	if !errors.As(err, &e) || e.Registry != "corp" || e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

// A connection that is cut before an answer is a failure of the network, not an answer.
func TestDroppedConnection(t *testing.T) {
	p := unstarted(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	p.EnableHTTP2 = false
	p.StartTLS()
	_, _, err := get(t, newClient(t, p.URL, Options{}), "", p.URL)
	wantError(t, err, Unreachable, "EOF")
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%v is taken for a wrong answer", err)
	}
}
