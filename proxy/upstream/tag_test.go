package upstream

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// OCI: end-3
func TestResolve(t *testing.T) {
	reg := &upstreamtest.Registry{}
	image := reg.PushImage("team/app", "1", "hello")
	r, _ := behind(t, reg)
	if d, err := r.Resolve(t.Context(), repo, "1"); d != image.Digest || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	if asked := reg.Requests(); len(asked) != 1 || asked[0].Method != "HEAD" {
		t.Errorf("asked %v, want one HEAD", asked)
	}
	if _, err := r.Resolve(t.Context(), repo, "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tag that is not there: %v", err)
	}
	reg.Forget()
	for _, tag := range []string{"", "a/b", "../x", "a?b", "sha256:abc", "a%2fb"} {
		if _, err := r.Resolve(t.Context(), repo, tag); err == nil {
			t.Errorf("tag %q was asked for", tag)
		}
	}
	if n := len(reg.Requests()); n != 0 {
		t.Errorf("%d requests for what is no tag", n)
	}
}

// TestResolveWithoutHeader: a registry that does not say the digest is asked for the manifest.
func TestResolveWithoutHeader(t *testing.T) {
	header := ""
	r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if header != "" {
			w.Header().Set("Docker-Content-Digest", header)
		}
		fmt.Fprint(w, "{}")
	}))
	if d, err := r.Resolve(t.Context(), repo, "1"); d != digest.FromString("{}") || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	for _, header = range []string{"md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:short", "sha384:" + strings.Repeat("a", 96), "latest"} {
		if d, err := r.Resolve(t.Context(), repo, "1"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %s, %v", header, d, err)
		}
	}
}

// OCI: end-8b
func TestTags(t *testing.T) {
	var asked []string
	r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.URL.RawQuery)
		w.Header().Set("Link", `<http://169.254.169.254/>; rel="next"`)
		switch len(asked) {
		case 1:
			fmt.Fprint(w, `{"name":"x","tags":["b","a","not/a tag"]}`)
		case 2:
			fmt.Fprint(w, `{"tags":["c"]}`)
		default:
			fmt.Fprint(w, `{"tags":null}`)
		}
	}))
	tags, err := r.Tags(t.Context(), repo)
	if !slices.Equal(tags, []string{"b", "a", "c"}) || err != nil {
		t.Errorf("%v, %v", tags, err)
	}
	if want := []string{"n=10000", "last=a&n=10000", "last=c&n=10000"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

// TestTagsEnd: a registry that comes to no end is not listened to for ever, nor remembered.
func TestTagsEnd(t *testing.T) {
	n := 0
	r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Link", `<x>; rel="next"`)
		fmt.Fprintf(w, `{"tags":["a%d"]}`, n)
	}))
	if tags, err := r.Tags(t.Context(), repo); len(tags) != maxPages || n != maxPages || err != nil {
		t.Errorf("%d tags from %d pages, %v", len(tags), n, err)
	}
	for name, page := range map[string]string{
		"in circles": `{"tags":["a"]}`, "too many": `{"tags":[` + strings.Repeat(`"a",`, maxTags) + `"b"]}`,
	} {
		r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<x>; rel="next"`)
			fmt.Fprint(w, page)
		}))
		if tags, err := r.Tags(t.Context(), repo); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %d tags, %v", name, len(tags), err)
		}
	}
}

func TestTagsBroken(t *testing.T) {
	for body, want := range map[string]error{"<html>": fs.ErrInvalid, `{"tags":"a"}`: fs.ErrInvalid} {
		r, _ := behind(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		if tags, err := r.Tags(t.Context(), repo); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", body, tags, err)
		}
	}
	r, _ := behind(t, &upstreamtest.Registry{})
	if _, err := r.Tags(t.Context(), repo); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a repository that is not there: %v", err)
	}
}
