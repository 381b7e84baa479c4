package route

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	hex64  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	sha256 = "sha256:" + hex64
	sha512 = "sha512:" + hex64 + hex64
)

// meant are requests with their meaning. The URL is what Request.URL prints, unless another spelling is given first.
var meant = []struct {
	spelt, url string
	want       Request
}{
	{"", "/v2/", Request{Kind: Version}},
	{"/v2", "/v2/", Request{Kind: Version}},
	{"/v2/?", "/v2/", Request{Kind: Version}},
	{"", "/v2/?ns=docker.io", Request{Kind: Version, Namespace: "docker.io"}},
	{"", "/v2/library/nginx/manifests/1.27", Request{Kind: Manifest, Path: "library/nginx", Tag: "1.27"}},
	{"", "/v2/nginx/manifests/" + sha256, Request{Kind: Manifest, Path: "nginx", Digest: sha256}},
	{"", "/v2/nginx/manifests/" + sha512, Request{Kind: Manifest, Path: "nginx", Digest: sha512}},
	{"", "/v2/nginx/blobs/" + sha256, Request{Kind: Blob, Path: "nginx", Digest: sha256}},
	{"", "/v2/nginx/tags/list", Request{Kind: Tags, Path: "nginx"}},
	{"", "/v2/nginx/tags/list?last=v1&n=0", Request{Kind: Tags, Path: "nginx", Paged: true, Last: "v1"}},
	{"/v2/nginx/tags/list?n=007&last=&other=x", "/v2/nginx/tags/list?n=7", Request{Kind: Tags, Path: "nginx", Paged: true, N: 7}},
	{"", "/v2/nginx/tags/list?n=2147483647", Request{Kind: Tags, Path: "nginx", Paged: true, N: 1<<31 - 1}},
	{"", "/v2/nginx/referrers/" + sha256, Request{Kind: Referrers, Path: "nginx", Digest: sha256}},
	{"", "/v2/nginx/referrers/" + sha256 + "?artifactType=application%2Fvnd.x%2Bjson", Request{Kind: Referrers, Path: "nginx", Digest: sha256, ArtifactType: "application/vnd.x+json"}},

	// A name may hold the words of endpoints: only the last ones count.
	{"", "/v2/a/manifests/b/manifests/x", Request{Kind: Manifest, Path: "a/manifests/b", Tag: "x"}},
	{"", "/v2/v2/blobs/" + sha256, Request{Kind: Blob, Path: "v2", Digest: sha256}},
	{"", "/v2/manifests/manifests/manifests", Request{Kind: Manifest, Path: "manifests", Tag: "manifests"}},
	{"", "/v2/tags/list/tags/list", Request{Kind: Tags, Path: "tags/list"}},
	{"", "/v2/tags/list/manifests/list", Request{Kind: Manifest, Path: "tags/list", Tag: "list"}},
	{"", "/v2/a/manifests/tags/list", Request{Kind: Tags, Path: "a/manifests"}},
	{"", "/v2/a/blobs/" + hex64 + "/blobs/" + sha256, Request{Kind: Blob, Path: "a/blobs/" + hex64, Digest: sha256}},
	{"", "/v2/blobs/referrers/" + sha256, Request{Kind: Referrers, Path: "blobs", Digest: sha256}},

	// Registries within the path, and beside it.
	{"", "/v2/ghcr.io/o/app/manifests/v1", Request{Kind: Manifest, Path: "ghcr.io/o/app", Tag: "v1"}},
	{"", "/v2/127.0.0.1:5000/app/manifests/v1", Request{Kind: Manifest, Path: "127.0.0.1:5000/app", Tag: "v1"}},
	{"/v2/app/manifests/v1?ns=127.0.0.1:5000", "/v2/app/manifests/v1?ns=127.0.0.1%3A5000", Request{Kind: Manifest, Path: "app", Tag: "v1", Namespace: "127.0.0.1:5000"}},
	{"", "/v2/app/manifests/v1?ns=Docker.IO", Request{Kind: Manifest, Path: "app", Tag: "v1", Namespace: "Docker.IO"}},
	{"/v2/app/manifests/v1?ns=[::1]:5000", "/v2/app/manifests/v1?ns=%5B%3A%3A1%5D%3A5000", Request{Kind: Manifest, Path: "app", Tag: "v1", Namespace: "[::1]:5000"}},

	// Parameters of other endpoints, and unknown ones, mean nothing.
	{"/v2/app/manifests/v1?n=x&n=y&last=-&artifactType=%20&q=1&q=2&NS=-", "/v2/app/manifests/v1", Request{Kind: Manifest, Path: "app", Tag: "v1"}},
	{"", "/v2/a__b.c-d---e/manifests/_", Request{Kind: Manifest, Path: "a__b.c-d---e", Tag: "_"}},
	{"", "/v2/app/manifests/sha256-" + hex64 + ".sig", Request{Kind: Manifest, Path: "app", Tag: "sha256-" + hex64 + ".sig"}},
	{"", "/v2/app/manifests/" + strings.Repeat("x", 128), Request{Kind: Manifest, Path: "app", Tag: strings.Repeat("x", 128)}},
	{"", "/v2/" + strings.Repeat("x", 255) + "/manifests/v1", Request{Kind: Manifest, Path: strings.Repeat("x", 255), Tag: "v1"}},
}

