package remote

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
)

func TestFetch(t *testing.T) {
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		switch name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; name {
		case "good.json":
			w.Write([]byte("12345"))
		case "cut.json":
			w.Header().Set("Content-Length", "5")
			w.Write([]byte("123"))
		case "denied.json":
			w.WriteHeader(http.StatusUnauthorized)
		case "broken.json":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	base, err := url.Parse(s.URL + "/v2/127.0.0.1:5000/team/app/_trust/tuf/")
	if err != nil {
		t.Fatal(err)
	}
	h := HTTP{Base: base, Client: s.Client()}
	if data, err := h.Fetch(t.Context(), "targets/good.json", 5); string(data) != "12345" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if want := "/v2/127.0.0.1:5000/team/app/_trust/tuf/targets/good.json"; paths[0] != want {
		t.Errorf("asked %s, want %s", paths[0], want)
	}
	if _, err := h.Fetch(t.Context(), "gone.json", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("404: %v", err)
	}
	if _, err := h.Fetch(t.Context(), "good.json", 4); err == nil || trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("too large: %v", err)
	}
	for _, file := range []string{"cut.json", "denied.json", "broken.json"} {
		if data, err := h.Fetch(t.Context(), file, 5); err == nil || errors.Is(err, fs.ErrNotExist) || trust.ReasonOf(err) != trust.SourceUnreachable {
			t.Errorf("%s: %q, %v", file, data, err)
		}
	}
	s.Close()
	if _, err := h.Fetch(t.Context(), "good.json", 5); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("server gone: %v", err)
	}
}
