package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

func TestPrefetchPlatforms(t *testing.T) {
	for _, c := range []struct {
		platforms []string
		want      []int
	}{
		{nil, []int{0, 1}}, {[]string{"linux/arm64/v8"}, []int{1}}, {[]string{"linux/amd64"}, []int{0}}, {[]string{"windows/amd64"}, nil},
	} {
		s := newScout(t)
		s.index("old")
		s.get("GET", aheadTag)
		image := s.index("new")
		// As after a reload: the tag was served by another Handler.
		o := s.o
		o.Platforms = c.platforms
		s.stop()
		s.Handler = New(o)
		s.begin()
		all := image
		all.Platforms = nil
		for _, i := range c.want {
			all.Platforms = append(all.Platforms, image.Platforms[i])
		}
		got := s.change("notary")
		slices.Sort(got)
		equal(t, fmt.Sprint(c.platforms), got, pathsOf("ahead/app", all)...)
	}
}

// PRODUCT: invariant 9. What is beyond a bound is not fetched in part, and said once.
func TestPrefetchBounds(t *testing.T) {
	descriptor := func(d digest.Digest, size int) string { return fmt.Sprintf(`{"digest":%q,"size":%d}`, d, size) }
	image := func(s *scout, layers ...string) string {
		config := s.registry.PushBlob("ahead/app", []byte("{}"))
		return fmt.Sprintf(`{"mediaType":%q,"config":%s,"layers":[%s]}`, ociManifest, descriptor(config, 2), strings.Join(layers, ","))
	}
	blobs := func(s *scout, n int) (all []string) {
		for i := range n {
			all = append(all, descriptor(s.registry.PushBlob("ahead/app", fmt.Append(nil, i)), len(fmt.Append(nil, i))))
		}
		return all
	}
	index := func(s *scout, children ...string) string {
		var all []string
		for _, c := range children {
			mediaType := ociManifest
			if strings.Contains(c, `"manifests"`) {
				mediaType = ociIndex
			}
			all = append(all, descriptor(s.registry.PushManifest("ahead/app", "", mediaType, []byte(c)), len(c)))
		}
		return fmt.Sprintf(`{"mediaType":%q,"manifests":[%s]}`, ociIndex, strings.Join(all, ","))
	}
	images := func(s *scout, n int) (all []string) {
		for _, b := range blobs(s, n) {
			all = append(all, image(s, b))
		}
		return all
	}
	for name, c := range map[string]struct {
		body func(s *scout) string
		want string // "": it is fetched
	}{
		"most layers":       {func(s *scout) string { return image(s, blobs(s, maxLayers)...) }, ""},
		"too many layers":   {func(s *scout) string { return image(s, blobs(s, maxLayers+1)...) }, "more than 256 layers"},
		"most children":     {func(s *scout) string { return index(s, images(s, maxChildren)...) }, ""},
		"too many children": {func(s *scout) string { return index(s, images(s, maxChildren+1)...) }, "more than 64 manifests"},
		"an index in one":   {func(s *scout) string { return index(s, index(s, images(s, 1)...)) }, ""},
		"deeper":            {func(s *scout) string { return index(s, index(s, index(s, images(s, 1)...))) }, "within more than 2 indexes"},
		"too large":         {func(s *scout) string { return image(s, descriptor(digest.FromString("x"), 1<<20)) }, "larger than a quarter of the cache"},
		"too large in all": {func(s *scout) string {
			return image(s, descriptor(digest.FromString("x"), 1<<19), descriptor(digest.FromString("y"), 1<<19))
		}, "larger than a quarter of the cache"},
		"another size": {func(s *scout) string { return image(s, descriptor(s.registry.PushBlob("ahead/app", []byte("abc")), 2)) }, "more than the 2 bytes"},
		"another size, and it is there": {func(s *scout) string {
			b := s.registry.PushBlob("ahead/app", []byte("abc"))
			s.get("GET", strings.Replace(aheadTag, "manifests/v1", "blobs/"+b.String(), 1))
			return image(s, descriptor(b, 2))
		}, "its manifest says 2"},
		"a manifest of another size": {func(s *scout) string {
			return strings.Replace(index(s, images(s, 1)...), `"size":`, `"size":1`, 1)
		}, "are said of it"},
		"manifests without size": {func(s *scout) string {
			var all []string
			for i := range 8 { // twice what one image may have
				pad := fmt.Sprintf(`{"mediaType":%q,"config":%s,"layers":[],"annotations":{"pad":%q}}`, ociManifest,
					descriptor(digest.FromString("x"), 2), fmt.Sprint(i)+strings.Repeat("x", 1<<18))
				all = append(all, descriptor(s.registry.PushManifest("ahead/app", "", ociManifest, []byte(pad)), 0))
			}
			return fmt.Sprintf(`{"mediaType":%q,"manifests":[%s]}`, ociIndex, strings.Join(all, ","))
		}, "are said of it"},
		"no digest": {func(s *scout) string { return image(s, `{"digest":"sha256:../..","size":1}`) }, "which nothing has"},
		"foreign": {func(s *scout) string {
			return image(s, `{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"`+digest.FromString("x").String()+`","size":7}`)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScout(t, func(o *Options) { o.CacheSize = 4 << 20 })
			s.index("old")
			s.get("GET", aheadTag)
			body := c.body(s)
			mediaType := ociManifest
			if strings.Contains(body, `"manifests"`) {
				mediaType = ociIndex
			}
			s.pushRaw(mediaType, body)
			got := s.change("notary")
			text := ""
			s.mu.Lock()
			for _, e := range s.events {
				if e.Kind == PrefetchFailed {
					text += e.Err.Error()
				}
			}
			s.mu.Unlock()
			if (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("failed with %q, want %q", text, c.want)
			}
			fetched := slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, "/blobs/") })
			if fetched != (c.want == "" || strings.HasPrefix(name, "another size")) {
				t.Errorf("blobs are fetched: %v", fetched)
			}
		})
	}
}

