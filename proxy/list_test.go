package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// Lists are of signed tags, and upstream is not asked for them.
func TestTags(t *testing.T) {
	g := newGate(t)
	for _, tag := range []string{"v10", "v9", "V2", "a", "_x", "v1.2"} {
		g.signed.sign("registry.example/team/app", tag, trust.Target{Digest: digest.FromString(tag)})
	}
	g.signed.sign("docker.io/library/nginx", "1", trust.Target{Digest: digest.FromString("1")})
	g.registry.PushImage("team/app", "unsigned", "unsigned")
	const all = "V2 _x a v1.2 v10 v9"
	for _, c := range []struct{ query, tags, link string }{
		{"", all, ""}, {"?n=6", all, ""}, {"?n=100", all, ""}, {"?n=2147483647", all, ""}, {"?last=", all, ""}, {"?last=0", all, ""},
		{"?n=0", "", ""}, {"?n=0&last=a", "", ""}, {"?last=v9", "", ""}, {"?last=zz", "", ""}, {"?last=_x", "a v1.2 v10 v9", ""}, {"?last=b", "v1.2 v10 v9", ""},
		{"?n=2", "V2 _x", "/v2/corp/team/app/tags/list?last=_x&n=2"}, {"?n=5", "V2 _x a v1.2 v10", "/v2/corp/team/app/tags/list?last=v10&n=5"},
		{"?n=2&last=_x", "a v1.2", "/v2/corp/team/app/tags/list?last=v1.2&n=2"}, {"?last=v1.2&n=2", "v10 v9", ""}, {"?other=1&n=1&last=v1.2", "v10", "/v2/corp/team/app/tags/list?last=v10&n=1"},
	} {
		a := g.get("GET", "/v2/corp/team/app/tags/list"+c.query)
		checkTags(t, a, "corp/team/app", c.tags, c.link)
	}
	// The path is the client's, with its registry and its ns.
	checkTags(t, g.get("GET", "/v2/team/app/tags/list?ns=registry.example&n=1"), "team/app", "V2", "/v2/team/app/tags/list?last=V2&n=1&ns=registry.example")
	checkTags(t, g.get("GET", "/v2/registry.example/team/app/tags/list?n=1"), "registry.example/team/app", "V2", "/v2/registry.example/team/app/tags/list?last=V2&n=1")
	checkTags(t, g.get("GET", "/v2/nginx/tags/list"), "nginx", "1", "")
	// Nothing signed is a list of nothing.
	checkTags(t, g.get("GET", "/v2/corp/team/none/tags/list"), "corp/team/none", "", "")
	if got, records := g.asked(), g.recorded(); len(got) > 0 || len(records) > 0 {
		t.Errorf("upstream was asked %v, recorded %v", got, records)
	}
	// Following the links gives everything once.
	var seen []string
	for path := "/v2/corp/team/app/tags/list?n=1"; path != ""; {
		a := g.get("GET", path)
		var doc struct{ Tags []string }
		if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Tags) != 1 {
			t.Fatal(path, err, doc)
		}
		seen = append(seen, doc.Tags...)
		path, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	equal(t, "seen", seen, strings.Fields(all)...)
}

func checkTags(t *testing.T, a answer, name, tags, link string) {
	t.Helper()
	want, err := json.Marshal(map[string]any{"name": name, "tags": strings.Fields(tags)})
	if err != nil || a.status != 200 || string(a.body) != string(want) || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s, want %s", a.status, a.header, a.body, want)
	}
	if link != "" {
		link = "<" + link + `>; rel="next"`
	}
	if got := a.header.Get("Link"); got != link {
		t.Errorf("link %s, want %s", got, link)
	}
}

// A list that nobody asked to be cut is, so that the size of an answer is bounded.
func TestTagsBounded(t *testing.T) {
	g := newGate(t)
	for i := range maxPage + 1 {
		tag := fmt.Sprintf("%05d", i)
		g.signed.sign("registry.example/team/app", tag, trust.Target{Digest: digest.FromString(tag)})
	}
	a := g.get("GET", "/v2/corp/team/app/tags/list")
	var doc struct{ Tags []string }
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Tags) != maxPage || a.header.Get("Link") != `</v2/corp/team/app/tags/list?last=09999&n=10000>; rel="next"` {
		t.Error(err, len(doc.Tags), a.header)
	}
}

func TestTagsRefused(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		path   string
		status int
		reason trust.Reason
	}{
		{"/v2/corp/free/app/tags/list", 403, trust.NoRule}, {"/v2/corp/bad/app/tags/list", 403, trust.RuleDeny},
		{"/v2/evil.example/app/tags/list", 403, trust.UnknownRegistry}, {"/v2/app/tags/list?ns=evil.example", 403, trust.UnknownRegistry},
		{"/v2/corp/team/app/tags/list?n=-1", 400, ""}, {"/v2/corp/tags/list", 400, ""},
	} {
		a := g.get("GET", c.path)
		_, _, d := refusalIn(t, a)
		r := g.recorded()
		if a.status != c.status || d.Reason != c.reason || len(r) != map[bool]int{true: 1}[c.status == 403] || len(g.asked()) > 0 {
			t.Errorf("%s: %d %+v %+v", c.path, a.status, d, r)
		}
		if len(r) == 1 && (r[0].Tag != "" || r[0].Digest != "" || r[0].Reason != string(c.reason) || a.header.Get("Tagwarden-Decision") != r[0].Decision) {
			t.Errorf("%+v", r[0])
		}
	}
}

