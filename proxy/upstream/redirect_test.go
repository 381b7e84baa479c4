package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// redirecting returns a client with credentials whose registry wants them and redirects /blob to location.
func redirecting(t *testing.T, location string, o Options) (*Client, *peer) {
	t.Helper()
	reg := &upstreamtest.Registry{}
	reg.Require(upstreamtest.Auth{Username: "puller", Password: "secret"})
	reg.Fail("/blob", upstreamtest.Fault{Redirect: location})
	p := newPeer(t, reg)
	o.Credentials = user("puller", "secret")
	return newClient(t, p.URL, o), p
}

// getBlob asks for /blob as a caller that sets more headers than travel.
func getBlob(t *testing.T, c *Client) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.base.JoinPath("blob").String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Client", "If-None-Match", "Referer"} {
		req.Header.Set(name, "callers")
	}
	req.Header.Set("Accept", "a/b")
	req.Header.Set("Range", "bytes=5-")
	req.Header.Set("User-Agent", "agent")
	return c.Scoped("s").Do(req)
}

// bare fails the test unless q carries just what may travel.
func bare(t *testing.T, q upstreamtest.Request) {
	t.Helper()
	want := map[string]string{"Accept": "a/b", "Range": "bytes=5-", "User-Agent": "agent", "Accept-Encoding": "identity"}
	for name := range q.Header {
		if want[name] != q.Header.Get(name) {
			t.Errorf("%s: %q travelled to %s", name, q.Header.Get(name), q.Host)
		}
	}
	if len(q.Header) != len(want) {
		t.Errorf("headers %v, want %v", q.Header, want)
	}
}

// PRODUCT: invariant 8, redirects never with credentials, to redirect_hosts at any address.
func TestRedirectCarriesNothing(t *testing.T) {
	blobs := &upstreamtest.Registry{}
	other := newPeer(t, blobs)
	for _, listed := range []string{"127.0.0.1", other.host()} {
		blobs.Forget()
		c, _ := redirecting(t, other.URL+"/v2/", Options{RedirectHosts: []string{listed}})
		res, err := getBlob(t, c)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if n := blobs.Count("GET", "/v2/"); n != 1 {
			t.Fatalf("%d requests after the redirect", n)
		}
		bare(t, blobs.Requests()[0])
	}
}

// A subdomain, a parent domain, another port: no relation makes a host one that credentials belong to.
func TestRedirectToRelatives(t *testing.T) {
	for _, to := range []string{"blobs.example.com", "example.com", "registry.example.com:444"} {
		blobs := &upstreamtest.Registry{}
		other := newPeer(t, blobs)
		reg := &upstreamtest.Registry{}
		reg.Require(upstreamtest.Auth{Username: "puller", Password: "secret"})
		reg.Fail("/blob", upstreamtest.Fault{Redirect: "https://" + to + "/v2/"})
		p := newPeer(t, reg)
		c := newClient(t, "https://registry.example.com", Options{Credentials: user("puller", "secret")})
		public := places(t, c, map[string]*peer{"registry.example.com": p, "blobs.example.com": other, "example.com": other})
		c.public.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			*public = append(*public, address)
			return (&net.Dialer{}).DialContext(ctx, network, other.host())
		}
		res, err := getBlob(t, c)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if len(*public) != 1 {
			t.Errorf("%s: the guarded transport dialled %v", to, *public)
		}
		for _, q := range blobs.Requests() {
			bare(t, q)
		}
	}
}

