package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// OCI: end-12a, end-12b
func TestReferrers(t *testing.T) {
	reg := &upstreamtest.Registry{}
	image := reg.PushImage("team/app", "1", "hello")
	sbom := reg.PushManifest("team/app", "", "application/vnd.oci.image.manifest.v1+json",
		fmt.Appendf(nil, `{"artifactType":"text/sbom+x","subject":{"digest":%q}}`, image.Digest))
	r, _ := behind(t, reg)
	for artifactType, want := range map[string]int{"": 1, "text/sbom+x": 1, "text/other": 0} {
		reg.Forget()
		body, filtered, err := r.Referrers(t.Context(), repo, image.Digest, artifactType)
		if err != nil || filtered != (artifactType != "") {
			t.Fatalf("%q: %v %v", artifactType, filtered, err)
		}
		var index struct {
			Manifests []struct{ Digest digest.Digest }
		}
		if err := json.Unmarshal(body, &index); err != nil || len(index.Manifests) != want || want == 1 && index.Manifests[0].Digest != sbom {
			t.Errorf("%q: %s %v", artifactType, body, err)
		}
		q := reg.Requests()[0]
		if artifactType == "text/sbom+x" && q.Query != "artifactType=text%2Fsbom%2Bx" || artifactType == "" && q.Query != "" {
			t.Errorf("query %q", q.Query)
		}
	}
}

func TestReferrersFaults(t *testing.T) {
	path := "/v2/team/app/referrers/" + aDigest.String()
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	bare := `{"schemaVersion":2,"manifests":[]}`
	h := func(contentType, filters string) http.Header {
		return http.Header{"Content-Type": {contentType}, "OCI-Filters-Applied": {filters}}
	}
	const oci = "application/vnd.oci.image.index.v1+json"
	for _, tt := range []struct {
		fault    upstreamtest.Fault
		found    bool
		filtered bool
		want     string
	}{
		{upstreamtest.Fault{Status: 404}, false, false, ""},
		{upstreamtest.Fault{Status: 400, Body: []byte(`{"errors":[{"code":"NAME_UNKNOWN"}]}`)}, false, false, ""},
		{upstreamtest.Fault{Body: []byte(index), Header: h(oci, "artifactType")}, true, true, ""},
		{upstreamtest.Fault{Body: []byte(index), Header: h(oci, "other, artifactType")}, true, true, ""},
		{upstreamtest.Fault{Body: []byte(index), Header: h(oci, "artifactTypes")}, true, false, ""},
		{upstreamtest.Fault{Body: []byte(index), Header: h("text/plain", "")}, true, false, ""},
		{upstreamtest.Fault{Body: []byte(bare), Header: h(oci+"; charset=utf-8", "")}, true, false, ""},
		{upstreamtest.Fault{Body: []byte(bare), Header: h("application/json", "")}, false, false, "media type"},
		{upstreamtest.Fault{Body: []byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json"}`), Header: h(oci, "")}, false, false, "media type"},
		{upstreamtest.Fault{Body: []byte("<html>"), Header: h(oci, "")}, false, false, "not a JSON object"},
		{upstreamtest.Fault{Body: []byte(index + strings.Repeat(" ", maxDocument)), Header: h(oci, "")}, false, false, "at most"},
	} {
		reg := &upstreamtest.Registry{}
		reg.Fail(path, tt.fault)
		r, _ := behind(t, reg)
		body, filtered, err := r.Referrers(t.Context(), repo, aDigest, "text/sbom")
		if tt.want != "" {
			wantError(t, err, Invalid, tt.want)
			continue
		}
		if err != nil || (body != nil) != tt.found || filtered != tt.filtered {
			t.Errorf("%+v: %s %v %v", tt.fault, body, filtered, err)
		}
	}
	reg := &upstreamtest.Registry{}
	reg.Fail(path, upstreamtest.Fault{Status: 503})
	r, _ := behind(t, reg)
	_, _, err := r.Referrers(t.Context(), repo, aDigest, "")
	wantError(t, err, Unreachable, "503")
}

// Nothing but a configured registry is ever dialled, and nothing but names and digests gets into a URL.
func TestAsk(t *testing.T) {
	reg := &upstreamtest.Registry{}
	r, p := behind(t, reg)
	for _, repository := range []string{
		"", "nginx", "other.example.com/team/app", "registry.example.com", "registry.example.com/", "registry.example.com/../x",
		"registry.example.com/A", "registry.example.com/a//b", "registry.example.com/a?x=y", "registry.example.com/a%2fb",
		"registry.example.com/a:tag", "REGISTRY.example.com/a", "registry.example.com:5000/a", "registry.example.com/a b",
	} {
		_, _, err := r.Manifest(t.Context(), repository, aDigest)
		if err == nil {
			t.Errorf("%q is asked for", repository)
		}
		_, _, err = r.Blob(t.Context(), repository, aDigest, 0)
		if err == nil {
			t.Errorf("%q is asked for", repository)
		}
	}
	for _, d := range []digest.Digest{
		"", "latest", "sha256:", "sha256:../../x", "sha256:" + digest.Digest(strings.Repeat("A", 64)), aDigest + "0", aDigest + "/x", "md5:d41d8cd98f00b204e9800998ecf8427e",
	} {
		_, _, err := r.Manifest(t.Context(), repo, d)
		wantError(t, err, Invalid, "is not a digest")
		_, _, err = r.Referrers(t.Context(), repo, d, "")
		wantError(t, err, Invalid, "is not a digest")
	}
	if p.conns.Load() != 0 {
		t.Error("something was dialled")
	}
	_, _, err := r.Manifest(t.Context(), "other.example.com/a", aDigest)
	wantError(t, err, Unreachable, "registry other.example.com: not configured")
}

// A registry below a path, and its scope, which knows of no path and no host.
func TestBasePathAndScope(t *testing.T) {
	reg := &upstreamtest.Registry{}
	image := reg.PushImage("team/app", "1", "hello")
	mux := http.NewServeMux()
	mux.Handle("/proxy/docker/", http.StripPrefix("/proxy/docker", reg))
	mux.Handle("/token", reg.Tokens())
	p := newPeer(t, mux)
	reg.Require(upstreamtest.Auth{Realm: p.URL + "/token", Service: "s"})
	for _, base := range []string{"/proxy/docker", "/proxy/docker/"} {
		r := NewRegistries(NewRegistry("registry.example.com", newClient(t, p.URL+base, Options{})))
		if _, _, err := r.Manifest(t.Context(), repo, image.Digest); err != nil {
			t.Error(err)
		}
	}
	if q := reg.Requests()[1]; q.Path != "/token" || !strings.Contains(q.Query, "scope=repository%3Ateam%2Fapp%3Apull") {
		t.Errorf("%s?%s", q.Path, q.Query)
	}
}
