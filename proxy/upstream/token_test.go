package upstream

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

func TestBearer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cred    Credential
		account string
		method  string
	}{
		{"anonymous", Credential{}, "", "GET"},
		{"password", Credential{Username: "puller", Password: "secret"}, "puller", "GET"},
		{"identity token", Credential{Username: "<token>", IdentityToken: "identity"}, "", "POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := upstreamtest.Auth{IdentityToken: "identity"}
			if tt.cred.Username != "" {
				a.Username, a.Password = "puller", "secret"
			}
			reg, p := guarded(t, a)
			c := newClient(t, p.URL, Options{Credentials: func(context.Context) (Credential, error) { return tt.cred, nil }})
			wantOK(t, c, "repository:library/nginx:pull")
			asked := reg.Requests()
			if len(asked) != 3 || asked[1].Method != tt.method || asked[1].Path != "/token" {
				t.Fatalf("requests %v, want refused, token, served", asked)
			}
			form, err := url.ParseQuery(asked[1].Query)
			if tt.method == "POST" {
				form, err = url.ParseQuery(asked[1].Form)
			}
			if err != nil {
				t.Fatal(err)
			}
			// The scope is ours, not the one of the challenge.
			if got := form.Get("scope"); got != "repository:library/nginx:pull" || len(form["scope"]) != 1 {
				t.Errorf("scope %q", form["scope"])
			}
			if form.Get("service") != "the service & more" || form.Get("account") != tt.account {
				t.Errorf("asked %v", form)
			}
			if tt.method == "GET" && form.Get("tenant") != "7" || tt.method == "POST" && asked[1].Query != "tenant=7" {
				t.Errorf("the realm's own query is lost: %q", asked[1].Query)
			}
			if got := asked[2].Header.Get("Authorization"); got != "Bearer token-1" {
				t.Errorf("Authorization %q", got)
			}
		})
	}
}

func TestParseToken(t *testing.T) {
	for s, want := range map[string]struct {
		token    string
		lifetime time.Duration
	}{
		`{"token":"t"}`:                               {"t", time.Minute},
		`{"access_token":"a"}`:                        {"a", time.Minute},
		`{"token":"t","access_token":"a","x":1}`:      {"t", time.Minute},
		`{"token":"t","expires_in":300}`:              {"t", 5 * time.Minute},
		`{"token":"t","expires_in":0}`:                {"t", time.Minute},
		`{"token":"t","expires_in":-5}`:               {"t", time.Minute},
		`{"token":"t","expires_in":9000000000000000}`: {"t", time.Hour},
	} {
		token, lifetime, err := parseToken([]byte(s))
		if token != want.token || lifetime != want.lifetime || err != nil {
			t.Errorf("%s: %q %v %v", s, token, lifetime, err)
		}
	}
	for _, s := range []string{
		"", "[]", "<html>", `{}`, `{"token":""}`, `{"token":1}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":"a\u0000"}`,
		`{"token":"é"}`, `{"token":"t"`, `{"token":"` + strings.Repeat("t", maxToken+1) + `"}`,
	} {
		if token, _, err := parseToken([]byte(s)); err == nil {
			t.Errorf("%.40q gives token %q", s, token)
		}
	}
}

func TestTokenAnswers(t *testing.T) {
	for _, tt := range []struct {
		fault upstreamtest.Fault
		kind  Kind
		want  string
	}{
		{upstreamtest.Fault{Body: []byte(`{"token":"` + strings.Repeat("t", maxTokenBody) + `"}`)}, Invalid, "more than 1048576 bytes"},
		{upstreamtest.Fault{Body: []byte("<html>login</html>")}, Invalid, "not the JSON of a token"},
		{upstreamtest.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}, Invalid, "content encoding"},
		{upstreamtest.Fault{Status: 404}, Unreachable, "404 not found, from token realm"},
		{upstreamtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"7"}}}, Unreachable, "retry after 7 s"},
		{upstreamtest.Fault{Status: 401, Body: []byte("wrong password")}, Unreachable, `asked as user "puller", it says "wrong password"`},
	} {
		reg, p := guarded(t, upstreamtest.Auth{})
		reg.Fail("/token", tt.fault)
		_, _, err := get(t, newClient(t, p.URL, Options{Credentials: user("puller", "secret")}), "s", p.URL+"/v2/")
		wantError(t, err, tt.kind, tt.want)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

// A registry that moves its realm is found again.
func TestRealmMoves(t *testing.T) {
	reg, p := guarded(t, upstreamtest.Auth{})
	c := newClient(t, p.URL, Options{})
	wantOK(t, c, "repository:a:pull")
	reg.Fail("/token", upstreamtest.Fault{Status: 503, Header: http.Header{"Retry-After": {"30"}}})
	_, _, err := get(t, c, "repository:b:pull", p.URL+"/v2/")
	wantError(t, err, Unreachable, "503 service unavailable", "token realm", "retry after 30 s")
	moved := newPeer(t, reg.Tokens())
	c.tokenRealms = hosts{"127.0.0.1": true}
	reg.Require(upstreamtest.Auth{Realm: moved.URL + "/elsewhere", Service: "s"})
	wantOK(t, c, "repository:b:pull")
}
