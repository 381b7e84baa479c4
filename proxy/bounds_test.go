package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// PRODUCT: invariant 9, one client does not take what is there for all.
func TestOneClientDoesNotTakeEverything(t *testing.T) {
	g := newGate(t)
	g.sign("team/app", "v1", "signed")
	g.Handler.mu.Lock()
	g.clients["127.0.0.1"] = maxPerClient
	g.Handler.mu.Unlock()
	if a := g.get("GET", "/v2/corp/team/app/manifests/v1"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	g.Handler.mu.Lock()
	g.clients["127.0.0.1"]--
	g.Handler.mu.Unlock()
	if a := g.get("GET", "/v2/corp/team/app/manifests/v1"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	g.until("the request is counted out", func() bool {
		g.Handler.mu.Lock()
		defer g.Handler.mu.Unlock()
		return g.clients["127.0.0.1"] == maxPerClient-1
	})
}

// PRODUCT: invariant 9, questions that go on without their clients are few, and those of one registry are not another's.
func TestQuestionsAreBounded(t *testing.T) {
	g := newGate(t)
	g.registry.PushImage("exempt/app", "v1", "any")
	for range maxPending {
		g.pending["registry.example"] <- struct{}{}
	}
	if a := g.get("GET", "/v2/corp/exempt/app/manifests/v1"); a.status != 502 || !strings.Contains(string(a.body), "too many questions") {
		t.Errorf("%d %s", a.status, a.body)
	}
	<-g.pending["registry.example"]
	if a := g.get("GET", "/v2/corp/exempt/app/manifests/v1"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A large manifest leaves as it is, and a client that takes its time holds no memory for it.
func TestLargeManifest(t *testing.T) {
	g := newGate(t)
	body := `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[],"annotations":{"x":"` + strings.Repeat("y", 3<<20) + `"}}`
	image := g.registry.PushManifest("free/app", "", ociIndex, []byte(body))
	for _, when := range []string{"cold", "warm"} {
		for _, method := range []string{"GET", "HEAD"} {
			a := g.get(method, "/v2/corp/free/app/manifests/"+image.String())
			if a.status != 200 || a.header.Get("Content-Length") != fmt.Sprint(len(body)) || a.header.Get("Content-Type") != ociIndex || method == "GET" && string(a.body) != body {
				t.Errorf("%s %s: %d, %d bytes, %v", when, method, a.status, len(a.body), a.header)
			}
			if !g.large.TryAcquire(maxLarge) {
				t.Errorf("%s %s: memory is still held", when, method)
			} else {
				g.large.Release(maxLarge)
			}
		}
		g.kept(image)
	}
}

// PRODUCT: section 2, on_full: refuse, holds for answers whose decision comes later, too.
func TestAuditModeRefusesWhenNothingCanBeRecorded(t *testing.T) {
	full := errors.New("audit log takes no more lines")
	var beside sync.WaitGroup
	g := newGate(t, func(o *Options) { o.Recordable = func() error { return full }; o.Go = beside.Go })
	g.signed.wait = make(chan struct{})
	g.sign("watched/app", "v1", "now")
	if a := g.get("GET", "/v2/corp/watched/app/manifests/v1"); a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
	close(g.signed.wait)
	beside.Wait()
	full = nil
	if a := g.get("GET", "/v2/corp/watched/app/manifests/v1"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	beside.Wait()
	if n := len(g.recorded()); n != 1 {
		t.Errorf("%d records", n)
	}
}

// HTTP: RFC 9112 6.3, a client of 1.0 cannot tell an answer without a length that was cut from a whole one.
func TestOldClientGetsNothingThatWasCut(t *testing.T) {
	g := newGate(t)
	_, d, path := g.pushBlob(1 << 20)
	g.registry.Fail(upstreamPath(d), upstreamtest.Fault{CorruptLast: true, Length: -1})
	answer := g.raw("GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n")
	if _, body, _ := strings.Cut(answer, "\r\n\r\n"); strings.HasPrefix(answer, "HTTP/1.0 200") && len(body) > 0 {
		t.Errorf("%d bytes of a blob that is not right", len(body))
	}
}
