package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// TestManifest walks each way to an answer twice, cold and warm, and counts what upstream was asked.
func TestManifest(t *testing.T) {
	g := newGate(t)
	for range maxSuspicions {
		g.suspicions <- struct{}{} // the question of the alarm is not counted here
	}
	signed := g.sign("team/app", "v1", "signed")
	moved := g.registry.PushImage("team/app", "v1", "moved")
	unsigned := g.registry.PushImage("team/app", "v2", "unsigned")
	other := g.registry.PushImage("bad/app", "v1", "bad")
	free := g.registry.PushImage("free/app", "v1", "free")
	index := g.registry.PushIndex("team/multi", "", "index")
	g.signed.sign("registry.example/team/multi", "v1", trust.Target{Digest: index.Digest})
	hub := g.registry.PushImage("library/nginx", "1.27", "nginx")
	g.signed.sign("docker.io/library/nginx", "1.27", trust.Target{Digest: hub.Digest, Size: int64(len(hub.Manifest))})
	g.signed.sign("registry.example/team/app", "gone", trust.Target{Digest: digest.FromString("gone"), Size: 4})
	cosign := "sha256-" + signed.Digest.Encoded()
	for _, c := range []struct {
		name, path string
		status     int
		code       string
		reason     trust.Reason
		image      upstreamtest.Image
		cold       int // requests upstream, the first time; afterwards there are as many as for a failure, or none
		records    int
	}{
		{"signed", "/v2/corp/team/app/manifests/v1", 200, "", "", signed, 1, 1},
		{"signed, other spelling", "/v2/team/app/manifests/v1?ns=registry.example", 200, "", "", signed, 0, 1},
		{"signed index", "/v2/registry.example/team/multi/manifests/v1", 200, "", "", index, 1, 1},
		{"default registry", "/v2/nginx/manifests/1.27", 200, "", "", hub, 1, 1},
		{"alias", "/v2/index.docker.io/nginx/manifests/1.27", 200, "", "", hub, 0, 1},
		{"unsigned tag", "/v2/corp/team/app/manifests/v2", 403, "DENIED", trust.UnsignedTag, unsigned, 0, 1},
		{"unsigned digest", "/v2/corp/team/app/manifests/" + unsigned.Digest.String(), 200, "", "", unsigned, 1, 1},
		{"moved digest", "/v2/corp/team/app/manifests/" + moved.Digest.String(), 200, "", "", moved, 1, 1},
		{"no rule, tag", "/v2/corp/free/app/manifests/v1", 403, "DENIED", trust.NoRule, free, 0, 1},
		{"no rule, digest", "/v2/corp/free/app/manifests/" + free.Digest.String(), 200, "", "", free, 1, 1},
		{"denied tag", "/v2/corp/bad/app/manifests/v1", 403, "DENIED", trust.RuleDeny, other, 0, 1},
		{"denied digest", "/v2/corp/bad/app/manifests/" + other.Digest.String(), 403, "DENIED", trust.RuleDeny, other, 0, 1},
		{"denied digest that is cached", "/v2/corp/bad/app/manifests/" + signed.Digest.String(), 403, "DENIED", trust.RuleDeny, signed, 0, 1},
		{"signed, gone", "/v2/corp/team/app/manifests/gone", 404, "MANIFEST_UNKNOWN", trust.SignedDigestGone, upstreamtest.Image{}, 1, 1},
		{"digest, gone", "/v2/corp/team/app/manifests/" + digest.FromString("gone").String(), 404, "MANIFEST_UNKNOWN", "", upstreamtest.Image{}, 1, 1},
		{"signature tag", "/v2/corp/team/app/manifests/" + cosign + ".sig", 404, "MANIFEST_UNKNOWN", trust.UnsignedTag, upstreamtest.Image{}, 0, 1},
		{"referrers tag", "/v2/corp/team/app/manifests/" + cosign, 404, "MANIFEST_UNKNOWN", trust.UnsignedTag, upstreamtest.Image{}, 0, 1},
		{"signature tag, no rule", "/v2/corp/free/app/manifests/" + cosign + ".sig", 403, "DENIED", trust.NoRule, upstreamtest.Image{}, 0, 1},
		{"not quite a signature tag", "/v2/corp/team/app/manifests/" + cosign + "f", 403, "DENIED", trust.UnsignedTag, upstreamtest.Image{}, 0, 1},
		{"not quite either", "/v2/corp/team/app/manifests/" + cosign + ".", 403, "DENIED", trust.UnsignedTag, upstreamtest.Image{}, 0, 1},
		{"unknown registry", "/v2/evil.example/app/manifests/v1", 403, "DENIED", trust.UnknownRegistry, upstreamtest.Image{}, 0, 1},
		{"unknown ns", "/v2/app/manifests/v1?ns=169.254.169.254", 403, "DENIED", trust.UnknownRegistry, upstreamtest.Image{}, 0, 1},
		{"unknown registry, digest", "/v2/app/manifests/" + free.Digest.String() + "?ns=evil.example", 403, "DENIED", trust.UnknownRegistry, free, 0, 1},
		{"bad tag", "/v2/corp/team/app/manifests/-v1", 400, "MANIFEST_INVALID", "", upstreamtest.Image{}, 0, 0},
		{"bad digest", "/v2/corp/team/app/manifests/sha256:bad", 400, "DIGEST_INVALID", "", upstreamtest.Image{}, 0, 0},
		{"bad name", "/v2/corp/Team/app/manifests/v1", 400, "NAME_INVALID", "", upstreamtest.Image{}, 0, 0},
		{"a registry alone", "/v2/corp/manifests/v1", 400, "NAME_INVALID", "", upstreamtest.Image{}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.asked()
			for _, asked := range []int{c.cold, 0} {
				if asked == 0 && c.status == 404 {
					asked = c.cold // what is not there is asked for again
				}
				for _, method := range []string{"GET", "HEAD"} {
					a := g.get(method, c.path)
					if got := g.asked(); len(got) != asked || asked == 1 && got[0][:4] != "GET " {
						t.Errorf("%s: upstream was asked %v, want %d", method, got, asked)
					}
					if c.status == 200 {
						asked = 0
					}
					if a.err != nil || a.status != c.status {
						t.Fatalf("%s: %d, %v: %s", method, a.status, a.err, a.body)
					}
					records := g.recorded()
					if len(records) != c.records {
						t.Fatalf("%s: %d records", method, len(records))
					}
					if c.records == 1 {
						checkRecord(t, a, records[0], method, c.reason, c.image.Digest)
					}
					if method == "GET" {
						checkAnswer(t, a, c.code, c.reason, c.image)
					} else if len(a.body) > 0 {
						t.Errorf("HEAD has a body: %s", a.body)
					}
				}
			}
		})
	}
}

