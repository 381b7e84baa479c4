package attack

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// spellings are attacks by how a request names things.
func spellings() []door {
	return []door{
		{1, "ssrf by ns, host and path", "what no configuration names is refused and never dialled", ssrf},
		{6, "encodings and shapes of paths", "there is one spelling of a path, and everything else is refused before anybody is asked", paths},
		{7, "tags that look like digests", "what has a colon is a digest or nothing", lookalikes},
		{8, "digest algorithms", "sha256 and sha512 are checked as they were asked for, others do not exist", algorithms},
		{28, "aliases of a name", "every spelling of a registry means the same image, and nothing else does", aliases},
	}
}

func ssrf(t *testing.T) {
	trap := newTrap(t)
	w := newWorld(t, settings{registries: "  o.example: {url: \"http://" + trap.addr + "\"}"})
	const unknown, invalid = "403 unknown_registry", "400 NAME_INVALID"
	for _, c := range []struct {
		want, target string
		header       []string
	}{
		{unknown, "/v2/app/manifests/v1?ns=" + trap.addr, nil},
		{unknown, "/v2/app/manifests/v1?ns=localhost:" + trap.port, nil},
		{unknown, "/v2/app/manifests/v1?ns=[::1]:" + trap.port, nil},
		{unknown, "/v2/app/manifests/v1?ns=169.254.169.254", nil},
		{unknown, "/v2/app/manifests/v1?ns=0x7f000001:" + trap.port, nil},
		{unknown, "/v2/app/manifests/v1?ns=2130706433:" + trap.port, nil},
		{unknown, "/v2/app/manifests/v1?ns=r.example.evil.example", nil},
		{unknown, "/v2/app/manifests/v1?NS=r.example", nil},
		{unknown, "/v2/app/blobs/" + w.good.Layer.String() + "?ns=" + trap.addr, nil},
		{unknown, "/v2/app/tags/list?ns=" + trap.addr, nil},
		{unknown, "/v2/app/referrers/" + w.good.Digest.String() + "?ns=" + trap.addr, nil},
		{unknown, "/v2/" + trap.addr + "/app/manifests/v1", nil},
		{unknown, "/v2/localhost/app/manifests/v1", nil},
		{unknown, "/v2/169.254.169.254/latest/manifests/meta-data", nil},
		{unknown, "/v2/r.example.evil.example/app/manifests/v1", nil},
		{unknown, "/v2/app/manifests/v1", []string{"Host: " + trap.addr}},
		{unknown, "/v2/r.example/app/manifests/v1", []string{"Host: evil.example"}},
		{unknown, "/v2/r.example/app/manifests/v1", []string{"Host: localhost."}},
		{unknown, "/v2/r.example/app/manifests/v1", []string{"Host:"}},
		{unknown, "/v2/r.example/app/manifests/v1", []string{"Host: 0x7f.1"}},
		{unknown, "/v2/r.example/app/manifests/v1", []string{"Host: metadata.google.internal"}},
		{unknown, "/v2/app/manifests/v1", []string{"Host: localhost", "X-Forwarded-Host: r.example"}},
		{unknown, "http://" + trap.addr + "/v2/app/manifests/v1", nil},
		{unknown, "http://evil.example/v2/r.example/app/manifests/v1", nil},
		{invalid, "/v2/app/manifests/v1?ns=r.example@" + trap.addr, nil},
		{invalid, "/v2/app/manifests/v1?ns=http://" + trap.addr, nil},
		{invalid, "/v2/app/manifests/v1?ns=" + trap.addr + "/r.example", nil},
		{invalid, "/v2/app/manifests/v1?ns=r.example%00." + trap.addr, nil},
		{invalid, "/v2/app/manifests/v1?ns=r.example%0d%0aHost:+" + trap.addr, nil},
		{invalid, "/v2/app/manifests/v1?ns=", nil},
		{invalid, "/v2/app/manifests/v1?ns=o.example", []string{"Host: r.example"}},
		{"400 UNSUPPORTED", "/v2/app/manifests/v1?ns=r.example&ns=" + trap.addr, nil},
		{"400 UNSUPPORTED", "/v2/app/manifests/v1?ns=r.example;ns=" + trap.addr, nil},
	} {
		if a := w.say(t, c.target, c.header...); a.String() != c.want {
			t.Errorf("%s %q: %s, want %s", c.target, c.header, a, c.want)
		}
	}
	w.untouched(t)
}

// untouched fails the test if the registry or the source was asked anything.
func (w *world) untouched(t *testing.T) {
	t.Helper()
	if n, asked := len(w.up.Requests()), w.site.requests(); n > 0 || len(asked) > 0 {
		t.Errorf("%d requests to the registry, and to the source %q", n, asked)
	}
}

