package remote

import (
	"errors"
	"io"
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
		case "forbidden.json":
			w.WriteHeader(http.StatusForbidden)
		case "removed.json":
			w.WriteHeader(http.StatusGone)
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
	for _, file := range []string{"gone.json", "removed.json"} {
		if _, err := h.Fetch(t.Context(), file, 5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := h.Fetch(t.Context(), "forbidden.json", 5); !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("403: %v", err)
	}
	// What is escaped in a name is escaped in the URL, once.
	paths = nil
	h.Fetch(t.Context(), "1.a%2Fb%3F.json", 5)
	if want := "/v2/127.0.0.1:5000/team/app/_trust/tuf/1.a%2Fb%3F.json"; len(paths) != 1 || paths[0] != want {
		t.Errorf("asked %v, want %s", paths, want)
	}
	if _, err := h.Fetch(t.Context(), "%", 5); err == nil {
		t.Error("a name that is not escaped well was asked for")
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

func TestPut(t *testing.T) {
	got := make(map[string]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPut {
			t.Errorf("%s: %v", r.Method, err)
		}
		got[r.URL.Path] = string(body)
		switch r.URL.Path {
		case "/tuf/site/1.taken.json":
			http.Error(w, `{"errors":[{"message":"alice v1 is published already"}]}`, http.StatusConflict)
		case "/tuf/site/1.bad.json":
			http.Error(w, "{\"message\":\"alice v1: one\\nline \\u001b[0m of many\"}", http.StatusForbidden)
		case "/tuf/site/1.mute.json":
			http.Error(w, "<html>", http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	}))
	defer s.Close()
	base, err := url.Parse(s.URL + "/tuf/site")
	if err != nil {
		t.Fatal(err)
	}
	h := HTTP{Base: base, Client: s.Client()}
	if err := h.Put(t.Context(), "1.alice.json", []byte("{}")); err != nil || got["/tuf/site/1.alice.json"] != "{}" {
		t.Errorf("%v, %v", got, err)
	}
	for file, want := range map[string]string{
		"1.taken.json": `answers 409: "alice v1 is published already"`, "1.bad.json": `answers 403: "alice v1: one"`, "1.mute.json": "answers 502",
	} {
		err := h.Put(t.Context(), file, []byte("{}"))
		if err == nil || !strings.HasSuffix(err.Error(), want) || errors.Is(err, ErrConflict) != (file == "1.taken.json") {
			t.Errorf("%s: %v", file, err)
		}
	}
	s.Close()
	if err := h.Put(t.Context(), "1.alice.json", nil); err == nil {
		t.Error("nobody was there, and no error")
	}
}