func TestParse(t *testing.T) {
	for _, c := range meant {
		spelt := c.spelt
		if spelt == "" {
			spelt = c.url
		}
		u, err := url.ParseRequestURI(spelt)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "HEAD"} {
			got, err := Parse(method, u)
			if err != nil || got != c.want {
				t.Errorf("%s %s = %+v, %v; want %+v", method, spelt, got, err, c.want)
			}
			if back := got.URL().String(); back != c.url {
				t.Errorf("%s prints back as %s, want %s", spelt, back, c.url)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		url    string
		status int
		code   string
	}{
		{"/", 404, "UNSUPPORTED"}, {"/v1/", 404, "UNSUPPORTED"}, {"/v22/", 404, "UNSUPPORTED"}, {"/V2/", 404, "UNSUPPORTED"},
		{"/v2/_catalog", 404, "UNSUPPORTED"}, {"/v2/x", 404, "UNSUPPORTED"}, {"/v2/x/y", 404, "UNSUPPORTED"},
		{"/v2/manifests/v1", 404, "UNSUPPORTED"}, {"/v2/tags/list", 404, "UNSUPPORTED"}, {"/v2/x/tags/lists", 404, "UNSUPPORTED"},
		{"/v2/x/blobs/uploads/1", 404, "UNSUPPORTED"}, {"/v2/x/_catalog", 404, "UNSUPPORTED"}, {"/v2/../etc/passwd", 404, "UNSUPPORTED"},
		{"/%76%32/x/manifests/v1", 404, "UNSUPPORTED"},

		{"/v2//manifests/v1", 400, "NAME_INVALID"}, {"/v2/x//manifests/v1", 400, "NAME_INVALID"}, {"/v2/x/manifests//v1", 400, "NAME_INVALID"},
		{"/v2//", 400, "NAME_INVALID"}, {"/v2/x/manifests/", 400, "NAME_INVALID"}, {"/v2/x/tags/list/", 400, "NAME_INVALID"}, {"/v2/x/blobs/uploads/", 400, "NAME_INVALID"},
		{"/v2/./manifests/v1", 400, "NAME_INVALID"}, {"/v2/x/../manifests/v1", 400, "NAME_INVALID"}, {"/v2/x/./manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x%2fy/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x%2Fy/manifests/v1", 400, "NAME_INVALID"}, {"/v2/%78/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x/manifests/%76%31", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1%00", 400, "NAME_INVALID"}, {"/v2/%2e%2e/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x/blobs/sha256%3A" + hex64, 400, "NAME_INVALID"}, {"/v2/\u00e4/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x\u2215y/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/X/manifests/v1", 400, "NAME_INVALID"}, {"/v2/Docker.io/x/manifests/v1", 400, "NAME_INVALID"}, {"/v2/-x/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x-/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x..y/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x___y/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x._y/manifests/v1", 400, "NAME_INVALID"}, {"/v2/_catalog/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x:y/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x:1/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x:/y/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x/y:1/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/x:123456/y/manifests/v1", 400, "NAME_INVALID"}, {"/v2/x:1:2/y/manifests/v1", 400, "NAME_INVALID"}, {"/v2/u@x/y/manifests/v1", 400, "NAME_INVALID"},
		{"/v2/" + strings.Repeat("x", 256) + "/manifests/v1", 400, "NAME_INVALID"}, {"/v2/" + strings.Repeat("x/", 20000) + "manifests/v1", 400, "NAME_INVALID"},
		{"/v2/X/manifests/sha256:bad", 400, "NAME_INVALID"},
		{"/v2/x/manifests/v1?x=" + strings.Repeat("a", 1023), 414, "UNSUPPORTED"}, {"http://" + strings.Repeat("a", 1021) + "/v2/x/manifests/v1", 414, "UNSUPPORTED"},
		{strings.Repeat("a", 1024) + "://x/v2/x/manifests/v1", 414, "UNSUPPORTED"}, {"http://user@x/v2/x/manifests/v1", 414, "UNSUPPORTED"},

		{"/v2/x/manifests/-v1", 400, "MANIFEST_INVALID"}, {"/v2/x/manifests/.v1", 400, "MANIFEST_INVALID"}, {"/v2/x/manifests/..", 400, "MANIFEST_INVALID"},
		{"/v2/x/manifests/v1@" + hex64, 400, "MANIFEST_INVALID"}, {"/v2/x/manifests/v1+1", 400, "MANIFEST_INVALID"}, {"/v2/x/manifests/v1~", 400, "MANIFEST_INVALID"},
		{"/v2/x/manifests/" + strings.Repeat("x", 129), 400, "MANIFEST_INVALID"},

		// What has a colon is never a tag.
		{"/v2/x/manifests/sha256:bad", 400, "DIGEST_INVALID"}, {"/v2/x/manifests/v1@" + sha256, 400, "DIGEST_INVALID"}, {"/v2/x/manifests/:", 400, "DIGEST_INVALID"},
		{"/v2/x/manifests/" + sha256[:70], 400, "DIGEST_INVALID"}, {"/v2/x/manifests/" + sha256 + "0", 400, "DIGEST_INVALID"}, {"/v2/x/manifests/" + strings.ToUpper(sha256), 400, "DIGEST_INVALID"},
		{"/v2/x/manifests/sha256:" + strings.ToUpper(hex64), 400, "DIGEST_INVALID"}, {"/v2/x/manifests/SHA256:" + hex64, 400, "DIGEST_INVALID"},
		{"/v2/x/manifests/sha512:" + hex64, 400, "DIGEST_INVALID"}, {"/v2/x/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"},
		{"/v2/x/manifests/sha384:" + hex64 + hex64[:32], 400, "DIGEST_INVALID"}, {"/v2/x/manifests/sha256+b64u:" + hex64, 400, "DIGEST_INVALID"},
		{"/v2/x/manifests/sha256:" + strings.Repeat("g", 64), 400, "DIGEST_INVALID"}, {"/v2/x/manifests/:" + hex64, 400, "DIGEST_INVALID"},
		{"/v2/x/blobs/uploads", 400, "DIGEST_INVALID"}, {"/v2/x/blobs/" + hex64, 400, "DIGEST_INVALID"}, {"/v2/x/blobs/..", 400, "DIGEST_INVALID"}, {"/v2/x/referrers/v1", 400, "DIGEST_INVALID"},

		{"/v2/x/manifests/v1?ns=", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=a.b&ns=a.b", 400, "UNSUPPORTED"},
		{"/v2/x/manifests/v1?ns=http://a.b", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=a.b/c", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=u@a.b", 400, "NAME_INVALID"},
		{"/v2/x/manifests/v1?ns=a.b%0d%0a", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=a_b.c", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=a.b:", 400, "NAME_INVALID"},
		{"/v2/x/manifests/v1?ns=[::1", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=[]", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=[fe80::1%25eth0]", 400, "NAME_INVALID"},
		{"/v2/x/manifests/v1?ns=" + strings.Repeat("a", 256), 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=%ff", 400, "NAME_INVALID"}, {"/v2/x/manifests/v1?ns=a.-b", 400, "NAME_INVALID"},
		{"/v2/?ns=", 400, "NAME_INVALID"},
		{"/v2/x/manifests/v1?%zz", 400, "UNSUPPORTED"}, {"/v2/x/manifests/v1?ns=%", 400, "UNSUPPORTED"}, {"/v2/x/manifests/v1?a=1;ns=a.b", 400, "UNSUPPORTED"},

		{"/v2/x/tags/list?n=", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=-1", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=%2B1", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=+1", 400, "UNSUPPORTED"},
		{"/v2/x/tags/list?n=1e3", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=0x1", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=1_0", 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=2147483648", 400, "UNSUPPORTED"},
		{"/v2/x/tags/list?n=" + strings.Repeat("9", 99), 400, "UNSUPPORTED"}, {"/v2/x/tags/list?n=1&n=1", 400, "UNSUPPORTED"},
		{"/v2/x/tags/list?last=-", 400, "MANIFEST_INVALID"}, {"/v2/x/tags/list?last=a/b", 400, "MANIFEST_INVALID"}, {"/v2/x/tags/list?last=a%00", 400, "MANIFEST_INVALID"},
		{"/v2/x/referrers/" + sha256 + "?artifactType=a%0ab", 400, "UNSUPPORTED"}, {"/v2/x/referrers/" + sha256 + "?artifactType=a+b", 400, "UNSUPPORTED"},
		{"/v2/x/referrers/" + sha256 + "?artifactType=" + strings.Repeat("a", 256), 400, "UNSUPPORTED"}, {"/v2/x/referrers/" + sha256 + "?artifactType=%C3%A4", 400, "UNSUPPORTED"},
	} {
		u, err := url.ParseRequestURI(c.url)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse("GET", u)
		var e *Error
		if !errors.As(err, &e) || e.Status != c.status || e.Code != c.code || r != (Request{}) {
			t.Errorf("%.100s = %+v, %#v; want %d %s", c.url, r, err, c.status, c.code)
		}
	}
}

// Nothing but GET and HEAD means anything.
func TestParseMethods(t *testing.T) {
	u := &url.URL{Path: "/v2/x/manifests/v1"}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get", "", "GET ", "PRI"} {
		_, err := Parse(method, u)
		var e *Error
		if !errors.As(err, &e) || e.Status != 405 || e.Code != "UNSUPPORTED" {
			t.Errorf("%q = %#v", method, err)
		}
	}
}

func TestKinds(t *testing.T) {
	var r Request
	if r.Kind != None || None.String() != "none" {
		t.Error("the zero request is some")
	}
	seen := map[string]bool{}
	for k := None; k <= Referrers; k++ {
		seen[k.String()] = true
	}
	if len(seen) != int(Referrers)+1 {
		t.Error("two kinds have one word", seen)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, url string }{
		{"tag", "/v2/docker.io/library/nginx/manifests/1.27-alpine"},
		{"digest", "/v2/library/nginx/manifests/" + sha256 + "?ns=docker.io"},
		{"tags", "/v2/library/nginx/tags/list?n=100&last=1.27"},
	} {
		u, err := url.ParseRequestURI(c.url)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("GET", u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The digest package would take no other digests either.
func TestDigests(t *testing.T) {
	for _, s := range []digest.Digest{sha256, sha512} {
		if err := s.Validate(); err != nil || !validDigest(s.String()) {
			t.Error(s, err)
		}
	}
}
