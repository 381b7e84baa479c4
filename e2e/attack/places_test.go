package attack

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// places are attacks by which the gateway would go where it must not go, or take along what it must not.
func places() []door {
	return []door{
		{2, "token realm leak", "credentials go to the host they belong to and nowhere else, whatever a challenge says", realms},
		{3, "redirects to inner places", "redirects reach public hosts and listed ones by https, and clients never see one", redirects},
		{4, "credentials across a redirect", "neither ours nor the client's credentials and cookies travel on", redirected},
		{5, "foreign layer urls", "the urls of a manifest are never asked", foreign},
		{22, "encoded bodies", "nothing is decompressed, and nothing encoded is taken", encoded},
	}
}

// secret is the password of the account that the gateway has at its registry.
const secret = "correct-horse"

// account writes the password, and returns the credentials in YAML.
func account(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(", credentials: {username: puller, password_file: %s}", write(t, "password", secret+"\n"))
}

func realms(t *testing.T) {
	trap := newTrap(t)
	w := newWorld(t, settings{registry: account(t)})
	tokens := serve(t, w.up.Tokens())
	host := strings.TrimPrefix(w.url, "http://")
	for _, realm := range []string{
		"http://" + trap.addr + "/token", "https://" + trap.addr + "/token", "http://localhost:" + trap.port + "/token", "https://[::1]:" + trap.port + "/token",
		"http://" + host + "@" + trap.addr + "/token", "//" + trap.addr + "/token", "http:" + trap.addr, "file:///etc/passwd", "https://169.254.169.254/token",
		"http://metadata.google.internal/token", "http://" + trap.addr + "#" + host, "http://" + host + "\\@" + trap.addr + "/", "", tokens,
	} {
		w.up.Require(upstreamtest.Auth{Realm: realm, Service: "s", Username: "puller", Password: secret})
		if realm == "" {
			w.up.Fail("/v2/app/manifests/"+w.good.Digest.String(), upstreamtest.Fault{Status: 401, Header: http.Header{"Www-Authenticate": {`Negotiate, NTLM`}}})
		}
		w.expect(t, "502 upstream_unreachable", manifest("v1"))
	}
	for _, q := range w.up.Requests() {
		if strings.HasPrefix(q.Path, "/token") || q.Host != host && q.Header.Get("Authorization") != "" {
			t.Errorf("a token was asked of a host that is not the registry's: %+v", q)
		}
	}
	w.up.Heal()
	w.sourceRealms(t, trap)
	// A registry that asks for tokens on its own host gets one, and what that host redirects to gets nothing.
	w.up.Require(upstreamtest.Auth{})
	mux := http.NewServeMux()
	mux.Handle("/token", w.up.Tokens())
	mux.Handle("/away", http.RedirectHandler("http://"+trap.addr+"/token", http.StatusTemporaryRedirect))
	mux.Handle("/", w.up)
	own := httptest.NewServer(mux)
	t.Cleanup(own.Close)
	v := newWorld(t, settings{registry: account(t), before: func(v *world) { v.url, v.up = own.URL, w.up }})
	w.up.Require(upstreamtest.Auth{Realm: own.URL + "/away", Service: "s", Username: "puller", Password: secret})
	v.expect(t, "502 upstream_unreachable", blob(w.good.Config))
	w.up.Require(upstreamtest.Auth{Realm: own.URL + "/token", Service: "s", Username: "puller", Password: secret})
	v.expect(t, "200", blob(w.good.Config))
}

// sourceRealms lets the source send the gateway to the trap for a token.
func (w *world) sourceRealms(t *testing.T, trap trap) {
	t.Helper()
	w.site.fail(func(rw http.ResponseWriter, _, _ string) bool {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="http://`+trap.addr+`/token",service="s"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	})
	w.expect(t, "503 source_unreachable", "/v2/r.example/cold/seen/manifests/v1")
	w.site.fail(nil)
}

func redirects(t *testing.T) {
	trap, listed := newTrap(t), newTrap(t)
	w := newWorld(t, settings{tls: true, registry: fmt.Sprintf(", redirect_hosts: [%q]", listed.addr)})
	loop := w.url + "/v2/app/blobs/" + w.good.Layer.String()
	for i, to := range []string{
		"http://" + trap.addr + "/x", "https://" + trap.addr + "/x", "https://localhost:" + trap.port + "/x", "https://[::1]:" + trap.port + "/x",
		"https://[::ffff:127.0.0.1]:" + trap.port + "/x", "https://0:" + trap.port + "/x", "https://0x7f000001:" + trap.port + "/x", "https://169.254.169.254/latest/meta-data",
		"http://169.254.169.254/latest/meta-data", "https://10.0.0.1/x", "//" + trap.addr + "/x", "file:///etc/passwd", "gopher://" + trap.addr + "/x", "https:", "https:///x",
		"http://" + listed.addr + "/x", "https://user:pass@" + listed.addr + "/x", "https://user:pass@" + trap.addr + "/x", strings.Replace(w.url, "https:", "http:", 1) + "/x", loop,
	} {
		// Of its own for each, since what fails again and again is left alone for a while.
		image := w.up.PushImage("app", "", to)
		targets := []string{blob(image.Layer), manifest(image.Digest)}
		for _, path := range []string{"blobs/" + image.Layer.String(), "manifests/" + image.Digest.String(), "manifests/" + w.good.Digest.String(), "blobs/" + w.good.Layer.String()} {
			w.up.Fail("/v2/app/"+path, upstreamtest.Fault{Redirect: to})
		}
		if i%3 == 0 {
			targets = append(targets, manifest("v1"))
		}
		w.up.Forget()
		for _, target := range targets {
			if a := w.expect(t, "502 upstream_unreachable", target); a.header.Get("Location") != "" {
				t.Errorf("redirect to %q: the client is sent to %q", to, a.header.Get("Location"))
			}
		}
		if n := len(w.up.Requests()); n < len(targets) || to == loop && n > 6*len(targets) {
			t.Errorf("redirect to %q: %d requests for %d targets, want one of each, and at most 6 in a loop", to, n, len(targets))
		}
	}
	w.site.fail(func(rw http.ResponseWriter, _, _ string) bool {
		http.Redirect(rw, new(http.Request), "http://"+trap.addr+"/x", http.StatusFound)
		return true
	})
	w.expect(t, "503 source_unreachable", "/v2/r.example/cold/seen/manifests/v1")
	w.site.fail(nil)
	w.up.Heal()
	w.expect(t, "200", manifest("v1"))
}

