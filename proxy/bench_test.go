package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// discard is a ResponseWriter that keeps nothing but its header.
type discard struct{ header http.Header }

func (d discard) Header() http.Header              { return d.header }
func (d discard) Write(p []byte) (int, error)      { return len(p), nil }
func (d discard) WriteHeader(int)                  {}
func (d discard) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkServeHTTP(b *testing.B) {
	g := newGate(b, func(o *Options) {
		o.Record = func(Record) error { return nil }
		o.Observe = func(Event) {}
	})
	image := g.sign("team/app", "v1", "signed")
	for _, c := range []struct{ name, path string }{
		{"tag", "/v2/corp/team/app/manifests/v1"},
		{"digest", "/v2/corp/team/app/manifests/" + image.Digest.String()},
		{"refused", "/v2/corp/team/app/manifests/v2"},
		{"blob", "/v2/corp/team/app/blobs/" + image.Layer.String()},
		{"version", "/v2/"},
	} {
		b.Run(c.name, func(b *testing.B) {
			g.get("GET", c.path)
			g.kept(image.Digest)
			r := httptest.NewRequest("GET", c.path, nil)
			r.Host = "127.0.0.1:5000"
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				g.ServeHTTP(w, r)
			}
		})
	}
}
