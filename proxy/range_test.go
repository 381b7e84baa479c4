package proxy

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// seeker gives bytes a Close, as content that is still arriving has one.
type seeker struct{ *bytes.Reader }

// Close implements io.Closer.
func (seeker) Close() error { return nil }

// part fails unless body is what the Content-Range header says it is of content. To the last 0 bytes, "bytes=-0", net/http
// answers with an empty part behind the end.
func part(t *testing.T, header string, body, content []byte) {
	t.Helper()
	var first, last, size int
	n, err := fmt.Sscanf(header, "bytes %d-%d/%d", &first, &last, &size)
	if n != 3 || err != nil || fmt.Sprintf("bytes %d-%d/%d", first, last, size) != header || size != len(content) || first < 0 || first > last+1 || last >= size {
		t.Fatalf("content range %q of %d bytes", header, len(content))
	}
	if !bytes.Equal(body, content[first:last+1]) {
		t.Errorf("content range %q holds other bytes", header)
	}
}

// FuzzRange: whatever ranges a client asks for, of content on disk or still arriving, it gets the whole, or the very bytes
// that the answer says it holds, and never more than a few times the whole.
func FuzzRange(f *testing.F) {
	for _, s := range []string{
		"", "bytes=0-0", "bytes=10-99", "bytes=-5", "bytes=990-", "bytes=1000-", "bytes=0-99999999999999999999", "bytes=5-1", "bytes=0-1,5-6", "bytes=0-,0-,0-",
		"bytes=-0", "bytes= 1 - 2 ", "items=0-1", "bytes=a-b", "bytes=1-2,", "bytes=--1", "bytes=-9223372036854775808", "bytes=\x00-1",
	} {
		f.Add(s, "", uint16(1000), false)
		f.Add(s, `"x"`, uint16(1), true)
	}
	h := &Handler{idle: idleLimit, o: Options{Log: zap.NewNop()}}
	f.Fuzz(func(t *testing.T, ranges, ifRange string, size uint16, complete bool) {
		content := noise("range", int(size))
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Range"] = []string{ranges}
		if ifRange != "" {
			r.Header["If-Range"] = []string{ifRange}
		}
		var from io.ReadSeekCloser = seeker{bytes.NewReader(content)}
		if complete {
			name := filepath.Join(t.TempDir(), "blob")
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			from = file
		}
		defer from.Close()
		w := httptest.NewRecorder()
		if err := h.send(w, r, digest.FromBytes(content), int64(size), from); err != nil {
			t.Fatal(err)
		}
		holds(t, w, content)
	})
}

// holds holds an answer to the content that it is of.
func holds(t *testing.T, w *httptest.ResponseRecorder, content []byte) {
	t.Helper()
	body := w.Body.Bytes()
	switch kind, params, _ := mime.ParseMediaType(w.Header().Get("Content-Type")); {
	case w.Code == http.StatusOK:
		if !bytes.Equal(body, content) {
			t.Errorf("200 with %d of %d bytes", len(body), len(content))
		}
	case w.Code == http.StatusRequestedRangeNotSatisfiable:
		if w.Header().Get("Docker-Content-Digest") == "" || len(body) > 100 {
			t.Errorf("416 with %d bytes", len(body))
		}
	case w.Code == http.StatusPartialContent && kind != "multipart/byteranges":
		part(t, w.Header().Get("Content-Range"), body, content)
	case w.Code == http.StatusPartialContent:
		total := 0
		for parts := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
			p, err := parts.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			part(t, p.Header.Get("Content-Range"), b, content)
			total += len(b)
		}
		if total > len(content) {
			t.Errorf("%d bytes of %d in parts", total, len(content))
		}
	default:
		t.Errorf("status %d", w.Code)
	}
}
