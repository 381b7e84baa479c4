package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/signing"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestInspectNotary: what docker trust has signed is shown as docker trust shows it.
func TestInspectNotary(t *testing.T) {
	n := trusttest.NewNotary("r.example/app", time.Now())
	releases, bob := n.Delegate("targets/releases", ""), n.Delegate("targets/bob", "")
	one := releases.Sign("v1", "one")
	bob.Sign("v1", "one")
	bob.Sign("v2", "not released")
	n.Publish()
	notary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, _ := strings.CutPrefix(r.URL.Path, "/v2/r.example/app/_trust/tuf/")
		data, err := n.Fetch(r.Context(), file, 16<<20)
		if errors.Is(err, fs.ErrNotExist) {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data) // a client that left is no concern
	}))
	defer notary.Close()
	registry := httptest.NewServer(new(upstreamtest.Registry))
	defer registry.Close()
	file := writeConfig(t, fmt.Sprintf(`
state: state
cache: {dir: cache}
registries: {r.example: {url: %q}}
sources: {docker: {notary: %q, pins: {"r.example/**": {tofu: true}}}}
rules: [{match: "r.example/*"}]
`, registry.URL, notary.URL))
	out, errs, status := tagwarden(t, "trust", "inspect", "--config", file, "--pretty", "r.example/app")
	if status != 0 {
		t.Fatal(errs)
	}
	for _, want := range []string{
		"\nSignatures for r.example/app\n", "\nv1           " + one.Encoded() + "   bob\n", "\nbob       ", "\n  Root Key:\t", "\n  Repository Key:\t",
		"\nMetadata of source docker\n", "\ntargets/releases   1 ", "\nv1        not known: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\nv2 ") {
		t.Errorf("v2 is not released:\n%s", out)
	}
	if out, errs, status = tagwarden(t, "trust", "inspect", "--config", file, "--pretty", "r.example/app:v3"); status != 0 || !strings.Contains(out, "\nNo signatures for r.example/app:v3\n") {
		t.Error(status, out, errs)
	}
	if _, errs, status = tagwarden(t, "trust", "inspect", "--config", file, "r.example/other"); status != exitFailed || !strings.Contains(errs, "source docker: ") {
		t.Error(status, errs)
	}
	if _, errs, status = tagwarden(t, "trust", "sign", "--config", file, "r.example/app:v3"); status != exitFailed || !strings.Contains(errs, "docker trust sign") {
		t.Error(status, errs)
	}
}

// TestReadManifest: what is signed is of the type under which the gateway will serve it, and what it never serves is not
// signed.
func TestReadManifest(t *testing.T) {
	for _, c := range []struct{ body, want, fault string }{
		{`{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","layers":[]}`, "application/vnd.docker.distribution.manifest.v2+json", ""},
		{`{"manifests":[]}`, v1.MediaTypeImageIndex, ""},
		{`{"layers":[]}`, v1.MediaTypeImageManifest, ""},
		{`{"config":{},"layers":[],"manifests":[]}`, "", "an index and an image at once"},
		{`{"schemaVersion":1,"fsLayers":[]}`, "", "schema 1"},
		{`{"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}`, "", "schema 1"},
		{`{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}`, "", "is not what its mediaType"},
		{`{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}`, "", "is not what its mediaType"},
		{`{}`, "", "neither"},
		{`{"config":{}}`, "", "neither"},
		{`[]`, "", "is not one"},
	} {
		m, err := readManifest([]byte(c.body))
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.body, err, c.fault)
		}
		if err == nil && m.mediaType() != c.want {
			t.Errorf("%s: %s, want %s", c.body, m.mediaType(), c.want)
		}
	}
}

// TestReadSeen: the last one counts, in whatever order the log is.
func TestReadSeen(t *testing.T) {
	line := func(hour int, tag, c string) string {
		return fmt.Sprintf(`{"time":"2026-11-24T%02d:00:00Z","verdict":"allow","name":"r.example/a","tag":%q,"served":"sha256:%s"}`+"\n", hour, tag, strings.Repeat(c, 64))
	}
	seen, bad, err := readSeen(t.Context(), "-", strings.NewReader(line(3, "b", "3")+"\n"+line(5, "b", "5")+line(4, "b", "4")+line(1, "a", "1")+"x\n"))
	if err != nil || bad != 1 || len(seen) != 2 || seen[0].name.Tag != "a" || seen[1].digest.Encoded()[0] != '5' || seen[1].times != 3 || len(seen[1].others) != 3 {
		t.Errorf("%+v, %d, %v", seen, bad, err)
	}
	if _, _, err := readSeen(t.Context(), "-", strings.NewReader(strings.Repeat("x", maxAuditLine+1))); err == nil {
		t.Error("an endless line was read")
	}
}