// checkAnswer checks what a GET got.
func checkAnswer(t *testing.T, a answer, code string, reason trust.Reason, image upstreamtest.Image) {
	t.Helper()
	if code != "" {
		gotCode, message, d := refusalIn(t, a)
		if gotCode != code || d.Reason != reason || message == "" || strings.ContainsAny(message, "\n\r") {
			t.Errorf("%s %q %+v, want %s %s", gotCode, message, d, code, reason)
		}
		if reason != "" && (!strings.HasSuffix(message, fmt.Sprintf("[%s ID]", reason)) || d.Decision != "ID") {
			t.Errorf("message %q, detail %+v", message, d)
		}
		return
	}
	if digest.FromBytes(a.body) != image.Digest || a.header.Get("Docker-Content-Digest") != image.Digest.String() ||
		a.header.Get("Content-Type") != image.MediaType || a.header.Get("Etag") != `"`+image.Digest.String()+`"` {
		t.Errorf("%v: %s", a.header, a.body)
	}
}

// checkRecord checks that the record says what the client saw.
func checkRecord(t *testing.T, a answer, r Record, method string, reason trust.Reason, d digest.Digest) {
	t.Helper()
	if r.Decision != a.header.Get("Tagwarden-Decision") || r.Decision == "" || r.Method != method || r.Client != "127.0.0.1" || r.Name == "" ||
		(r.Tag == "") == (r.Digest == "") || r.Reason != string(reason) || (r.Verdict == "allow") != (reason == "") || r.Mode == "" {
		t.Errorf("%+v for %d %v", r, a.status, a.header)
	}
	if want := map[bool]digest.Digest{true: d}[a.status == 200]; r.Served != want {
		t.Errorf("served %q, want %q", r.Served, want)
	}
}

