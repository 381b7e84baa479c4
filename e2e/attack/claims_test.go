package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// claims are attempts to get by a digest, a list or a special tag what no signed tag means.
func claims() []door {
	return []door{
		{14, "digest instead of tag", "an explicit digest passes, is recorded and, after a refused tag, reported; a denied repository has none", byDigest},
		{15, "children of an index", "a child comes as the bytes of its digest, and a rule that would need more is not pretended", children},
		{16, "private content by digest", "a repository that is refused or unknown has no content, cached or not", private},
		{18, "listings", "listings hold the signed tags and ask nobody; there is no catalog", listings},
		{19, "cosign and referrers tags", "tags of that shape are absent, not refused, unless they are signed; others are refused", attachments},
		{20, "an image under such a tag", "a tag of that shape never brings what nobody signed", attached},
	}
}

func byDigest(t *testing.T) {
	w := newWorld(t, settings{})
	w.up.PushImage("banned/app", "v1", "evil")
	w.expect(t, "403 unsigned_tag", manifest("latest"))
	w.expect(t, "200", manifest(w.evil.Digest))
	w.expect(t, "200", blob(w.evil.Layer))
	for _, target := range []string{"manifests/" + w.evil.Digest.String(), "blobs/" + w.evil.Layer.String(), "referrers/" + w.evil.Digest.String(), "tags/list", "manifests/v1"} {
		w.expect(t, "403 rule_deny", "/v2/r.example/banned/app/"+target)
	}
	served := 0
	for _, r := range w.settled(t) {
		if r.Digest == w.evil.Digest.String() && r.Served == r.Digest && r.Verdict == "allow" && r.Mode == "enforce" {
			served++
		}
	}
	if served != 1 {
		t.Errorf("the digest that passed is in the audit log %d times", served)
	}
	eventually(t, "the way around is reported", func() bool {
		return w.metrics(t)[`tagwarden_security_events_total{kind="bypass_suspected"}`] == 1
	})
	if n := w.up.Count("", "/v2/banned/app/manifests/v1") + w.up.Count("", "/v2/banned/app/tags/list"); n > 0 {
		t.Errorf("a denied repository was asked for %d times", n)
	}
}

