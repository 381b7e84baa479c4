package proxy

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// One request upstream, however many clients.
func TestHerd(t *testing.T) {
	for _, kind := range []string{"blobs", "manifests"} {
		t.Run(kind, func(t *testing.T) {
			g := newGate(t)
			content, d, path := g.pushBlob(200 << 10)
			if kind == "manifests" {
				image := g.sign("team/app", "v1", "signed")
				content, d, path = image.Manifest, image.Digest, "/v2/corp/team/app/manifests/v1"
			}
			stall := make(chan struct{})
			g.registry.Fail("/v2/team/app/"+kind+"/"+d.String(), upstreamtest.Fault{Stall: stall, StallAfter: len(content) / 2})
			const herd = 64
			var done sync.WaitGroup
			for range herd {
				done.Go(func() {
					if a := g.get("GET", path); a.err != nil || a.status != 200 || !bytes.Equal(a.body, content) {
						t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
					}
				})
			}
			g.until("all are there", func() bool { return g.o.Cache.Stats().Misses >= herd })
			close(stall)
			done.Wait()
			if got := g.asked(); len(got) != 1 {
				t.Errorf("upstream was asked %d times", len(got))
			}
		})
	}
}

// A failure is shared by those who asked for the same: upstream is not asked by each of them.
func TestBlobHerdFails(t *testing.T) {
	g := newGate(t)
	_, d, path := g.pushBlob(1000)
	stall := make(chan struct{})
	g.registry.Fail(upstreamPath(d), upstreamtest.Fault{Stall: stall, Status: 404})
	const herd = 16
	var done sync.WaitGroup
	arrived := make(chan struct{}, 2*herd)
	g.o.Decider = arrivals{g.o.Decider, arrived}
	for range herd {
		done.Go(func() {
			if a := g.get("GET", path); a.status != 404 {
				t.Error(a.status)
			}
		})
	}
	for range herd {
		<-arrived
	}
	close(stall)
	done.Wait()
	// Who came to the cache too late began anew; nobody did so because of the failure of others.
	if got := g.asked(); len(got) > herd/2 {
		t.Errorf("upstream was asked %d times", len(got))
	}
}

// What is gone from the cache before it could be used is asked for again, a few times, and is no answer of the registry.
func TestGoneFromTheCache(t *testing.T) {
	for _, often := range []int{1, attempts} {
		g := newGate(t)
		_, d, _ := g.pushBlob(1000)
		calls := 0
		_, err := g.bring(t.Context(), d, g.blobOrigin("", "registry.example/team/app", d), func(b *cache.Blob) error {
			if calls++; calls <= often {
				return fmt.Errorf("%w: %w", cache.ErrGone, fs.ErrNotExist)
			}
			return nil
		})
		if (err != nil) != (often == attempts) || calls != min(often+1, attempts) {
			t.Errorf("%d calls, %v", calls, err)
		}
		if err != nil && (missing(err) || failure(err) != trust.StateUnavailable) {
			t.Errorf("it means %s", failure(err))
		}
	}
}

// arrivals is a Decider that tells who came by.
type arrivals struct {
	Decider
	c chan struct{}
}

func (a arrivals) Digest(id, repository string, d digest.Digest) trust.Decision {
	a.c <- struct{}{}
	return a.Decider.Digest(id, repository, d)
}

// What one repository does not have, or sends broken, is no answer for another.
func TestForeignFailure(t *testing.T) {
	for name, fault := range map[string]upstreamtest.Fault{
		"404": {Status: 404}, "500": {Status: 500}, "broken": {Body: []byte("broken")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"blobs", "manifests"} {
				g := newGate(t)
				image := g.sign("team/app", "v1", "signed")
				stall := make(chan struct{})
				fault.Stall = stall
				path := "/v2/evil/app/" + kind + "/" + image.Digest.String()
				g.registry.Fail(path, fault)
				evil := make(chan answer)
				go func() { evil <- g.get("GET", "/v2/corp"+strings.TrimPrefix(path, "/v2")) }()
				g.until("upstream is asked", func() bool { return g.registry.Count("", path) > 0 })
				misses := g.o.Cache.Stats().Misses
				good := make(chan answer)
				go func() { good <- g.get("GET", "/v2/corp/team/app/manifests/v1") }()
				g.until("another one waits", func() bool { return g.o.Cache.Stats().Misses > misses })
				close(stall)
				if a := <-good; a.status != 200 || !bytes.Equal(a.body, image.Manifest) {
					t.Errorf("%d %s", a.status, a.body)
				}
				<-evil
			}
		})
	}
}