// HEAD and GET have one status and the same headers, refusals included: who checked only GET was walked round.
func TestHeadIsGet(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	for _, path := range []string{
		"/v2/", "/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/manifests/v2", "/v2/corp/team/app/manifests/" + image.Digest.String(),
		"/v2/corp/team/app/blobs/" + image.Layer.String(), "/v2/corp/team/app/blobs/" + digest.FromString("none").String(),
		"/v2/corp/team/app/tags/list", "/v2/corp/free/app/tags/list", "/v2/corp/team/app/referrers/" + image.Digest.String(),
		"/v2/_catalog", "/v2/evil.example/x/manifests/v1", "/v2/X/manifests/v1", "/", "/v2/corp/bad/app/blobs/" + image.Layer.String(),
	} {
		g.get("GET", path) // so that both are warm
		get, head := g.get("GET", path), g.get("HEAD", path)
		get.header.Del("Date")
		head.header.Del("Date")
		if get.status != head.status || fmt.Sprint(get.header) != fmt.Sprint(head.header) || get.err != nil || head.err != nil {
			t.Errorf("%s:\nGET  %d %v\nHEAD %d %v", path, get.status, get.header, head.status, head.header)
		}
		if len(head.body) > 0 || head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
			t.Errorf("%s: HEAD has %d bytes and claims %s, GET has %d", path, len(head.body), head.header.Get("Content-Length"), len(get.body))
		}
	}
}

// PRODUCT: invariant 2, nothing that a client sends changes a decision.
func TestClientChangesNothing(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	g.registry.PushImage("team/app", "v2", "unsigned")
	for _, header := range [][]string{
		{"Accept: text/html"}, {"Accept: application/vnd.docker.distribution.manifest.v1+prettyjws"}, {"Accept: "}, {"Accept-Encoding: gzip, zstd"},
		{"X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1;host=docker.io", "X-Forwarded-Host: docker.io", "X-Original-URL: /v2/corp/bad/app/manifests/v1"},
		{"User-Agent: containerd/2.4"}, {"Range: bytes=0-0"}, {"Authorization: Bearer admin"}, {"Cookie: admin=1"}, {"X-HTTP-Method-Override: DELETE"},
		{"Docker-Content-Digest: sha256:00"}, {"If-Match: \"x\""}, {"If-Modified-Since: Sun, 22 Nov 2099 12:00:00 GMT"}, {"Tagwarden-Decision: mine"}, {"Connection: Host"},
	} {
		a := g.get("GET", "/v2/corp/team/app/manifests/v1", header...)
		if a.status != 200 || string(a.body) != string(image.Manifest) || a.header.Get("Content-Type") != image.MediaType || a.header.Get("Content-Encoding") != "" {
			t.Errorf("%v, signed: %d %v %s", header, a.status, a.header, a.body)
		}
		a = g.get("GET", "/v2/corp/team/app/manifests/v2", header...)
		if a.status != 403 {
			t.Errorf("%v, unsigned: %d", header, a.status)
		}
		for _, r := range g.recorded() {
			if r.Client != "127.0.0.1" || r.Decision != "ID" {
				t.Errorf("%v: %+v", header, r)
			}
		}
	}
	for _, q := range g.registry.Requests() {
		if q.Header.Get("Authorization") != "" || q.Header.Get("Cookie") != "" || q.Header.Get("X-Forwarded-For") != "" || strings.Contains(q.Header.Get("User-Agent"), "containerd") {
			t.Errorf("upstream saw %v", q.Header)
		}
	}
}

