package upstream

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// egress is a proxy that remembers where it was asked to go, and goes nowhere.
type egress struct {
	mu   sync.Mutex
	seen []string
}

func (e *egress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, r.Method+" "+r.Host)
	w.WriteHeader(http.StatusBadGateway)
}

// proxied returns a client for rawURL behind a new egress proxy.
func proxied(t *testing.T, rawURL string) (*Client, *egress) {
	t.Helper()
	e := &egress{}
	u, err := url.Parse(newPlainPeer(t, e).URL)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, rawURL, Options{EgressProxy: u, RedirectHosts: []string{"blobs.corp"}}), e
}

func TestEgressProxy(t *testing.T) {
	c, e := proxied(t, "https://registry.example.com")
	_, _, err := get(t, c, "", "https://registry.example.com/v2/")
	wantError(t, err, Unreachable)
	if want := []string{"CONNECT registry.example.com:443"}; !slices.Equal(e.seen, want) {
		t.Errorf("the proxy saw %v, want %v", e.seen, want)
	}
}

// PRODUCT: invariant 8, behind an egress proxy hosts are checked by name.
func TestRedirectBehindEgressProxy(t *testing.T) {
	for location, want := range map[string]string{
		"https://cdn.example.com/":             "CONNECT cdn.example.com:443",
		"https://blobs.corp/":                  "CONNECT blobs.corp:443",
		"https://blobs2.corp/":                 "",
		"https://localhost/":                   "",
		"https://127.0.0.1/":                   "",
		"https://10.0.0.1/":                    "",
		"https://2130706433/":                  "",
		"https://metadata.google.internal/":    "",
		"https://metadata/":                    "",
		"https://[::ffff:169.254.169.254]/":    "",
		"https://1.1.1.1/":                     "CONNECT 1.1.1.1:443",
		"https://xn--bcher-kva.example.com:8/": "CONNECT xn--bcher-kva.example.com:8",
	} {
		p := newPlainPeer(t, http.RedirectHandler(location, http.StatusTemporaryRedirect))
		c, e := proxied(t, p.URL)
		_, _, err := get(t, c, "", p.URL) // loopback is reached past the proxy
		if want == "" {
			wantError(t, err, Unreachable, "redirect refused", "redirect_hosts")
		} else {
			wantError(t, err, Unreachable, "redirect to")
		}
		if want == "" && len(e.seen) > 0 || want != "" && !slices.Equal(e.seen, []string{want}) {
			t.Errorf("%s: the proxy saw %q, want %q", location, e.seen, want)
		}
	}
}

// localhost is trusted with credentials over plain http, so it must be this machine whatever the resolver says.
func TestLocalhostIsDialledAtLoopback(t *testing.T) {
	p := newPlainPeer(t, hello)
	for _, name := range []string{"localhost", "LocalHost"} {
		u := "http://" + name + ":" + p.port(t)
		if status, _, err := get(t, newClient(t, u, Options{}), "", u); status != 200 || err != nil {
			t.Errorf("%s: %d %v", u, status, err)
		}
		d := openDialer(name + ":80")
		if d.ControlContext == nil || d.ControlContext(t.Context(), "tcp", "10.0.0.1:80", nil) == nil {
			t.Errorf("%s may be dialled elsewhere", name)
		}
	}
}

// The system's roots are not what vouches for a listed host if others are configured, nor the other way round.
func TestRoots(t *testing.T) {
	c := newClient(t, "https://registry.example.com", Options{})
	if c.open.TLSClientConfig.RootCAs == nil || c.public.TLSClientConfig.RootCAs != nil {
		t.Error("the configured roots belong to the open transport only")
	}
	for _, tr := range []*http.Transport{c.open, c.public} {
		if tr.TLSClientConfig.InsecureSkipVerify || tr.Proxy != nil && proxyFor(t, tr) != nil {
			t.Error("certificates are not verified, or the environment names a proxy")
		}
	}
}

// proxyFor returns the proxy that tr uses while the environment names one.
func proxyFor(t *testing.T, tr *http.Transport) *url.URL {
	t.Helper()
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com")
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://registry.example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := tr.Proxy(req)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