func children(t *testing.T) {
	var index upstreamtest.Image
	w := newWorld(t, settings{before: func(w *world) {
		index = w.up.PushIndex("app", "", "index")
		w.sign(w.app, "index", index)
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	w.expect(t, "200", manifest("index"))
	good, evil := index.Platforms[0], index.Platforms[1]
	w.up.Fail("/v2/app/manifests/"+evil.Digest.String(), upstreamtest.Fault{Body: w.evil.Manifest})
	if a := w.expect(t, "200", manifest(good.Digest)); a.digest(t) != good.Digest {
		t.Error("another child")
	}
	w.expect(t, "502 upstream_invalid", manifest(evil.Digest))
	w.expect(t, "404 MANIFEST_UNKNOWN", manifest("sha256:"+strings.Repeat("0", 64)))
	// What is reserved for later must not look as if it held.
	file := write(t, "tagwarden.yaml", "sources:\n  corp: {notary: \"https://n.example\", pins: {\"**\": {tofu: true}}}\nrules:\n  - {match: \"**\", source: corp, digests: signed}\n")
	out, err := exec.Command(binary, "check", "--config", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "digests") {
		t.Errorf("digests: signed is taken: %s", out)
	}
}

func private(t *testing.T) {
	w := newWorld(t, settings{registry: account(t)})
	w.up.Require(upstreamtest.Auth{Username: "puller", Password: secret})
	w.expect(t, "200", manifest("v1"))
	w.expect(t, "200", blob(w.good.Layer))
	w.up.Forget()
	for _, ref := range []string{"manifests/" + w.good.Digest.String(), "blobs/" + w.good.Layer.String()} {
		w.expect(t, "403 rule_deny", "/v2/r.example/banned/app/"+ref)
		w.expect(t, "403 unknown_registry", "/v2/x.example/app/"+ref)
		w.expect(t, "403 unknown_registry", "/v2/app/"+ref)
		w.expect(t, "403 unknown_registry", "/v2/r.example/app/"+ref, "Host", "x.example")
		// PRODUCT: invariant 12, a digest is enough for who may ask, with and without credentials.
		w.expect(t, "200", "/v2/r.example/elsewhere/"+ref, "Authorization", "Basic eDp5")
	}
	// What is not cached is the registry's to give, and is absent alike wherever it is.
	here, there := w.get(t, blob("sha256:"+strings.Repeat("1", 64))), w.get(t, "/v2/r.example/other/blobs/sha256:"+strings.Repeat("1", 64))
	if here.String() != "404 BLOB_UNKNOWN" || here.String() != there.String() {
		t.Errorf("absent content: %s here, %s there", here, there)
	}
	if n := len(w.up.Requests()); n != 2 {
		t.Errorf("%d requests to the registry, want one for each of two that are not cached", n)
	}
}

func listings(t *testing.T) {
	w := newWorld(t, settings{before: func(w *world) {
		for _, tag := range []string{"a", "b", "not a tag", "../up", "Z", "sha256:abc", strings.Repeat("v", 129)} {
			w.sign(w.app, tag, w.good)
		}
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	for query, want := range map[string]string{
		"": "Z a b v1", "?n=2": "Z a", "?n=2&last=a": "b v1", "?last=zzz": "", "?n=0": "", "?last=Z&n=9999": "a b v1", "?n=1&last=b": "v1",
	} {
		a := w.expect(t, "200", "/v2/r.example/app/tags/list"+query)
		var list struct {
			Name string
			Tags []string
		}
		if err := json.Unmarshal(a.body, &list); err != nil || strings.Join(list.Tags, " ") != want || list.Tags == nil {
			t.Errorf("%s: %s, want %q", query, a.body, want)
		}
		if link := a.header.Get("Link"); (link != "") != (query == "?n=2") || strings.ContainsAny(link, "\r\n") {
			t.Errorf("%s: Link %q", query, link)
		}
	}
	for query, want := range map[string]string{"?n=-1": "400 UNSUPPORTED", "?n=9999999999": "400 UNSUPPORTED", "?n=1&n=2": "400 UNSUPPORTED", "?last=a%0d%0aX:+y": "400 MANIFEST_INVALID"} {
		w.expect(t, want, "/v2/r.example/app/tags/list"+query)
	}
	w.expect(t, "404 UNSUPPORTED", "/v2/_catalog")
	w.expect(t, "404 UNSUPPORTED", "/v2/_catalog?n=1000")
	w.expect(t, "403 unknown_registry", "/v2/x.example/app/tags/list")
	if n := len(w.up.Requests()); n > 0 {
		t.Errorf("%d requests to the registry", n)
	}
}

func attachments(t *testing.T) {
	w := newWorld(t, settings{})
	hex := w.good.Digest.Encoded()
	for _, suffix := range []string{"", ".sig", ".att", ".sbom", ".a.b"} {
		tag := "sha256-" + hex + suffix
		w.up.PushImage("app", tag, "evil")
		if c := w.expect(t, "404 unsigned_tag", manifest(tag)).complaint(); c.Code != "MANIFEST_UNKNOWN" {
			t.Errorf("%s: code %s", tag, c.Code)
		}
		if a := w.ask(t, http.MethodHead, manifest(tag)); a.status != http.StatusNotFound {
			t.Errorf("HEAD %s: %d", tag, a.status)
		}
	}
	for _, tag := range []string{"sha256-" + hex[1:], "sha256-" + hex + "sig", "sha256-" + hex + "0", "sha256-" + hex + ".", "sha256-" + strings.ToUpper(hex), "sha512-" + hex, "xsha256-" + hex} {
		w.expect(t, "403 unsigned_tag", manifest(tag))
	}
	w.expect(t, "404 no_trust_data", "/v2/r.example/cold/nobody/manifests/sha256-"+hex+".sig")
	w.expect(t, "403 rule_deny", "/v2/r.example/banned/app/manifests/sha256-"+hex+".sig")
	if n := len(w.up.Requests()); n > 0 {
		t.Errorf("%d requests to the registry", n)
	}
	target := "/v2/r.example/app/referrers/" + w.good.Digest.String()
	for _, f := range []upstreamtest.Fault{
		{}, {Status: 404}, {Status: 403}, {Status: 500}, {Body: []byte("<html>")}, {Body: w.evil.Manifest}, {Redirect: "http://127.0.0.1:1/"}, {Truncate: 3},
		{Body: []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],"layers":[]}`)},
	} {
		w.up.Fail("/v2/app/referrers/"+w.good.Digest.String(), f)
		a := w.expect(t, "200", target)
		var index struct {
			MediaType string
			Manifests []any
			Layers    []any
		}
		if err := json.Unmarshal(a.body, &index); err != nil || index.MediaType != indexType || index.Manifests == nil || index.Layers != nil || a.header.Get("Content-Type") != indexType {
			t.Errorf("%+v: %s as %s", f, a.body, a.header.Get("Content-Type"))
		}
	}
}

func attached(t *testing.T) {
	var tag string
	w := newWorld(t, settings{before: func(w *world) {
		tag = "sha256-" + w.evil.Digest.Encoded()
		w.up.PushImage("app", tag, "evil")
		w.up.PushImage("app", tag+".sig", "evil")
		w.sign(w.app, tag+".att", w.good)
		w.up.PushImage("app", tag+".att", "evil")
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	w.expect(t, "404 unsigned_tag", manifest(tag))
	w.expect(t, "404 unsigned_tag", manifest(tag+".sig"))
	if d := w.expect(t, "200", manifest(tag+".att")).digest(t); d != w.good.Digest {
		t.Errorf("a signed one means %s", d)
	}
	for _, q := range w.up.Requests() {
		if strings.Contains(q.Path, "/sha256-") {
			t.Errorf("the registry was asked for %s", q.Path)
		}
	}
	// Nothing of all this has a name on disk that somebody else has chosen.
	names := []string{}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"audit.jsonl", "cache", "state", "tagwarden.yaml"}; !slices.Equal(names, want) {
		t.Errorf("the gateway's folder has %s", fmt.Sprint(names))
	}
}