func paths(t *testing.T) {
	w := newWorld(t, settings{})
	d := w.good.Digest.String()
	const name, none = "400 NAME_INVALID", "404 UNSUPPORTED"
	for _, c := range []struct{ want, target string }{
		{name, "/v2/r.example/../r.example/app/manifests/v1"},
		{name, "/v2/r.example/app/../../../etc/manifests/v1"},
		{name, "/v2/r.example/./app/manifests/v1"},
		{name, "/v2/r.example//app/manifests/v1"},
		{name, "/v2//r.example/app/manifests/v1"},
		{name, "/v2/r.example/app/manifests/v1/"},
		{name, "/v2/r.example/%2e%2e/app/manifests/v1"},
		{name, "/v2/r.example%2fapp/manifests/v1"},
		{name, "/v2/r.example/app/manifests/%76%31"},
		{name, "/v2/r.example/app%00/manifests/v1"},
		{name, "/v2/r.example/app/manifests/v1%0a"},
		{name, "/v2/r.example/App/manifests/v1"},
		{name, "/v2/R.example/app/manifests/v1"},
		{name, "/v2/r.example/app\\x/manifests/v1"},
		{name, "/v2/r.example/\xc3\xa4pp/manifests/v1"},
		{name, "/v2/r.example/a__-b/manifests/v1"},
		{name, "/v2/r.example/-app/manifests/v1"},
		{name, "/v2/r.example/" + strings.Repeat("a", 300) + "/manifests/v1"},
		{name, "/v2/r.example:999999/app/manifests/v1"},
		{"400 MANIFEST_INVALID", "/v2/r.example/app/manifests/..."},
		{"400 MANIFEST_INVALID", "/v2/r.example/app/manifests/-v1"},
		{"400 MANIFEST_INVALID", "/v2/r.example/app/manifests/" + strings.Repeat("v", 129)},
		{name, "/v2/r.example/app/blobs/..%2f" + d},
		{"400 DIGEST_INVALID", "/v2/r.example/app/blobs/" + d + "0"},
		{name, "/v2/../v2/r.example/app/manifests/v1"},
		{none, "/V2/r.example/app/manifests/v1"},
		{none, "//v2/r.example/app/manifests/v1"},
		{none, "/%762/r.example/app/manifests/v1"},
		{none, "/v1/repositories/app/tags"},
		{none, "/"},
		{none, "/v2/r.example/app/manifests"},
		{name, "/v2/r.example/app/blobs/uploads/"},
		{name, "/v2/r.example/app/tags/list/"},
		{none, "/v2/r.example/app/manifest/v1"},
		{none, "/v2x"},
	} {
		if a := w.say(t, c.target); a.String() != c.want {
			t.Errorf("%.100q: %s, want %s", c.target, a, c.want)
		}
	}
	w.untouched(t)
	if records := w.settled(t); len(records) > 0 {
		t.Errorf("malformed requests have records: %v", records)
	}
}

func lookalikes(t *testing.T) {
	w := newWorld(t, settings{})
	hex := w.good.Digest.Encoded()
	for _, c := range []struct{ want, reference string }{
		{"400 DIGEST_INVALID", "sha256:abc"},
		{"400 DIGEST_INVALID", "sha256:"},
		{"400 DIGEST_INVALID", ":" + hex},
		{"400 DIGEST_INVALID", "SHA256:" + hex},
		{"400 DIGEST_INVALID", "sha256:" + strings.ToUpper(hex)},
		{"400 DIGEST_INVALID", "sha256:" + hex + ":v1"},
		{"400 DIGEST_INVALID", "v1:sha256:" + hex},
		{"400 DIGEST_INVALID", "v1@sha256:" + hex},
		{"400 DIGEST_INVALID", "sha256:" + hex[:63]},
		{"400 DIGEST_INVALID", "sha256:" + hex[:63] + "g"},
		{"400 DIGEST_INVALID", "sha256:" + hex + "@v1"},
		{"400 MANIFEST_INVALID", "v1@sha256-" + hex},
		{"200", "sha256:" + hex},
		{"403 unsigned_tag", hex},
		{"403 unsigned_tag", "sha256"},
		{"403 unsigned_tag", "sha512-" + hex},
	} {
		w.expect(t, c.want, manifest(c.reference))
	}
	for _, q := range w.up.Requests() {
		if q.Path != "/v2/app/manifests/sha256:"+hex {
			t.Errorf("the registry was asked for %s", q.Path)
		}
	}
}

