package upstreamtest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// ask sends one request to a handler over a real connection.
func ask(t *testing.T, h http.Handler, method, path string, header http.Header) (res *http.Response, body string, err error) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err = client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

func TestServe(t *testing.T) {
	r := &Registry{}
	image := r.PushImage("team/app", "1", "hello")
	r.PushManifest("team/app", "2", "a/b", []byte("no manifest"))
	index := r.PushIndex("team/app", "3", "hello")
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
		header       string
		value        string
	}{
		{"GET", "/v2/", 200, "{}", "Content-Type", "application/json"},
		{"GET", "/v2/team/app/manifests/1", 200, string(image.Manifest), "Docker-Content-Digest", image.Digest.String()},
		{"HEAD", "/v2/team/app/manifests/1", 200, "", "Content-Length", fmt.Sprint(len(image.Manifest))},
		{"GET", "/v2/team/app/manifests/" + image.Digest.String(), 200, string(image.Manifest), "Content-Type", v1.MediaTypeImageManifest},
		{"GET", "/v2/team/app/manifests/2", 200, "no manifest", "Content-Type", "a/b"},
		{"GET", "/v2/team/app/manifests/3", 200, string(index.Manifest), "Content-Type", v1.MediaTypeImageIndex},
		{"GET", "/v2/team/app/manifests/" + index.Platforms[1].Digest.String(), 200, string(index.Platforms[1].Manifest), "", ""},
		{"GET", "/v2/team/app/manifests/4", 404, "", "Content-Type", "application/json"},
		{"GET", "/v2/other/manifests/1", 404, "", "", ""},
		{"HEAD", "/v2/team/app/blobs/" + image.Config.String(), 200, "", "Docker-Content-Digest", image.Config.String()},
		{"GET", "/v2/team/app/blobs/" + image.Digest.String(), 404, "", "", ""},
		{"GET", "/v2/team/app/tags/list", 200, `{"name":"team/app","tags":["1","2","3"]}`, "Link", ""},
		{"GET", "/v2/team/app/tags/list?n=2", 200, `{"name":"team/app","tags":["1","2"]}`, "Link", `</v2/team/app/tags/list?last=2&n=2>; rel="next"`},
		{"GET", "/v2/team/app/tags/list?n=2&last=2", 200, `{"name":"team/app","tags":["3"]}`, "Link", ""},
		{"GET", "/v2/team/app/nonsense/1", 404, "", "", ""},
		{"GET", "/elsewhere", 404, "", "", ""},
		{"PUT", "/v2/team/app/manifests/1", 405, "", "", ""},
	} {
		res, body, err := ask(t, r, tt.method, tt.path, nil)
		if err != nil || res.StatusCode != tt.status || res.Header.Get(tt.header) != tt.value || tt.status == 200 && body != tt.body {
			t.Errorf("%s %s: %d %q %v %v", tt.method, tt.path, res.StatusCode, body, res.Header, err)
		}
	}
	res, body, err := ask(t, r, "GET", "/v2/team/app/blobs/"+image.Layer.String(), http.Header{"Range": {"bytes=0-8"}})
	if err != nil || res.StatusCode != 206 || body != "hello.txt" {
		t.Errorf("range: %d %q %v", res.StatusCode, body, err)
	}
	r.Delete("team/app", "1")
	r.Delete("team/app", image.Layer.String())
	for path, want := range map[string]int{"manifests/1": 404, "manifests/" + image.Digest.String(): 200, "blobs/" + image.Layer.String(): 404} {
		if res, _, _ := ask(t, r, "GET", "/v2/team/app/"+path, nil); res.StatusCode != want {
			t.Errorf("%s after Delete: %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestReferrers(t *testing.T) {
	r := &Registry{}
	image := r.PushImage("a", "", "hello")
	for _, config := range []string{"text/x", "text/y"} {
		r.PushManifest("a", "", v1.MediaTypeImageManifest, fmt.Appendf(nil, `{"config":{"mediaType":%q},"subject":{"digest":%q}}`, config, image.Digest))
	}
	for query, want := range map[string]int{"": 2, "?artifactType=text/x": 1, "?artifactType=text/z": 0} {
		res, body, err := ask(t, r, "GET", "/v2/a/referrers/"+image.Digest.String()+query, nil)
		var index v1.Index
		if err != nil || json.Unmarshal([]byte(body), &index) != nil || len(index.Manifests) != want {
			t.Errorf("%q: %s %v, want %d", query, body, err, want)
		}
		if got := res.Header.Get("OCI-Filters-Applied"); (got == "artifactType") != (query != "") {
			t.Errorf("%q: filters %q", query, got)
		}
	}
}

// Images can be pulled by real clients, and are the same each time.
func TestImages(t *testing.T) {
	r := &Registry{}
	image, again := r.PushImage("a", "1", "hello"), (&Registry{}).PushImage("b", "2", "hello")
	if image.Digest != again.Digest || image.Digest == r.PushImage("a", "1", "other").Digest {
		t.Error("the digest of an image does not follow from its text")
	}
	var config v1.Image
	if err := json.Unmarshal(r.repos["a"].blobs[image.Config], &config); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.RootFS.DiffIDs, []digest.Digest{image.Layer}) || config.Architecture != "amd64" {
		t.Errorf("config %+v", config)
	}
	files := tar.NewReader(bytes.NewReader(r.repos["a"].blobs[image.Layer]))
	h, err := files.Next()
	if err != nil || h.Name != "hello.txt" {
		t.Fatal(h, err)
	}
	if text, err := io.ReadAll(files); string(text) != "hello" || err != nil {
		t.Errorf("%q %v", text, err)
	}
}

func TestMemory(t *testing.T) {
	r := &Registry{}
	r.PushBlob("a", []byte("x"))
	for _, method := range []string{"GET", "HEAD", "GET"} {
		_, _, _ = ask(t, r, method, "/v2/?x=y", http.Header{"X-Test": {"z"}}) // what it answers is tested above
	}
	q := r.Requests()[0]
	if q.Method != "GET" || q.Path != "/v2/" || q.Query != "x=y" || q.Header.Get("X-Test") != "z" || q.Host == "" {
		t.Errorf("%+v", q)
	}
	for want, n := range map[int]int{2: r.Count("GET", ""), 3: r.Count("", "/v2/"), 1: r.Count("HEAD", "/v2/"), 0: r.Count("GET", "/v2")} {
		if n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
	}
	if r.Forget(); r.Count("", "") != 0 {
		t.Error("Forget forgot nothing")
	}
	req := httptest.NewRequestWithContext(t.Context(), "GET", "/v2/", nil)
	for range maxRequests + 1 {
		r.remember(req, "")
	}
	if n := r.Count("", ""); n != maxRequests {
		t.Errorf("%d requests are remembered", n)
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  Fault
		status int
		body   string
		broken bool
		header string
		value  string
	}{
		"none":          {Fault{}, 200, "hello", false, "Content-Length", "5"},
		"status":        {Fault{Status: 503}, 503, "", false, "", ""},
		"redirect":      {Fault{Redirect: "https://x/"}, 307, "", false, "Location", "https://x/"},
		"moved":         {Fault{Redirect: "https://x/", Status: 301}, 301, "", false, "Location", "https://x/"},
		"header":        {Fault{Header: http.Header{"content-type": {"a/b"}}}, 200, "hello", false, "Content-Type", "a/b"},
		"body":          {Fault{Body: []byte("x")}, 200, "x", false, "Content-Length", "1"},
		"last byte":     {Fault{CorruptLast: true}, 200, "helln", false, "", ""},
		"truncated":     {Fault{Truncate: 2}, 200, "hel", true, "Content-Length", "5"},
		"claims more":   {Fault{Length: 9}, 200, "hello", true, "Content-Length", "9"},
		"claims less":   {Fault{Length: 3}, 200, "hel", false, "Content-Length", "3"},
		"claims none":   {Fault{Length: -1}, 200, "hello", false, "Content-Length", ""},
		"truncates all": {Fault{Truncate: 99}, 200, "", true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Registry{}
			path := "/v2/a/blobs/" + r.PushBlob("a", []byte("hello")).String()
			r.Fail(path, tt.fault)
			res, body, err := ask(t, r, "GET", path, nil)
			if res.StatusCode != tt.status || !strings.HasPrefix(tt.body, body) || !tt.broken && body != tt.body || (err != nil) != tt.broken {
				t.Errorf("%d %q %v", res.StatusCode, body, err)
			}
			if res.Header.Get(tt.header) != tt.value {
				t.Errorf("%v", res.Header)
			}
			r.Heal()
			if res, body, err := ask(t, r, "GET", path, nil); res.StatusCode != 200 || body != "hello" || err != nil {
				t.Errorf("healed: %d %q %v", res.StatusCode, body, err)
			}
		})
	}
}

