package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// guarded starts a registry that wants tokens, with its token server on its own host.
func guarded(t *testing.T, a upstreamtest.Auth) (*upstreamtest.Registry, *peer) {
	t.Helper()
	reg := &upstreamtest.Registry{}
	mux := http.NewServeMux()
	mux.Handle("/", reg)
	mux.Handle("/token", reg.Tokens())
	p := newPeer(t, mux)
	a.Realm, a.Service = p.URL+"/token?tenant=7", "the service & more"
	reg.Require(a)
	return reg, p
}

// noting returns Credentials that tell whether they were asked for.
func noting(asked *bool) Credentials {
	return func(context.Context) (Credential, error) {
		*asked = true
		return Credential{Username: "puller", Password: "secret"}, nil
	}
}

// wantOK asks for the root of the API and fails the test unless that works.
func wantOK(t *testing.T, c *Client, scope string) {
	t.Helper()
	if status, _, err := get(t, c, scope, c.base.JoinPath("v2/").String()); status != 200 || err != nil {
		t.Fatalf("%d %v", status, err)
	}
}

// A token per scope until it expires, and no request that is known to be refused.
func TestTokensAreKept(t *testing.T) {
	reg, p := guarded(t, upstreamtest.Auth{Lifetime: 300})
	now := time.Now()
	c := newClient(t, p.URL, Options{Now: func() time.Time { return now }})
	for range 3 {
		wantOK(t, c, "repository:a:pull")
	}
	if n, all := reg.Count("", "/token"), reg.Count("", ""); n != 1 || all != 5 {
		t.Errorf("%d token requests of %d, want 1 of 5", n, all)
	}
	reg.Forget()
	wantOK(t, c, "repository:b:pull") // asks for a token at once
	if n, all := reg.Count("", "/token"), reg.Count("", ""); n != 1 || all != 2 {
		t.Errorf("second scope: %d token requests of %d, want 1 of 2", n, all)
	}
	reg.Forget()
	now = now.Add(249 * time.Second)
	wantOK(t, c, "repository:a:pull")
	if n := reg.Count("", "/token"); n != 0 {
		t.Errorf("%d token requests within the lifetime", n)
	}
	now = now.Add(2 * time.Second)
	wantOK(t, c, "repository:a:pull")
	if n, all := reg.Count("", "/token"), reg.Count("", ""); n != 1 || all != 3 {
		t.Errorf("after its lifetime: %d token requests of %d, want 1 of 3", n, all)
	}
}

func TestRememberedScopesAreBounded(t *testing.T) {
	_, p := guarded(t, upstreamtest.Auth{})
	c := newClient(t, p.URL, Options{})
	c.grants.Resize(2)
	for i := range 5 {
		wantOK(t, c, fmt.Sprintf("repository:%d:pull", i))
	}
	if n := c.grants.Len(); n != 2 {
		t.Errorf("%d scopes are remembered", n)
	}
	if full := newClient(t, p.URL, Options{}); full.grants.Resize(maxScopes) != 0 {
		t.Error("the bound is not maxScopes")
	}
}

