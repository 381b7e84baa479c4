package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
)

// PRODUCT: section 4, the second table, row by row.
func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		status  int
		code    string
		reasons string
	}{
		{403, "DENIED", "unknown_registry no_rule rule_deny exception_expired unsigned_tag no_trust_data root_not_pinned root_mismatch signature_invalid " +
			"threshold_not_met metadata_expired metadata_rollback metadata_invalid signer_missing signers_disagree length_mismatch media_type_mismatch " +
			"digest_not_signed client_not_allowed"},
		{404, "MANIFEST_UNKNOWN", "signed_digest_missing"},
		{502, "UNKNOWN", "upstream_unreachable upstream_invalid"},
		{503, "UNAVAILABLE", "source_unreachable metadata_stale state_unavailable clock_behind"},
		{403, "DENIED", "unheard_of"},
	} {
		for _, reason := range strings.Fields(c.reasons) {
			x := meaning(trust.Reason(reason))
			if x.status != c.status || x.code != c.code {
				t.Errorf("%s: %d %s", reason, x.status, x.code)
			}
			if wait := x.retryAfter; (c.status == 503) != (wait >= 2 && wait <= 30) {
				t.Errorf("%s: retry after %d", reason, wait)
			}
		}
	}
	// Nothing decided is refused, too.
	if x := denied(trust.Decision{}); x.status != 403 {
		t.Error(x)
	}
}

// There is one place that writes errors, and a meaning for every error.
func TestFail(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{denied(trust.Decision{}.Refused(trust.NoRule, nil)), 403, "DENIED"},
		{fmt.Errorf("wrapped: %w", &refusal{status: 503, code: "UNAVAILABLE"}), 503, "UNAVAILABLE"},
		{&route.Error{Status: 405, Code: "UNSUPPORTED", Text: "no"}, 405, "UNSUPPORTED"},
		{errors.New("secret"), 500, "UNKNOWN"},
	} {
		w := httptest.NewRecorder()
		g.fail(w, httptest.NewRequest("GET", "/", nil), c.err)
		code, message, _ := refusalIn(t, answer{w.Code, w.Header(), w.Body.Bytes(), nil})
		if w.Code != c.status || code != c.code || strings.Contains(message, "secret") || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%v: %d %s %q %v", c.err, w.Code, code, message, w.Header())
		}
		if (c.status == 405) != (w.Header().Get("Allow") == "GET, HEAD") {
			t.Error(w.Header())
		}
	}
}

// The zero request is not served.
func TestNoKind(t *testing.T) {
	g := newGate(t)
	var x *refusal
	if err := g.answer(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), route.Request{}); !errors.As(err, &x) || x.status != 404 {
		t.Error(err)
	}
}

func TestWarning(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: `299 tagwarden "plain"`, `sign it with "x \y"`: `299 tagwarden "sign it with \"x \\y\""`,
		"a\r\nX: \x00\u00e4": `299 tagwarden "a??X: ??"`, strings.Repeat("x", 2000): `299 tagwarden "` + strings.Repeat("x", maxWarning) + `"`,
	} {
		if got := warning(in); got != want {
			t.Errorf("%.40q: %.80s", in, got)
		}
	}
	g := newGate(t)
	a := g.get("HEAD", "/v2/corp/team/app/manifests/v1")
	want := `299 tagwarden "registry.example/team/app:v1 is not signed: source notary (targets v12, checked 9s ago) lists 0 signed tags of this repository, not v1; sign it with \"docker trust sign registry.example/team/app:v1\" [unsigned_tag ID]"`
	if got := a.header.Get("Warning"); got != want {
		t.Error(got)
	}
}

// What a client calls a registry is repeated only in quotes, cut, and in printable ASCII.
func TestUnknownMessages(t *testing.T) {
	g := newGate(t, func(o *Options) { o.Names.Default = "" })
	for _, c := range []struct{ path, host, want string }{
		{"/v2/evil.example/x/manifests/v1", "", `registry "evil.example" is not known to the gateway: add a rule whose match names it, or an entry under registries [unknown_registry ID]`},
		{"/v2/x/manifests/v1?ns=[::1]:5", "", `registry "[::1]:5" is not known to the gateway: add a rule whose match names it, or an entry under registries [unknown_registry ID]`},
		{"/v2/x/manifests/v1", "", `the request names no registry, and the gateway has no default_registry: put the registry before the name [unknown_registry ID]`},
		{"/v2/x/manifests/v1", "evil.example", `host "evil.example" is neither a registry that the gateway knows nor one of its own names: add it to hosts [unknown_registry ID]`},
		{"/v2/x/manifests/v1", strings.Repeat("a", 200), `host "` + strings.Repeat("a", 80) + `" is neither`},
		{"/v2/" + strings.Repeat("a.b", 60) + "/x/manifests/v1", "", `registry "` + strings.Repeat("a.b", 60)[:80] + `" is not known`},
	} {
		a := g.get("GET", c.path, "Host: "+c.host)
		if _, message, _ := refusalIn(t, a); !strings.HasPrefix(message, c.want) || a.status != 403 {
			t.Errorf("%d %s", a.status, message)
		}
	}
}

// PRODUCT: invariant 9, too much at once is refused at once, before anybody is asked.
func TestInFlight(t *testing.T) {
	g := newGate(t)
	for i := range maxInFlight {
		if !g.enter(fmt.Sprint(i % (maxInFlight / maxPerClient * 2))) {
			t.Fatal(i)
		}
	}
	a := g.get("GET", "/v2/corp/free/app/manifests/"+digest.FromString("x").String())
	if code, _, _ := refusalIn(t, a); a.status != 503 || code != "UNAVAILABLE" || a.header.Get("Retry-After") == "" || len(g.asked()) > 0 {
		t.Errorf("%d %v", a.status, a.header)
	}
	g.leave("0")
	if a := g.get("GET", "/v2/"); a.status != http.StatusOK || string(a.body) != "{}" {
		t.Error(a.status)
	}
}

// undecided is a Decider that says nothing.
type undecided struct{ d trust.Decision }

func (u undecided) Open(string) (trust.Rule, bool)                            { return trust.Rule{}, false }
func (u undecided) Decide(context.Context, string, trust.Name) trust.Decision { return u.d }
func (u undecided) Digest(string, string, digest.Digest) trust.Decision       { return u.d }
func (u undecided) Tags(context.Context, string, string) ([]string, trust.Decision) {
	return []string{"v1"}, u.d
}

// What is not admitted is not served, whatever else a decision says: the zero one, and one that admits nothing.
func TestNothingAdmitted(t *testing.T) {
	d := digest.FromString("x").String()
	for _, c := range []struct {
		d      trust.Decision
		paths  []string
		status int
	}{
		{trust.Decision{}, []string{"manifests/v1", "manifests/" + d, "blobs/" + d, "referrers/" + d, "tags/list"}, 403},
		{trust.Decision{Verdict: trust.Deny}, []string{"manifests/v1", "manifests/" + d, "blobs/" + d, "referrers/" + d, "tags/list"}, 403},
		{trust.Decision{Verdict: trust.Allow}, []string{"manifests/v1", "manifests/" + d, "blobs/" + d}, 502},
	} {
		g := newGate(t, func(o *Options) { o.Decider = undecided{c.d} })
		for _, path := range c.paths {
			a := g.get("GET", "/v2/corp/team/app/"+path)
			if _, message, _ := refusalIn(t, a); a.status != c.status || message == "" || len(g.asked()) > 0 {
				t.Errorf("%+v, %s: %d %q", c.d, path, a.status, message)
			}
		}
	}
}
