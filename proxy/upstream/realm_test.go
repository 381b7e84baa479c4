package upstream

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// PRODUCT: invariant 8, credentials go only to the host they belong to and its token realms.
func TestRealm(t *testing.T) {
	const open, public, refused = "open", "public", ""
	for _, tt := range []struct {
		url, realm string
		listed     string
		want       string
	}{
		// its own host, on its own port
		{"https://r.example", "https://r.example/token", "", open},
		{"https://r.example", "https://R.Example:443/token?a=b", "", open},
		{"https://r.example:5000", "https://r.example:5000/t", "", open},
		{"https://10.0.0.1:5000", "https://10.0.0.1:5000/t", "", open},
		{"https://r.example", "https://r.example:8443/t", "", refused},
		{"https://r.example:5000", "https://r.example/t", "", refused},
		// relatives and others
		{"https://r.example", "https://auth.r.example/t", "", refused},
		{"https://a.r.example", "https://r.example/t", "", refused},
		{"https://r.example", "https://r.example.evil.example/t", "", refused},
		{"https://r.example", "https://r.example./t", "", refused},
		{"https://r.example", "https://169.254.169.254/t", "", refused},
		{"https://r.example", "https://127.0.0.1/t", "", refused},
		// listed
		{"https://r.example", "https://auth.example/t", "auth.example", open},
		{"https://r.example", "https://auth.example:8443/t", "auth.example", open},
		{"https://r.example", "https://auth.example:8443/t", "auth.example:8443", open},
		{"https://r.example", "https://auth.example/t", "auth.example:8443", refused},
		{"https://r.example", "https://r.example:8443/t", "r.example:8443", open},
		{"https://r.example", "https://x.auth.example/t", "auth.example", refused},
		// built in, for exactly the well-known hosts
		{"https://registry-1.docker.io", "https://auth.docker.io/token", "", public},
		{"https://notary.docker.io", "https://auth.docker.io/token", "", public},
		{"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "", public},
		{"https://registry-1.docker.io", "https://auth.docker.io:444/token", "", refused},
		{"https://registry-1.docker.io", "https://gitlab.com/jwt/auth", "", refused},
		{"https://registry-1.docker.io:444", "https://auth.docker.io/token", "", refused},
		{"http://registry-1.docker.io:443", "https://auth.docker.io/token", "", refused},
		{"https://mirror.example", "https://auth.docker.io/token", "", refused},
		// plain http
		{"https://r.example", "http://r.example:443/t", "", refused},
		{"https://r.example", "http://auth.example/t", "auth.example", refused},
		{"http://r.example:5000", "http://r.example:5000/t", "", open},
		{"http://r.example:5000", "http://r.example:5001/t", "r.example", refused},
		{"http://r.example:5000", "https://r.example:5000/t", "", open},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5000/t", "", open},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001/t", "", refused},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001/t", "127.0.0.1:5001", open},
		{"https://r.example", "http://localhost/t", "localhost", open},
		// not plain URLs
		{"https://r.example", "https://u:p@r.example/t", "", refused},
		{"https://r.example", "https://r.example/t#f", "", refused},
		{"https://r.example", "https://r.example/t#", "", refused},
		{"https://r.example", "ftp://r.example:443/t", "", refused},
		{"https://r.example", "//r.example/t", "", refused},
		{"https://r.example", "https:r.example", "", refused},
		{"https://r.example", "/token", "", refused},
		{"https://r.example", "https://", "", refused},
		{"https://r.example", "://", "", refused},
		{"https://r.example", "", "", refused},
	} {
		o := Options{}
		if tt.listed != "" {
			o.TokenRealms = []string{tt.listed}
		}
		c := newClient(t, tt.url, o)
		_, tr, err := c.realm(tt.realm)
		if (err == nil) != (tt.want != refused) || (tr == c.open) != (tt.want == open) || (tr == c.public) != (tt.want == public) {
			t.Errorf("%s, realm %s, listed %q: %v, want %q", tt.url, tt.realm, tt.listed, err, tt.want)
		}
	}
}

// A realm that is not allowed is not even asked anonymously, and the error says how to allow it.
func TestForeignRealmIsNotAsked(t *testing.T) {
	reg, auth := &upstreamtest.Registry{}, newPeer(t, hello)
	for _, realm := range []string{auth.URL + "/token", "https://localhost:" + auth.port(t) + "/token"} {
		reg.Require(upstreamtest.Auth{Realm: realm, Service: "s"})
		p := newPeer(t, reg)
		asked := false
		c := newClient(t, p.URL, Options{RedirectHosts: []string{auth.host()}, Credentials: noting(&asked)})
		_, _, err := get(t, c, "s", p.URL+"/v2/")
		wantError(t, err, Unreachable, realm, `add "`+strings.TrimSuffix(strings.TrimPrefix(realm, "https://"), "/token")+`" to token_realms`)
		if asked {
			t.Error("the credentials were looked up for nothing")
		}
	}
	if auth.conns.Load() != 0 {
		t.Error("the realm was dialled")
	}
}

