package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// contents are attacks by what a registry sends.
func contents() []door {
	return []door{
		{9, "media type confusion", "a document that two clients could take for two things is served to none", confusion},
		{9, "types that browsers run", "no manifest is served under a type that makes its bytes a page or a script", browsers},
		{10, "accept tricks", "nothing a client sends changes what the registry is asked, or what is answered", accepts},
		{11, "schema 1", "schema 1 is refused by tag and by digest", schema1},
		{12, "head and get", "HEAD is decided and answered as GET is, without a body", heads},
		{13, "poisoned content and cross-registry reads", "wrong bytes never leave whole and never stay, and no registry answers for another", poison},
		{25, "spoofed headers", "no header of a client or of a registry gets through", spoofed},
	}
}

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	imageType    = "application/vnd.oci.image.manifest.v1+json"
	schema1Type  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	schema2Type  = "application/vnd.docker.distribution.manifest.v2+json"
	configMember = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`
)

// A sent manifest is one as a registry sends it.
type sent struct{ name, mediaType, content string }

// refused signs each manifest, and asks for it by tag and by digest: it must not be served, whoever signed it.
func refused(t *testing.T, cases []sent) {
	t.Helper()
	digests := make([]digest.Digest, len(cases))
	w := newWorld(t, settings{before: func(w *world) {
		for i, c := range cases {
			// Spaces make each a document of its own, under its own media type.
			digests[i] = w.push(fmt.Sprint("c", i), c.mediaType, c.content+strings.Repeat(" ", i)).Digest
		}
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	for i, c := range cases {
		for _, target := range []string{manifest(fmt.Sprint("c", i)), manifest(digests[i])} {
			if a := w.get(t, target, "Accept", c.mediaType); a.String() != "403 media_type_mismatch" {
				t.Errorf("%s: %s: %s", c.name, target, a)
			}
		}
	}
}

func confusion(t *testing.T) {
	refused(t, []sent{
		{"index and image, sent as an index", indexType, `{"schemaVersion":2,"manifests":[],"layers":[],` + configMember + `}`},
		{"index and image, sent as an image", imageType, `{"schemaVersion":2,"manifests":[],"layers":[],` + configMember + `}`},
		{"index with a config", indexType, `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[],` + configMember + `}`},
		{"image that says index", imageType, `{"schemaVersion":2,"mediaType":"` + indexType + `","layers":[],` + configMember + `}`},
		{"index that says image", indexType, `{"schemaVersion":2,"mediaType":"` + imageType + `","manifests":[]}`},
		{"image sent as an index", indexType, `{"schemaVersion":2,"mediaType":"` + imageType + `","layers":[],` + configMember + `}`},
		{"docker image sent as an OCI image", imageType, `{"schemaVersion":2,"mediaType":"` + schema2Type + `","layers":[],` + configMember + `}`},
		{"two media types", imageType, `{"mediaType":"` + imageType + `","mediaType":"` + indexType + `","layers":[],` + configMember + `}`},
		{"media type in another case", imageType, `{"mediatype":"` + indexType + `","layers":[],` + configMember + `}`},
		{"media type in another case that is right", imageType, `{"mediatype":"` + imageType + `","layers":[],` + configMember + `}`},
		{"manifests in another case", imageType, `{"schemaVersion":2,"layers":[],` + configMember + `,"Manifests":[]}`},
		{"manifests spelt with an escape", imageType, `{"schemaVersion":2,"layers":[],` + configMember + `,"m\u0061nifests":[]}`},
		{"layers in letters that fold", imageType, `{"manifests":[],"layerſ":[]}`},
		{"layers twice", imageType, `{"layers":[],"layers":[],` + configMember + `}`},
		{"media type that is a number", imageType, `{"mediaType":1,"layers":[],` + configMember + `}`},
		{"media type with a line end", imageType, `{"mediaType":"a/b\r\nX: y","layers":[],` + configMember + `}`},
		{"a list", imageType, `[{"layers":[]}]`},
		{"null", imageType, `null`},
		{"nothing", imageType, ``},
		{"a web page", "text/html", `<html>log in</html>`},
		{"neither", imageType, `{"schemaVersion":2}`},
		{"a configuration", "application/vnd.oci.image.config.v1+json", `{"architecture":"amd64","config":{}}`},
		{"two documents", imageType, `{"schemaVersion":2,"layers":[],` + configMember + `}{"manifests":[]}`},
		{"nested without end", imageType, strings.Repeat("[", 100_000)},
	})
}

func browsers(t *testing.T) {
	types := []string{"text/html", "application/xhtml+xml", "image/svg+xml", "text/javascript", "text/xml"}
	digests := make([]digest.Digest, len(types))
	w := newWorld(t, settings{before: func(w *world) {
		for i, c := range types {
			digests[i] = w.push(fmt.Sprint("c", i), c, `{"mediaType":"`+c+`","layers":[],`+configMember+`,"x":"<script>alert(1)</script>"}`).Digest
		}
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	for i, c := range types {
		for _, target := range []string{manifest(fmt.Sprint("c", i)), manifest(digests[i])} {
			if a := w.get(t, target); a.header.Get("Content-Type") == c {
				t.Errorf("%s is served as %s", target, c)
			}
		}
	}
}

func schema1(t *testing.T) {
	const body = `{"schemaVersion":1,"name":"app","tag":"v1","architecture":"amd64","fsLayers":[{"blobSum":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}],"history":[]`
	refused(t, []sent{
		{"signed", schema1Type, body + `,"signatures":[{"signature":"x","protected":"y"}]}`},
		{"unsigned", "application/vnd.docker.distribution.manifest.v1+json", body + `}`},
		{"as JSON", "application/json", body + `}`},
		{"as schema 2", schema2Type, body + `}`},
		{"and schema 2 at once", schema2Type, body + `,"mediaType":"` + schema2Type + `","layers":[],` + configMember + `}`},
		{"by its word only", schema1Type, `{"schemaVersion":1,"mediaType":"` + schema1Type + `","layers":[],` + configMember + `}`},
		{"layers in another case", schema2Type, `{"schemaVersion":2,"layers":[],` + configMember + `,"FSLAYERS":[]}`},
		{"by its header only", schema1Type, `{"schemaVersion":2,"layers":[],` + configMember + `}`},
	})
}

func accepts(t *testing.T) {
	lines := []string{"", "*/*", schema1Type, "application/json", imageType, indexType + ";q=0", "text/html", "a/b, , ;;;", strings.Repeat("x/y,", 2000)}
	images := make([]upstreamtest.Image, len(lines))
	w := newWorld(t, settings{before: func(w *world) {
		for i := range lines {
			images[i] = w.up.PushIndex("app", "", fmt.Sprint(i))
			w.sign(w.app, fmt.Sprint("c", i), images[i])
		}
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
	}})
	var first http.Header
	for i, accept := range lines {
		w.up.Forget()
		for range 2 { // cold and warm
			a := w.expect(t, "200", manifest(fmt.Sprint("c", i)), "Accept", accept)
			if a.digest(t) != images[i].Digest || a.header.Get("Content-Type") != indexType {
				t.Errorf("Accept %.40q: %s as %s", accept, a.digest(t), a.header.Get("Content-Type"))
			}
		}
		asked := w.up.Requests()
		if len(asked) != 1 {
			t.Fatalf("Accept %.40q: %d requests to the registry", accept, len(asked))
		}
		if first == nil {
			first = asked[0].Header
		}
		if got := fmt.Sprint(asked[0].Header); got != fmt.Sprint(first) {
			t.Errorf("Accept %.40q: the registry saw %s, and before that %s", accept, got, first)
		}
	}
}

func heads(t *testing.T) {
	w := newWorld(t, settings{})
	w.up.PushImage("open/app", "v1", "open")
	index := w.up.PushIndex("app", "", "index")
	for _, target := range []string{
		manifest("v1"), manifest("latest"), manifest(w.good.Digest), manifest(index.Digest), manifest("sha256-" + w.good.Digest.Encoded()), manifest("sha256:x"),
		manifest("sha256:" + strings.Repeat("0", 64)), blob(w.good.Layer), blob(w.good.Config), blob("sha256:" + strings.Repeat("0", 64)),
		"/v2/", "/v2/_catalog", "/metrics", "/v2/r.example/app/tags/list", "/v2/r.example/app/referrers/" + w.good.Digest.String(),
		"/v2/r.example/banned/app/manifests/v1", "/v2/r.example/open/app/manifests/v1", "/v2/r.example/open/app/manifests/v2", "/v2/x.example/app/manifests/v1",
		"/v2/r.example/unpinned/manifests/v1", "/v2/app/manifests/v1",
	} {
		// HEAD comes first, as it does from clients, and again when everything is cached.
		h, g, again := w.ask(t, http.MethodHead, target), w.get(t, target), w.ask(t, http.MethodHead, target)
		for _, h := range []answer{h, again} {
			if h.status != g.status || len(h.body) > 0 {
				t.Errorf("%s: HEAD %d with %d bytes, GET %s", target, h.status, len(h.body), g)
			}
			for _, name := range []string{"Docker-Content-Digest", "Content-Type", "Etag", "Retry-After"} {
				if h.header.Get(name) != g.header.Get(name) {
					t.Errorf("%s: %s is %q to HEAD, %q to GET", target, name, h.header.Get(name), g.header.Get(name))
				}
			}
			if g.status == http.StatusOK && h.header.Get("Content-Length") != fmt.Sprint(len(g.body)) {
				t.Errorf("%s: HEAD says %s bytes, GET has %d", target, h.header.Get("Content-Length"), len(g.body))
			}
		}
	}
}

func poison(t *testing.T) {
	other := new(upstreamtest.Registry)
	w := newWorld(t, settings{registries: "  o.example: {url: \"" + serve(t, other) + "\"}", rules: "  - {match: o.example/**, mode: allow, reason: test}"})
	wrong := other.PushImage("app", "v1", "other")
	for name, f := range map[string]upstreamtest.Fault{
		"other bytes": {Body: []byte("poison")}, "a changed byte": {CorruptLast: true}, "too few bytes": {Truncate: 7}, "no bytes": {Body: []byte{}},
		"other bytes that claim to be right": {Body: wrong.Manifest, Header: http.Header{"Docker-Content-Digest": {w.good.Digest.String()}}},
	} {
		w.up.Fail("/v2/app/manifests/"+w.good.Digest.String(), f)
		w.up.Fail("/v2/app/blobs/"+w.good.Layer.String(), f)
		for _, target := range []string{manifest("v1"), manifest(w.good.Digest), blob(w.good.Layer)} {
			if a := w.get(t, target); a.String() != "502 upstream_invalid" {
				t.Errorf("%s: %s: %s", name, target, a)
			}
		}
	}
	// PRODUCT: invariant 12, once somebody has sent the right bytes, they are right for everybody; a tag is its registry's.
	right := other.PushImage("app", "", "good")
	w.expect(t, "200", "/v2/o.example/app/blobs/"+right.Layer.String())
	w.expect(t, "200", "/v2/o.example/app/manifests/"+right.Digest.String())
	eventually(t, "the right bytes are kept", func() bool { return w.get(t, blob(w.good.Layer)).status == http.StatusOK })
	for path, want := range map[string]digest.Digest{"/v2/o.example/app/manifests/v1": wrong.Digest, manifest("v1"): w.good.Digest} {
		if d := w.expect(t, "200", path).digest(t); d != want {
			t.Errorf("%s is %s, want %s", path, d, want)
		}
	}
	// Where tags mean what the registry says, its word and its bytes still have to agree.
	w.up.PushImage("open/app", "v1", "good")
	w.up.Fail("/v2/open/app/manifests/v1", upstreamtest.Fault{Header: http.Header{"Docker-Content-Digest": {digest.FromString("another").String()}}})
	if a := w.get(t, "/v2/r.example/open/app/manifests/v1"); a.status < 400 {
		a.digest(t)
		t.Errorf("a registry that says another digest: %s", a)
	}
	for _, r := range w.settled(t) {
		if r.Served != "" && r.Verdict != "allow" {
			t.Errorf("served after a refusal: %+v", r)
		}
	}
	if n := w.metrics(t)[`tagwarden_security_events_total{kind="upstream_invalid"}`]; n < 5 {
		t.Errorf("%v security events, want one for each kind of wrong bytes at least", n)
	}
}

func spoofed(t *testing.T) {
	w := newWorld(t, settings{})
	lie := http.Header{
		"Set-Cookie": {"a=b"}, "Location": {"http://evil.example/"}, "Link": {`</x>; rel="next"`}, "Docker-Content-Digest": {w.evil.Digest.String()}, "Server": {"evil"},
		"Www-Authenticate": {"Basic realm=evil"}, "Warning": {`299 - "evil"`}, "X-Evil": {"yes"}, "Etag": {`"evil"`}, "Access-Control-Allow-Origin": {"*"},
		"Strict-Transport-Security": {"max-age=1"}, "Refresh": {"0; url=http://evil.example"}, "Tagwarden-Decision": {"forged"}, "Cache-Control": {"public"},
	}
	w.up.Fail("/v2/app/manifests/"+w.good.Digest.String(), upstreamtest.Fault{Header: lie})
	w.up.Fail("/v2/app/blobs/"+w.good.Layer.String(), upstreamtest.Fault{Header: lie})
	w.up.Fail("/v2/app/referrers/"+w.good.Digest.String(), upstreamtest.Fault{Header: lie})
	mine := []string{
		"X-Forwarded-For", "10.9.8.7", "X-Real-Ip", "10.9.8.7", "Forwarded", "for=10.9.8.7;host=r.example", "X-Forwarded-Host", "r.example", "X-Forwarded-Proto", "https",
		"X-Http-Method-Override", "DELETE", "X-Original-Url", "/metrics", "X-Rewrite-Url", "/metrics", "True-Client-Ip", "10.9.8.7", "Via", "1.1 r.example",
		"Tagwarden-Decision", "forged", "Docker-Content-Digest", w.evil.Digest.String(), "User-Agent", "tagwarden", "Range", "bytes=0-0", "X-Evil", "mine",
	}
	known := []string{"Accept-Ranges", "Cache-Control", "Content-Length", "Content-Range", "Content-Type", "Date", "Docker-Content-Digest",
		"Docker-Distribution-Api-Version", "Etag", "Oci-Filters-Applied", "Tagwarden-Decision", "Warning", "X-Content-Type-Options"}
	for want, targets := range map[string][]string{
		"200":              {manifest("v1"), manifest(w.good.Digest), "/v2/r.example/app/tags/list", "/v2/r.example/app/referrers/" + w.good.Digest.String()},
		"206":              {blob(w.good.Layer)},
		"403 unsigned_tag": {manifest("latest")},
	} {
		for _, target := range targets {
			a := w.expect(t, want, target, mine...)
			for name, values := range a.header {
				if !slices.Contains(known, name) || strings.Contains(fmt.Sprint(values), "evil") || strings.Contains(fmt.Sprint(values), "forged") {
					t.Errorf("%s: %s: %q", target, name, values)
				}
			}
		}
	}
	w.expect(t, "403 unsigned_tag", manifest("latest"), "If-None-Match", "*", "If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT")
	for _, q := range w.up.Requests() {
		if text := fmt.Sprint(q.Header); strings.Contains(text, "10.9.8.7") || strings.Contains(text, "mine") || strings.Contains(text, "forged") {
			t.Errorf("the registry saw %s", text)
		}
	}
	for _, r := range w.settled(t) {
		if r.Client != "127.0.0.1" || r.Decision == "forged" || r.Method != "GET" {
			t.Errorf("record %+v", r)
		}
	}
}