func TestFaultsAreCounted(t *testing.T) {
	r := &Registry{}
	r.Fail("/v2/", Fault{Status: 500, Times: 2})
	for _, want := range []int{500, 500, 200, 200} {
		if res, _, _ := ask(t, r, "GET", "/v2/", nil); res.StatusCode != want {
			t.Errorf("%d, want %d", res.StatusCode, want)
		}
	}
}

func TestStall(t *testing.T) {
	r := &Registry{}
	path := "/v2/a/blobs/" + r.PushBlob("a", []byte("hello")).String()
	release := make(chan struct{})
	r.Fail(path, Fault{Stall: release, StallAfter: 2})
	s := httptest.NewServer(r)
	defer s.Close()
	res, err := http.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	two := make([]byte, 2)
	if _, err := io.ReadFull(res.Body, two); string(two) != "he" || err != nil {
		t.Fatalf("%q %v", two, err)
	}
	close(release)
	if rest, err := io.ReadAll(res.Body); string(rest) != "llo" || err != nil {
		t.Errorf("%q %v", rest, err)
	}
	r.Fail(path, Fault{Stall: release}) // already over
	if _, body, err := ask(t, r, "GET", path, nil); body != "hello" || err != nil {
		t.Errorf("%q %v", body, err)
	}
}

