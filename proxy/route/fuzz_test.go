package route

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust/names"
)

// What parses prints back to the same meaning, and its parts are those that the rest of the program would take.
func FuzzParse(f *testing.F) {
	for _, c := range meant {
		f.Add(c.spelt)
		f.Add(c.url)
	}
	for _, s := range []string{
		"/v2/x%2fy/manifests/v1", "/v2/x//y/manifests/v1", "/v2/x/manifests/v1?ns=a.b&ns=c.d", "http://h/v2/x/manifests/v1", "//h/v2/x/tags/list?n=1;last=a",
		"/v2/x/tags/list?n=%31&last=%61", "/v2/a:1/b/tags/list", "*", "/v2/x/referrers/" + sha256 + "?artifactType=a%2fb",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		r, err := Parse("GET", u)
		if err != nil {
			if r != (Request{}) {
				t.Fatalf("%q: an error beside %+v", s, r)
			}
			return
		}
		if r.Kind == None {
			t.Fatalf("%q means nothing", s)
		}
		back, err := url.ParseRequestURI(r.URL().String())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse("HEAD", back); err != nil || again != r {
			t.Fatalf("%q = %+v, but %q = %+v, %v", s, r, back, again, err)
		}
		if r.Kind != Version && !strings.Contains(r.Path, ":") && len(r.Path) < 200 {
			if _, err := names.Repository("registry.example/" + r.Path); err != nil {
				t.Fatalf("%q is no name: %v", r.Path, err)
			}
		}
		if r.Tag != "" && names.Tag(r.Tag) != nil {
			t.Fatalf("%q is no tag", r.Tag)
		}
		if r.Kind != Version && r.Kind != Tags && (r.Tag == "") != (r.Digest.Validate() == nil) {
			t.Fatalf("%+v has no reference, or two", r)
		}
	})
}

// The grammars by hand and those of package names are the same, but for what the comments say.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{
		"a", "a.b", "a_b", "a__b", "a___b", "a-b", "a---b", "a.-b", "a/b", "a//b", "A", "_", "-", ".a", "a.", "a:1/b", "a.b:1/c", "a.b", "a.b:443", "A.b", "a-.b",
		"[::1]", "[::1]:1", "[::1", "a\x10b", "a\x1a", "\u212a", "a\n", strings.Repeat("a", 128), strings.Repeat("a", 129), "localhost", "a:123456",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := validTag(s), names.Tag(s) == nil; got != want {
			t.Errorf("tag %q: %v, names says %v", s, got, want)
		}
		// A port has at most five digits here, and names wants a host to look like one, also without the port of https.
		if _, err := names.Host(s); validHost(s) && names.LooksLikeHost(strings.TrimSuffix(s, ":443")) && err != nil {
			t.Errorf("host %q: %v", s, err)
		} else if !validHost(s) && err == nil && len(s) <= names.MaxLength && !longPort(s) {
			t.Errorf("host %q is taken by names only", s)
		}
		if len(s) > 200 {
			return
		}
		if _, err := names.Repository("registry.example/" + s); validComponents(s) != (err == nil) {
			t.Errorf("name %q: %v, names says %v", s, validComponents(s), err)
		}
		if _, err := names.Repository(s); err == nil && s == strings.ToLower(s) && !validPath(s) && s[0] != '[' && !longPort(s) {
			if host, _, _ := strings.Cut(s, "/"); !strings.Contains(host, "--") {
				t.Errorf("path %q is taken by names only", s)
			}
		}
	})
}

// longPort tells whether s may hold a port of more than five digits.
func longPort(s string) bool {
	_, port, _ := strings.Cut(s, ":")
	return len(port) > 5
}