// PRODUCT: invariant 3. Wrong bytes are a security event whoever they were for, and the failure is nobody else's.
func TestPrefetchWrongBytes(t *testing.T) {
	s := newScout(t, func(o *Options) {
		store, err := cache.Open(cache.Options{Dir: t.TempDir(), Backoff: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close(context.Background()) })
		o.Cache = store
	})
	s.index("old")
	s.get("GET", aheadTag)
	image := s.index("new")
	layer := image.Platforms[0].Layer.String()
	s.registry.Fail("/v2/ahead/app/blobs/"+layer, upstreamtest.Fault{CorruptLast: true, Times: 1})
	s.observed()
	s.change("notary")
	equal(t, "events", s.observed(), UpstreamInvalid, PrefetchFailed)
	if a := s.get("GET", "/v2/corp/ahead/app/blobs/"+layer); a.status != 200 {
		t.Errorf("a client is refused what failed for nobody: %d", a.status)
	}
}

// pushRaw pushes a manifest and signs it as registry.example/ahead/app:v1.
func (s *scout) pushRaw(mediaType, body string) digest.Digest {
	d := s.registry.PushManifest("ahead/app", "", mediaType, []byte(body))
	s.signed.sign("registry.example/ahead/app", "v1", trust.Target{Digest: d})
	return d
}

// Every hour all tags in use are looked at, whatever has been heard of.
func TestPrefetchLooks(t *testing.T) {
	s := newScout(t)
	s.index("old")
	s.get("GET", aheadTag)
	s.index("new")
	s.asked()
	<-s.idle
	s.later(lookEvery)
	s.timer <- time.Time{}
	s.settle()
	if len(s.asked()) == 0 {
		t.Error("nothing was fetched")
	}
}

// PRODUCT: invariant 1. What is not all that was signed is no more fetched than it would be served.
func TestPrefetchJudges(t *testing.T) {
	s := newScout(t)
	s.index("old")
	s.get("GET", aheadTag)
	i := s.registry.PushImage("ahead/app", "v1", "new")
	s.signed.sign("registry.example/ahead/app", "v1", trust.Target{Digest: i.Digest, Size: 7, Exact: true})
	s.observed()
	equal(t, "asked", s.change("notary"), "GET /v2/ahead/app/manifests/"+i.Digest.String())
	equal(t, "events", s.observed(), PrefetchFailed)
}

// without is a Decider whose rules have no prefetch.
type without struct{ Decider }

func (w without) Decide(ctx context.Context, id string, n trust.Name) trust.Decision {
	d := w.Decider.Decide(ctx, id, n)
	d.Prefetch = false
	return d
}

// PRODUCT: invariant 7. What has moved is told by the data in hand, for which nobody waits; what is refused, or not in use
// any more, has not.
func TestPrefetchMoved(t *testing.T) {
	s := newScout(t)
	n := trust.Name{Repository: "registry.example/ahead/app", Tag: "v1"}
	s.index("old")
	if _, ok := s.p.moved(t.Context(), s.Handler, n); ok || s.p.take(n) {
		t.Error("a tag that nobody has used")
	}
	s.get("GET", aheadTag)
	s.index("new")
	if d, ok := s.p.moved(t.Context(), s.Handler, n); !ok || d.Name != n {
		t.Errorf("a tag that moves: %v", d)
	}
	delete(s.signed.targets, n)
	if _, ok := s.p.moved(t.Context(), s.Handler, n); ok {
		t.Error("a tag that is not signed any more")
	}
	s.index("new")
	s.signed.wait = make(chan struct{})
	defer close(s.signed.wait)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, ok := s.p.moved(ctx, s.Handler, n); ok || ctx.Err() != nil {
		t.Errorf("a source that does not answer is waited for: %v", ctx.Err())
	}
}