// TestWriter: what is signed goes to the server whose certificate the given authority signed, and nowhere else.
func TestWriter(t *testing.T) {
	var got []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path+r.Header.Get("Authorization"))
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	put := func(ca string) (*http.Response, error) {
		c, err := newSigner("site", config.Source{TUF: u, CA: ca}, nil)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/tuf/site/1.a.json", bytes.NewReader(nil))
		if err != nil {
			return nil, err
		}
		return c.Do(req)
	}
	if res, err := put(ca); err != nil || res.StatusCode != http.StatusTemporaryRedirect || res.Body.Close() != nil {
		t.Error(res, err)
	}
	if !slices.Equal(got, []string{"PUT /tuf/site/1.a.json"}) {
		t.Errorf("asked %q", got)
	}
	if _, err := put(""); err == nil {
		t.Error("a certificate that nobody vouches for was believed")
	}
	if _, err := put(ca + "x"); err == nil {
		t.Error("an authority that is not there was passed over")
	}
}

// TestOneSource: which repository is meant is plain, or is asked for.
func TestOneSource(t *testing.T) {
	cfg, err := config.Parse("tagwarden.yaml", []byte(`
sources:
  a: {tuf: a, root: a.json}
  b: {tuf: b, root: b.json}
  n: {notary: "https://n.example", pins: {"n.example/**": {tofu: true}}}
rules:
  - {match: a.example/**, source: a}
  - {match: a.example/b/*, source: b}
  - {match: n.example/**, source: n}
  - {match: free.example/**, mode: allow, reason: any}
`), func(string) error { return nil }, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		images      []string
		want, fault string
	}{
		{[]string{"a.example/x"}, "a", ""},
		{[]string{"a.example/b/x"}, "b", ""},
		{[]string{"a.example/b/*"}, "b", ""},
		{[]string{"a.example/x", "a.example/y"}, "a", ""},
		{[]string{"a.example/x", "a.example/b/x"}, "", "different repositories"},
		{[]string{"n.example/x"}, "", "docker trust sign"},
		{[]string{"free.example/x"}, "", "sources a, b"},
		{[]string{"other.example/x"}, "", "sources a, b"},
		{nil, "", "sources a, b"},
	} {
		got, err := oneSource(cfg, c.images)
		if err == nil && got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%v: %q, %v; want %q, %q", c.images, got, err, c.want, c.fault)
		}
	}
	if got, err := oneSource(&config.Config{}, nil); got != "" || err != nil {
		t.Errorf("no source: %q, %v", got, err)
	}
}

// TestParseDays: a day is a day, and what is none is not passed over.
func TestParseDays(t *testing.T) {
	var e signing.Expiry
	if err := setExpiry(&e, []string{"timestamp=2d", "root=8760h"}); err != nil || e.Timestamp != 48*time.Hour || e.Root != 365*24*time.Hour {
		t.Errorf("%+v, %v", e, err)
	}
	for _, s := range []string{"timestamp", "timestamp=", "timestamp=d", "timestamp=-1d", "timestamp=99999d", "=1d", "timestamp=0s", "x=1d"} {
		if err := setExpiry(&e, []string{s}); err == nil {
			t.Errorf("%q is an expiry", s)
		}
	}
}

// TestInspectSigners: who has signed another digest, or released it only, is no signer of what is released.
func TestInspectSigners(t *testing.T) {
	claim := func(role, signer, content string, released bool) trust.Claim {
		return trust.Claim{Target: trust.Target{Digest: digest.FromString(content)}, Role: role, Signer: signer, Released: released}
	}
	var p trustPage
	p.addStatement("v1", trust.Statement{Claims: []trust.Claim{
		claim("targets/releases", "releases", "new", true), claim("targets/alice", "alice", "new", false), claim("targets/bob", "bob", "old", false),
	}})
	if len(p.SignedTags) != 1 || p.SignedTags[0].Digest != digest.FromString("new").Encoded() || !slices.Equal(p.SignedTags[0].Signers, []string{"alice"}) {
		t.Errorf("%+v", p.SignedTags)
	}
}