func redirected(t *testing.T) {
	elsewhere := new(upstreamtest.Registry)
	other := httptest.NewTLSServer(elsewhere)
	t.Cleanup(other.Close)
	w := newWorld(t, settings{tls: true, registry: account(t) + fmt.Sprintf(", redirect_hosts: [%q]", strings.TrimPrefix(other.URL, "https://"))})
	w.up.Require(upstreamtest.Auth{Username: "puller", Password: secret})
	i := elsewhere.PushImage("app", "", "good")
	for _, path := range []string{"/v2/app/blobs/" + i.Layer.String(), "/v2/app/manifests/" + i.Digest.String()} {
		w.up.Fail(path, upstreamtest.Fault{Redirect: other.URL + path, Header: http.Header{"Set-Cookie": {"session=ours"}}})
	}
	mine := []string{"Authorization", "Bearer of-the-client", "Cookie", "of=the-client", "X-Registry-Auth", "of-the-client", "Proxy-Authorization", "Basic eDp5"}
	w.expect(t, "200", manifest("v1"), mine...)
	w.expect(t, "200", blob(i.Layer), mine...)
	allowed := []string{"Accept", "Accept-Encoding", "Range", "User-Agent"}
	if len(elsewhere.Requests()) != 2 {
		t.Errorf("%d requests came by a redirect, want 2", len(elsewhere.Requests()))
	}
	for _, q := range elsewhere.Requests() {
		for name, values := range q.Header {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s went on by a redirect: %s: %q", q.Path, name, values)
			}
		}
	}
	authorized := false
	for _, q := range w.up.Requests() {
		auth := q.Header.Get("Authorization")
		authorized = authorized || strings.HasPrefix(auth, "Basic ")
		if strings.Contains(auth, "client") || q.Header.Get("Cookie") != "" || q.Header.Get("X-Registry-Auth") != "" {
			t.Errorf("the registry saw %v", q.Header)
		}
	}
	if !authorized {
		t.Error("the registry never got the credentials that it may have")
	}
}

func foreign(t *testing.T) {
	trap := newTrap(t)
	w := newWorld(t, settings{before: func(w *world) {
		absent := strings.Repeat("0", 64)
		w.push("foreign", "application/vnd.docker.distribution.manifest.v2+json", fmt.Sprintf(`{"schemaVersion":2,
			"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":1,"digest":%q},
			"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","size":1,"digest":"sha256:%s","urls":["http://%s/x","https://%[3]s/x"]}]}`,
			w.good.Config, absent, trap.addr))
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	w.expect(t, "200", manifest("foreign"))
	w.expect(t, "404 BLOB_UNKNOWN", blob("sha256:"+strings.Repeat("0", 64)))
	if n := w.up.Count("", "/v2/app/blobs/sha256:"+strings.Repeat("0", 64)); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
}

func encoded(t *testing.T) {
	w := newWorld(t, settings{})
	digest, layer := w.good.Digest.String(), w.good.Layer.String()
	for _, encoding := range []string{"gzip", "zstd", "br", "identity, gzip", "x"} {
		f := upstreamtest.Fault{Header: http.Header{"Content-Encoding": {encoding}}}
		w.up.Fail("/v2/app/manifests/"+digest, f)
		w.up.Fail("/v2/app/blobs/"+layer, f)
		w.expect(t, "502 upstream_invalid", manifest("v1"), "Accept-Encoding", encoding)
		w.expect(t, "502 upstream_invalid", blob(w.good.Layer), "Accept-Encoding", encoding)
	}
	w.up.Heal()
	w.site.fail(func(rw http.ResponseWriter, _, _ string) bool {
		rw.Header().Set("Content-Encoding", "gzip")
		return false
	})
	if a := w.get(t, "/v2/r.example/cold/seen/manifests/v1"); a.status == http.StatusOK {
		t.Errorf("%s", a)
	}
	w.site.fail(nil)
	for _, target := range []string{manifest("v1"), blob(w.good.Layer), "/v2/r.example/app/tags/list", manifest("unsigned")} {
		if a := w.get(t, target, "Accept-Encoding", "zstd, gzip, deflate"); a.header.Get("Content-Encoding") != "" {
			t.Errorf("%s comes encoded", target)
		}
	}
	for _, q := range w.up.Requests() {
		if got := q.Header.Values("Accept-Encoding"); !slices.Equal(got, []string{"identity"}) {
			t.Errorf("the registry was offered %q", got)
		}
	}
}