// One token request at a time per scope, however many wait for it; the one who began it may leave.
func TestOneTokenRequestPerScope(t *testing.T) {
	reg, p := guarded(t, upstreamtest.Auth{})
	release := make(chan struct{})
	reg.Fail("/token", upstreamtest.Fault{Stall: release})
	refused := make(chan struct{}, 100)
	c := newClient(t, p.URL, Options{Observe: func(e Event) {
		if e.Code == "4xx" {
			refused <- struct{}{}
		}
	}})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	do := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/v2/", nil)
		if err != nil {
			return err
		}
		res, err := c.Scoped("repository:a:pull").Do(req)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	go func() { first <- do(ctx) }()
	<-refused
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() { errs <- do(t.Context()) })
	}
	for range 20 {
		<-refused
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}
	close(release)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := reg.Count("", "/token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// A token that is refused before its time is replaced once, with credentials read again; never in a loop.
func TestOneRetry(t *testing.T) {
	reg, p := guarded(t, upstreamtest.Auth{Username: "puller", Password: "old"})
	password := "old"
	c := newClient(t, p.URL, Options{Credentials: func(context.Context) (Credential, error) {
		return Credential{Username: "puller", Password: password}, nil
	}})
	wantOK(t, c, "repository:a:pull")
	password = "new"
	a := upstreamtest.Auth{Realm: p.URL + "/token", Service: "s", Username: "puller", Password: "new"}
	reg.Require(a)
	reg.Revoke()
	reg.Forget()
	wantOK(t, c, "repository:a:pull")
	if n := reg.Count("", ""); n != 3 {
		t.Errorf("%d requests, want refused, token, served", n)
	}

	reg.Forget()
	challenge := http.Header{"WWW-Authenticate": {fmt.Sprintf("Bearer realm=%q,service=s", a.Realm)}}
	reg.Fail("/v2/", upstreamtest.Fault{Status: 401, Header: challenge, Body: []byte(`{"errors":[{"code":"UNAUTHORIZED","message":"go\naway"}]}`)})
	_, _, err := get(t, c, "repository:a:pull", p.URL+"/v2/")
	wantError(t, err, Unreachable, `registry test: 401 unauthorized, asked as user "puller", it says "UNAUTHORIZED go\naway"`)
	if n, all := reg.Count("", "/token"), reg.Count("", ""); n != 1 || all != 3 {
		t.Errorf("%d token requests of %d, want 1 of 3", n, all)
	}
}

func TestUnusableChallenge(t *testing.T) {
	for _, header := range []http.Header{nil, {"WWW-Authenticate": {"Negotiate"}}, {"WWW-Authenticate": {`Bearer realm="`}}, {"WWW-Authenticate": {"Bearer"}}} {
		reg := &upstreamtest.Registry{}
		reg.Fail("/v2/", upstreamtest.Fault{Status: 401, Header: header})
		p := newPeer(t, reg)
		_, _, err := get(t, newClient(t, p.URL, Options{Credentials: user("puller", "secret")}), "s", p.URL+"/v2/")
		wantError(t, err, Unreachable)
		if n := reg.Count("", ""); n != 1 {
			t.Errorf("%v: %d requests", header, n)
		}
	}
}

// The passwords of credential helpers expire: they are read again when they are refused.
func TestBasic(t *testing.T) {
	reg := &upstreamtest.Registry{}
	reg.Require(upstreamtest.Auth{Username: "AWS", Password: "old"})
	p := newPeer(t, reg)
	password, reads := "old", 0
	now := time.Now()
	c := newClient(t, p.URL, Options{Now: func() time.Time { return now }, Credentials: func(context.Context) (Credential, error) {
		reads++
		return Credential{Username: "AWS", Password: password}, nil
	}})
	wantOK(t, c, "s")
	wantOK(t, c, "s")
	if n := reg.Count("", ""); n != 3 || reads != 1 {
		t.Errorf("%d requests, %d reads, want 3 and 1", n, reads)
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:old"))
	if got := reg.Requests()[2].Header.Get("Authorization"); got != want {
		t.Errorf("Authorization %q, want %q", got, want)
	}

	reg.Require(upstreamtest.Auth{Username: "AWS", Password: "new"})
	password = "new"
	wantOK(t, c, "s")
	if reads != 2 {
		t.Errorf("%d reads, want 2", reads)
	}

	reg.Require(upstreamtest.Auth{Username: "AWS", Password: "newer"})
	reg.Forget()
	_, _, err := get(t, c, "s", p.URL+"/v2/")
	wantError(t, err, Unreachable, "401 unauthorized", `as user "AWS"`)
	if n := reg.Count("", ""); n != 1 {
		t.Errorf("%d requests, want 1: the refused password is not sent again", n)
	}
	now = now.Add(basicLifetime)
	password = "newer"
	wantOK(t, c, "s")
}

func TestBasicWithoutCredentials(t *testing.T) {
	reg := &upstreamtest.Registry{}
	reg.Require(upstreamtest.Auth{Username: "puller", Password: "secret"})
	p := newPeer(t, reg)
	_, _, err := get(t, newClient(t, p.URL, Options{}), "s", p.URL+"/v2/")
	wantError(t, err, Unreachable, "401 unauthorized", "asked without credentials")
	_, _, err = get(t, newClient(t, p.URL, Options{Credentials: user("puller", "wrong")}), "s", p.URL+"/v2/")
	wantError(t, err, Unreachable, "401 unauthorized", `asked as user "puller"`)
}

func TestRegistryToken(t *testing.T) {
	var got string
	p := newPeer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got = r.Header.Get("Authorization"); got == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	c := newClient(t, p.URL, Options{Credentials: func(context.Context) (Credential, error) {
		return Credential{RegistryToken: "handed-out"}, nil
	}})
	wantOK(t, c, "s")
	if got != "Bearer handed-out" {
		t.Errorf("Authorization %q", got)
	}
}

func TestCredentialsThatCannotBeSent(t *testing.T) {
	reg, p := guarded(t, upstreamtest.Auth{})
	for want, cred := range map[string]Credential{
		"colon":          {Username: "a:b", Password: "x"},
		"registry token": {RegistryToken: "a\r\nX: y"},
		"helper broke":   {},
		"no such file":   {Username: "file"},
	} {
		c := newClient(t, p.URL, Options{Credentials: func(context.Context) (Credential, error) {
			if cred == (Credential{}) {
				return cred, errors.New("helper broke")
			}
			if cred.Username == "file" {
				return StaticCredentials("file", "/nowhere/password")(t.Context())
			}
			return cred, nil
		}})
		_, _, err := get(t, c, "s", p.URL+"/v2/")
		wantError(t, err, Unreachable, want)
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: content is taken for missing", err)
		}
	}
	if n := reg.Count("", "/token"); n != 0 {
		t.Errorf("%d token requests", n)
	}
}