func algorithms(t *testing.T) {
	w := newWorld(t, settings{})
	layer := strings.Repeat("layer", 1000)
	right, wrong := digest.SHA512.FromString(layer).String(), digest.SHA512.FromString("").String()
	for _, c := range []struct{ want, digest string }{
		{"400 DIGEST_INVALID", "md5:d41d8cd98f00b204e9800998ecf8427e"},
		{"400 DIGEST_INVALID", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		{"400 DIGEST_INVALID", "sha384:" + right[7:103]},
		{"400 DIGEST_INVALID", "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"},
		{"400 DIGEST_INVALID", "sha512:" + right[7:71]},
		{"400 DIGEST_INVALID", "blake3:" + right[7:71]},
		{"502 upstream_invalid", wrong},
		{"200", right},
	} {
		w.up.Fail("/v2/app/blobs/"+c.digest, upstreamtest.Fault{Body: []byte(layer)})
		a := w.expect(t, c.want, blob(c.digest))
		if a.status == http.StatusOK && (a.header.Get("Docker-Content-Digest") != c.digest || string(a.body) != layer) {
			t.Errorf("%s: %d bytes under %q", c.digest, len(a.body), a.header.Get("Docker-Content-Digest"))
		}
		if c.want[:3] == "400" {
			w.expect(t, c.want, manifest(c.digest))
			w.expect(t, c.want, "/v2/r.example/app/referrers/"+c.digest)
		}
	}
	// Of manifests, too.
	w.up.Fail("/v2/app/manifests/"+wrong, upstreamtest.Fault{Body: w.good.Manifest})
	w.expect(t, "502 upstream_invalid", manifest(wrong))
	of := digest.SHA512.FromBytes(w.good.Manifest)
	w.up.Fail("/v2/app/manifests/"+of.String(), upstreamtest.Fault{Body: w.good.Manifest})
	if a := w.expect(t, "200", manifest(of)); a.header.Get("Docker-Content-Digest") != of.String() {
		t.Errorf("%s is served as %s", of, a.header.Get("Docker-Content-Digest"))
	}
	if n := w.up.Count("", "/v2/app/blobs/"+right); n != 1 || len(w.up.Requests()) != 4 {
		t.Errorf("%d requests to the registry, %d for the right digest; want 4 and 1", len(w.up.Requests()), n)
	}
}

func aliases(t *testing.T) {
	w := newWorld(t, settings{
		before: func(w *world) {
			n := w.repository("docker.io/library/nginx")
			w.sign(n, "v1", w.good)
			w.site.publish(n)
			w.up.PushManifest("library/nginx", "v1", w.evil.MediaType, w.evil.Manifest)
			w.up.PushManifest("library/nginx", "", w.good.MediaType, w.good.Manifest)
		},
		registries: "  docker.io: {url: \"URL\"}",
		rules:      "  - {match: docker.io/library/*, source: corp}",
	})
	for _, target := range []string{
		"/v2/docker.io/library/nginx/manifests/v1", "/v2/docker.io/nginx/manifests/v1", "/v2/index.docker.io/nginx/manifests/v1",
		"/v2/registry-1.docker.io/library/nginx/manifests/v1", "/v2/docker.io:443/nginx/manifests/v1", "/v2/nginx/manifests/v1?ns=docker.io",
		"/v2/library/nginx/manifests/v1?ns=DOCKER.IO", "/v2/nginx/manifests/v1?ns=index.docker.io:443",
	} {
		if d := w.expect(t, "200", target).digest(t); d != w.good.Digest {
			t.Errorf("%s: %s", target, d)
		}
	}
	for _, host := range []string{"docker.io", "Docker.IO", "index.docker.io", "registry-1.docker.io:443"} {
		w.expect(t, "200", "/v2/library/nginx/manifests/v1", "Host", host)
		w.expect(t, "200", "/v2/nginx/manifests/v1", "Host", host)
	}
	for want, targets := range map[string][]string{
		"400 NAME_INVALID": {"/v2/Docker.io/nginx/manifests/v1", "/v2/docker.io/Nginx/manifests/v1", "/v2/docker.io/nginx/manifests/v1?ns=docker.io."},
		"403 unknown_registry": {"/v2/docker.io:80/nginx/manifests/v1", "/v2/hub.docker.io/nginx/manifests/v1", "/v2/nginx/manifests/v1?ns=docker.io:5000",
			"/v2/www.docker.io/library/nginx/manifests/v1"},
		// Where ns names the registry, the whole path is the repository.
		"403 root_not_pinned": {"/v2/docker.io/library/nginx/manifests/v1?ns=r.example"},
		"403 no_rule":         {"/v2/docker.io/nginx/nginx/manifests/v1", "/v2/docker.io/library/library/nginx/manifests/v1"},
	} {
		for _, target := range targets {
			w.expect(t, want, target)
		}
	}
	for _, r := range w.settled(t) {
		if r.Verdict == "allow" && (r.Name != "docker.io/library/nginx" || r.Served != w.good.Digest.String()) {
			t.Errorf("record %+v", r)
		}
	}
	if paths := w.site.requests(); slices.ContainsFunc(paths, func(p string) bool { return !strings.HasPrefix(p, "/v2/docker.io/library/nginx/_trust/") }) {
		t.Errorf("the source was asked for %q", paths)
	}
}