// PRODUCT: invariant 8, redirects: https, and not to non-public addresses.
func TestRedirectRefused(t *testing.T) {
	other, realm := newPeer(t, hello), newPeer(t, hello)
	plain := newPlainPeer(t, hello)
	for location, want := range map[string]string{
		other.URL:                                     "redirect_hosts",
		"https://localhost:" + other.port(t):          "redirect_hosts",
		"https://LOCALHOST:" + other.port(t):          "redirect_hosts",
		"https://[::ffff:127.0.0.1]:" + other.port(t): "redirect_hosts",
		"https://0.0.0.0:" + other.port(t):            "redirect_hosts",
		"https://127.1.2.3:" + other.port(t):          "redirect_hosts",
		"https://169.254.169.254/latest/meta-data/":   "redirect_hosts",
		"https://[fd00:ec2::254]/":                    "redirect_hosts",
		"https://[fe80::1%25lo]/":                     "redirect_hosts",
		realm.URL:                                     "redirect_hosts", // token_realms is another list
		plain.URL:                                     "not https",
		"http://listed.example.com/":                  "not https",
		"//u:p@" + other.host():                       "credentials",
		"file:///etc/passwd":                          "not https",
		"https:opaque":                                "no host",
		"https:///path":                               "no host",
		"https://a b/":                                "no place",
		"":                                            "no place",
	} {
		c, _ := redirecting(t, location, Options{TokenRealms: []string{realm.host()}, RedirectHosts: []string{"listed.example.com", "x"}})
		if location == "" {
			c, _ = redirectingNowhere(t)
		}
		_, err := getBlob(t, c)
		wantError(t, err, Unreachable, "redirect", want)
	}
	if n := other.conns.Load() + realm.conns.Load() + plain.conns.Load(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// redirectingNowhere is like redirecting, without a Location header.
func redirectingNowhere(t *testing.T) (*Client, *peer) {
	t.Helper()
	reg := &upstreamtest.Registry{}
	reg.Fail("/blob", upstreamtest.Fault{Status: 307})
	p := newPeer(t, reg)
	return newClient(t, p.URL, Options{}), p
}

// The configured host may have any address also when a redirect leads back, but gets no credentials then.
func TestRedirectBackToTheConfiguredHost(t *testing.T) {
	reg := &upstreamtest.Registry{}
	p := newPeer(t, reg)
	reg.Fail("/blob", upstreamtest.Fault{Redirect: p.URL + "/v2/"})
	c := newClient(t, p.URL, Options{Credentials: user("puller", "secret")})
	res, err := getBlob(t, c)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	bare(t, reg.Requests()[1])

	reg.Require(upstreamtest.Auth{Username: "puller", Password: "secret"})
	_, err = getBlob(t, c)
	wantError(t, err, Unreachable, "401 unauthorized", "after a redirect, where no credentials go")
}

// A plain http registry cannot redirect to itself: redirects are https.
func TestRedirectWithinPlainHTTP(t *testing.T) {
	reg := &upstreamtest.Registry{}
	p := newPlainPeer(t, reg)
	reg.Fail("/blob", upstreamtest.Fault{Redirect: p.URL + "/v2/"})
	_, err := getBlob(t, newClient(t, p.URL, Options{}))
	wantError(t, err, Unreachable, "not https")
	if n := reg.Count("", "/v2/"); n != 0 {
		t.Errorf("%d requests after the redirect", n)
	}
}

// A connection that was dialled for the configured host by other rules does not help a redirect to the same address.
func TestPooledConnectionIsNotBorrowed(t *testing.T) {
	p := newPeer(t, nil)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/blob" {
			http.Redirect(w, r, "https://127.0.0.1:"+p.port(t)+"/secret", http.StatusTemporaryRedirect)
		}
	})
	c := newClient(t, "https://example.com:"+p.port(t), Options{})
	c.open.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, p.host())
	}
	for range 2 {
		_, err := getBlob(t, c)
		wantError(t, err, Unreachable, "127.0.0.1 is a loopback address")
	}
	if n := p.conns.Load(); n != 1 {
		t.Errorf("%d connections, want the first one only", n)
	}
}

// PRODUCT: invariant 8, five redirects at most.
func TestRedirectLimit(t *testing.T) {
	p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil || n == 0 {
			return
		}
		http.Redirect(w, r, fmt.Sprintf("/%d", n-1), []int{301, 302, 303, 307, 308}[n%5])
	}))
	c := newClient(t, p.URL, Options{})
	if status, _, err := get(t, c, "", p.URL+"/5"); status != 200 || err != nil {
		t.Errorf("five redirects: %d %v", status, err)
	}
	_, _, err := get(t, c, "", p.URL+"/6")
	wantError(t, err, Unreachable, "more than 5 redirects")
}

func TestRedirectKeepsHead(t *testing.T) {
	var methods []string
	p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		if r.URL.Path == "/blob" {
			http.Redirect(w, r, "/x", http.StatusSeeOther)
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, p.URL+"/blob", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newClient(t, p.URL, Options{}).Scoped("").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if fmt.Sprint(methods) != "[HEAD HEAD]" {
		t.Errorf("methods %v", methods)
	}
}