// A built-in realm must be at a public address; what docker.io says is no reason to look inside.
func TestBuiltinRealmIsGuarded(t *testing.T) {
	reg, auth := &upstreamtest.Registry{}, newPeer(t, hello)
	reg.Require(upstreamtest.Auth{Realm: "https://auth.docker.io/token", Service: "registry.docker.io"})
	p := newPlainPeer(t, reg)
	c := newClient(t, "https://registry-1.docker.io", Options{})
	public := places(t, c, map[string]*peer{"registry-1.docker.io": p, "auth.docker.io": auth})
	c.open.ForceAttemptHTTP2 = false
	c.open.DialTLSContext = c.open.DialContext // the peer has no certificate for this name
	_, _, err := get(t, c, "repository:library/nginx:pull", "https://registry-1.docker.io/v2/")
	wantError(t, err, Unreachable, "auth.docker.io", "certificate")
	if len(*public) != 1 || (*public)[0] != "auth.docker.io:443" {
		t.Errorf("the guarded transport dialled %v", *public)
	}
}

// PRODUCT: invariant 8, token_realms may be at any address, and redirects of token requests are not followed.
func TestListedRealm(t *testing.T) {
	reg := &upstreamtest.Registry{}
	p, auth := newPeer(t, reg), newPeer(t, reg.Tokens())
	reg.Require(upstreamtest.Auth{Realm: auth.URL + "/token", Service: "s"})
	c := newClient(t, p.URL, Options{TokenRealms: []string{"127.0.0.1"}})
	if status, _, err := get(t, c, "repository:a:pull", p.URL+"/v2/"); status != 200 || err != nil {
		t.Fatalf("%d %v", status, err)
	}

	target := newPeer(t, hello)
	reg.Fail("/token", upstreamtest.Fault{Redirect: target.URL})
	c = newClient(t, p.URL, Options{TokenRealms: []string{"127.0.0.1"}, RedirectHosts: []string{"127.0.0.1"}})
	_, _, err := get(t, c, "repository:a:pull", p.URL+"/v2/")
	wantError(t, err, Unreachable, "307 temporary redirect", "token realm")
	if target.conns.Load() != 0 {
		t.Error("the redirect of a token request was followed")
	}
	if n := reg.Count(http.MethodGet, "/token"); n != 2 {
		t.Errorf("%d token requests", n)
	}
}

// PRODUCT: invariant 8, credentials travel over plain http only to loopback.
func TestPlainHTTP(t *testing.T) {
	for _, realm := range []string{"", "http://registry.example.com/token", "https://auth.example.com/token"} {
		reg := &upstreamtest.Registry{}
		mux := http.NewServeMux()
		mux.Handle("/", reg)
		mux.Handle("/token", reg.Tokens())
		p, auth := newPlainPeer(t, mux), newPeer(t, reg.Tokens())
		reg.Require(upstreamtest.Auth{Realm: realm, Service: "s", Username: "puller", Password: "secret"})
		asked := false
		c := newClient(t, "http://registry.example.com", Options{Credentials: noting(&asked), TokenRealms: []string{"auth.example.com"}})
		places(t, c, map[string]*peer{"registry.example.com": p, "auth.example.com": auth})
		_, _, err := get(t, c, "repository:a:pull", "http://registry.example.com/v2/")
		wantError(t, err, Unreachable, "401 unauthorized", "not sent over plain http to registry.example.com:80: use https")
		if asked {
			t.Error("the credentials were read")
		}
		for _, q := range reg.Requests() {
			if q.Header.Get("Authorization") != "" || strings.Contains(q.Query+q.Form, "puller") {
				t.Errorf("%s %s carries %v", q.Host, q.Path, q.Header)
			}
		}
	}

	reg := &upstreamtest.Registry{}
	reg.Require(upstreamtest.Auth{Username: "puller", Password: "secret"})
	p := newPlainPeer(t, reg)
	wantOK(t, newClient(t, p.URL, Options{Credentials: user("puller", "secret")}), "s")
	wantOK(t, newClient(t, "http://localhost:"+p.port(t), Options{Credentials: user("puller", "secret")}), "s")
}

// Anonymous tokens are no secret.
func TestPlainHTTPAnonymous(t *testing.T) {
	reg := &upstreamtest.Registry{}
	mux := http.NewServeMux()
	mux.Handle("/", reg)
	mux.Handle("/token", reg.Tokens())
	reg.Require(upstreamtest.Auth{Realm: "http://registry.example.com/token", Service: "s"})
	c := newClient(t, "http://registry.example.com", Options{})
	places(t, c, map[string]*peer{"registry.example.com": newPlainPeer(t, mux)})
	wantOK(t, c, "repository:a:pull")
}