// The headers of answers are from a fixed list, whatever upstream sends.
func TestHeaders(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	evil := http.Header{"Set-Cookie": {"x"}, "Link": {"</x>; rel=next"}, "Location": {"/x"}, "Docker-Content-Digest": {"sha256:00"}, "Www-Authenticate": {"Basic"}}
	manifest := "/v2/team/app/manifests/" + image.Digest.String()
	g.registry.Fail(manifest, upstreamtest.Fault{Header: evil})
	g.registry.Fail("/v2/team/app/blobs/"+image.Layer.String(), upstreamtest.Fault{Header: evil})
	g.registry.Fail("/v2/team/app/referrers/"+image.Digest.String(), upstreamtest.Fault{Header: evil})
	always := []string{"Content-Length", "Content-Type", "Date", "Docker-Distribution-Api-Version", "X-Content-Type-Options"}
	content := append([]string{"Cache-Control", "Docker-Content-Digest", "Etag"}, always...)
	for path, want := range map[string][]string{
		"/v2/":                           always,
		"/v2/corp/team/app/manifests/v1": append([]string{"Tagwarden-Decision"}, content...),
		"/v2/corp" + manifest[3:]:        append([]string{"Tagwarden-Decision"}, content...),
		"/v2/corp/team/app/blobs/" + image.Layer.String():      append([]string{"Accept-Ranges"}, content...),
		"/v2/corp/team/app/referrers/" + image.Digest.String(): append([]string{"Cache-Control"}, always...),
		"/v2/corp/team/app/tags/list":                          append([]string{"Cache-Control"}, always...),
		"/v2/corp/team/app/manifests/v2":                       append([]string{"Cache-Control", "Tagwarden-Decision", "Warning"}, always...),
		"/v2/x/manifests/sha256:bad":                           append([]string{"Cache-Control", "Warning"}, always...),
	} {
		for range 2 {
			a := g.get("GET", path)
			var got []string
			for name := range a.header {
				got = append(got, name)
			}
			slices.Sort(got)
			slices.Sort(want)
			equal(t, path, got, want...)
			if d := a.header.Get("Docker-Content-Digest"); d != "" && d != digest.FromBytes(a.body).String() {
				t.Errorf("%s: digest %s", path, d)
			}
		}
	}
}

func TestNotModified(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	etag := `"` + image.Digest.String() + `"`
	for _, path := range []string{"/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/manifests/" + image.Digest.String()} {
		for header, status := range map[string]int{
			etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, image.Digest.String(): 200, "": 200, etag[:70]: 200,
		} {
			for _, method := range []string{"GET", "HEAD"} {
				a := g.get(method, path, "If-None-Match: "+header)
				if a.status != status || status == 304 && (len(a.body) > 0 || a.header.Get("Etag") != etag || a.header.Get("Docker-Content-Digest") == "" || a.header.Get("Tagwarden-Decision") == "") {
					t.Errorf("%s %s If-None-Match %s: %d %v", method, path, header, a.status, a.header)
				}
				if r := g.recorded(); len(r) != 1 || r[0].Served != image.Digest {
					t.Errorf("%+v", r)
				}
			}
		}
	}
	// The decision comes first: a client that has it all is refused all the same.
	for _, path := range []string{"/v2/corp/team/app/manifests/v2", "/v2/corp/bad/app/manifests/" + image.Digest.String()} {
		if a := g.get("GET", path, "If-None-Match: *", "If-None-Match: "+etag); a.status != 403 {
			t.Error(path, a.status)
		}
	}
}