func TestReferrers(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	const sbom = "application/vnd.example.sbom"
	g.registry.PushManifest("team/app", "", ociManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{},"layers":[],"subject":{"digest":%q}}`, ociManifest, sbom, image.Digest))
	path := "/v2/corp/team/app/referrers/" + image.Digest.String()
	at := "/v2/team/app/referrers/" + image.Digest.String()
	for _, c := range []struct {
		name, query string
		fault       upstreamtest.Fault
		count       int
		filters     string
	}{
		{name: "all", count: 1},
		{name: "filtered", query: "?artifactType=" + sbom, count: 1, filters: "artifactType"},
		{name: "filtered to nothing", query: "?artifactType=application/other", filters: "artifactType"},
		{name: "no such endpoint", fault: upstreamtest.Fault{Status: 404}},
		{name: "no such endpoint, filtered", query: "?artifactType=" + sbom, fault: upstreamtest.Fault{Status: 404}, filters: "artifactType"},
		{name: "failing", fault: upstreamtest.Fault{Status: 500}},
		{name: "refusing", fault: upstreamtest.Fault{Status: 403}},
		{name: "no JSON", fault: upstreamtest.Fault{Body: []byte("<html>")}},
		{name: "no index", fault: upstreamtest.Fault{Body: []byte(`{"mediaType":"` + ociManifest + `","layers":[]}`)}},
		{name: "two things", fault: upstreamtest.Fault{Body: []byte(`{"mediaType":"` + ociIndex + `","manifests":[],"layers":[]}`)}},
		{name: "too large", fault: upstreamtest.Fault{Body: []byte(`{"mediaType":"` + ociIndex + `","manifests":[` + strings.Repeat(" ", 4<<20) + `]}`)}},
	} {
		g.registry.Heal()
		if c.fault.Status != 0 || c.fault.Body != nil {
			g.registry.Fail(at, c.fault)
		}
		a := g.get("GET", path+c.query)
		var doc struct{ Manifests []json.RawMessage }
		if err := json.Unmarshal(a.body, &doc); err != nil || doc.Manifests == nil || len(doc.Manifests) != c.count || a.status != 200 {
			t.Errorf("%s: %d %s, %v", c.name, a.status, a.body, err)
		}
		if a.header.Get("Content-Type") != ociIndex || a.header.Get("OCI-Filters-Applied") != c.filters || a.header.Get("Link") != "" {
			t.Errorf("%s: %v", c.name, a.header)
		}
		if got := g.asked(); len(got) != 1 {
			t.Errorf("%s: upstream was asked %v", c.name, got)
		}
	}
	for path, status := range map[string]int{
		"/v2/corp/bad/app/referrers/" + image.Digest.String(): 403, "/v2/evil.example/x/referrers/" + image.Digest.String(): 403, "/v2/corp/team/app/referrers/v1": 400,
	} {
		if a := g.get("GET", path); a.status != status || len(g.asked()) > 0 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if r := g.recorded(); len(r) > 0 {
		t.Errorf("recorded %v", r)
	}
}

// What an Upstream takes for a list of referrers is looked at here as well.
func TestReferrersWrong(t *testing.T) {
	for _, index := range []string{`{"mediaType":"` + ociManifest + `","layers":[]}`, `{"mediaType":"` + dockerList + `","manifests":[]}`, `{"manifests":[],"layers":[]}`, "x"} {
		g := newGate(t, func(o *Options) { o.Upstream = faulty{referrers: index} })
		a := g.get("GET", "/v2/corp/x/referrers/"+digest.FromString("x").String())
		if a.status != 200 || string(a.body) != noReferrers {
			t.Errorf("%s: %d %s", index, a.status, a.body)
		}
	}
}

// A registry is asked a few such questions at a time, and waiting for it ends with the client.
func TestReferrersBounded(t *testing.T) {
	g := newGate(t)
	for range maxQuestions {
		if _, err := g.referrers.acquire(t.Context(), "registry.example/x"); err != nil {
			t.Fatal(err)
		}
	}
	d := digest.FromString("x").String()
	client := &http.Client{Timeout: 100e6}
	if _, err := client.Get(g.server.URL + "/v2/corp/x/referrers/" + d); err == nil {
		t.Error("an answer came")
	}
	if a := g.get("GET", "/v2/other.example/x/referrers/"+d); a.status != 200 {
		t.Error("another registry has to wait too")
	}
}
