package upstream

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// PRODUCT: invariant 8, the host of a request is where it says, and not where an opaque part of its URL does.
func TestRequestsStartAtTheHostOnly(t *testing.T) {
	c := newClient(t, "https://r.example", Options{})
	for name, change := range map[string]func(u *url.URL){
		"another host": func(u *url.URL) { u.Host = "s.example" }, "another port": func(u *url.URL) { u.Host = "r.example:444" },
		"plain http": func(u *url.URL) { u.Scheme = "http" }, "a user": func(u *url.URL) { u.User = url.User("u") },
		"an opaque part": func(u *url.URL) { u.Opaque = "//s.example/v2/" }, "nothing": func(u *url.URL) {},
	} {
		req, err := http.NewRequest(http.MethodGet, "https://r.example/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req.URL)
		if err := c.mayStart(req); (err == nil) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// PRODUCT: invariant 8, what is no address is refused for what it is.
func TestGuardNamesWhatItRefuses(t *testing.T) {
	err := guardPublic(t.Context(), "tcp", "blobs.example.com:443", nil)
	if !errors.Is(err, errNotPublic) || !strings.Contains(err.Error(), `"blobs.example.com:443" is not an address`) {
		t.Error(err)
	}
}

// PRODUCT: invariant 8, a redirect carries the headers that the request has, and no empty ones in place of others.
func TestRedirectAddsNoHeaders(t *testing.T) {
	blobs := &upstreamtest.Registry{}
	other := newPeer(t, blobs)
	c, p := redirecting(t, other.URL+"/elsewhere", Options{RedirectHosts: []string{other.host()}})
	_, _, err := get(t, c, "s", p.URL+"/blob")
	asked := blobs.Requests()
	if err != nil || len(asked) != 1 {
		t.Fatalf("%v, asked %v", err, asked)
	}
	for name, values := range asked[0].Header {
		if len(values) != 1 || values[0] == "" {
			t.Errorf("%s: %q", name, values)
		}
	}
}

// A redirecting registry is asked over one connection: its answers are read to their end.
func TestRedirectKeepsTheConnection(t *testing.T) {
	other := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "blob") }))
	p := newPlainPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }))
	c := newClient(t, p.URL, Options{RedirectHosts: []string{other.host()}})
	for range 3 {
		if _, body, err := get(t, c, "s", p.URL+"/blob"); body != "blob" || err != nil {
			t.Fatalf("%q, %v", body, err)
		}
	}
	if n := p.conns.Load(); n != 1 {
		t.Errorf("%d connections for three requests", n)
	}
}

// PRODUCT: invariant 9, a list of tags ends where the registry says, and where we do.
func TestTagsOnOnePage(t *testing.T) {
	page, asked := `{"tags":["a","b"]}`, 0
	r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, page)
	}))
	if tags, err := r.Tags(t.Context(), repo); len(tags) != 2 || err != nil || asked != 1 {
		t.Errorf("%v, %v, asked %d times", tags, err, asked)
	}
	page = `{"tags":[` + strings.Repeat(`"a",`, maxTags) + `"b"]}`
	if tags, err := r.Tags(t.Context(), repo); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%d tags, %v", len(tags), err)
	}
}

// A token is read whole, or not at all, and not for ever.
func TestTokenBody(t *testing.T) {
	const size = 256 << 20
	var sent atomic.Int64
	ended := make(chan struct{})
	for name, answer := range map[string]func(w http.ResponseWriter){
		"cut": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"token":"t"}`)
		},
		"endless": func(w http.ResponseWriter) {
			defer close(ended)
			for sent.Load() < size {
				n, err := w.Write(make([]byte, 64<<10))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		},
	} {
		realm := newPlainPeer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		reg := &upstreamtest.Registry{}
		reg.Require(upstreamtest.Auth{Realm: realm.URL + "/token", Service: "s"})
		p := newPlainPeer(t, reg)
		c := newClient(t, p.URL, Options{TokenRealms: []string{realm.host()}})
		if _, _, err := get(t, c, "s", p.URL+"/v2/"); err == nil || len(reg.Requests()) != 1 {
			t.Errorf("%s: %v, asked %v", name, err, reg.Requests())
		}
	}
	if <-ended; sent.Load() >= size {
		t.Error("all of an endless token was read")
	}
}