func TestAuth(t *testing.T) {
	r := &Registry{}
	r.PushImage("a", "1", "hello")
	basic := http.Header{"Authorization": {"Basic dTpw"}} // u:p
	status := func(path string, h http.Header) int {
		t.Helper()
		res, _, _ := ask(t, r, "GET", path, h)
		return res.StatusCode
	}
	if got := status("/v2/", basic); got != 200 {
		t.Errorf("open to everybody: %d", got)
	}
	r.Require(Auth{Username: "u", Password: "p"})
	if got := status("/v2/", nil); got != 401 {
		t.Errorf("without a password: %d", got)
	}
	if got := status("/v2/", basic); got != 200 {
		t.Errorf("with the password: %d", got)
	}

	r.Require(Auth{Realm: "https://t/", Service: "s", Username: "u", Password: "p", Lifetime: 60})
	res, _, _ := ask(t, r, "GET", "/v2/a/manifests/1", basic)
	if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || !strings.HasPrefix(got, `Bearer realm="https://t/",service="s"`) {
		t.Errorf("%d %q", res.StatusCode, got)
	}
	for query, h := range map[string]http.Header{"?service=s": nil, "?service=x": basic} {
		if res, _, _ := ask(t, r.Tokens(), "GET", "/"+query, h); res.StatusCode != 401 {
			t.Errorf("token for %s: %d", query, res.StatusCode)
		}
	}
	_, body, _ := ask(t, r.Tokens(), "GET", "/?service=s&scope=repository:a:pull", basic)
	if body != `{"expires_in":60,"token":"token-1"}` {
		t.Fatalf("token %s", body)
	}
	bearer := http.Header{"Authorization": {"Bearer token-1"}}
	for path, want := range map[string]int{"/v2/": 200, "/v2/a/manifests/1": 200, "/v2/b/manifests/1": 401, "/v2/a/b/manifests/1": 404} {
		if got := status(path, bearer); got != want {
			t.Errorf("%s with a token: %d, want %d", path, got, want)
		}
	}
	r.Revoke()
	if got := status("/v2/", bearer); got != 401 {
		t.Errorf("with a revoked token: %d", got)
	}
}

func TestIdentityToken(t *testing.T) {
	r := &Registry{}
	r.Require(Auth{Realm: "https://t/", Service: "s", IdentityToken: "i", Username: "u"})
	s := httptest.NewServer(r.Tokens())
	defer s.Close()
	for form, want := range map[string]int{"service=s&refresh_token=i": 200, "service=s&refresh_token=j": 401, "service=s": 401} {
		res, err := http.Post(s.URL, "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", form, res.StatusCode, want)
		}
	}
	if form := r.Requests()[0].Form; !strings.HasPrefix(form, "service=s") {
		t.Errorf("form %q", form)
	}
}
