package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// crowds are attacks by many at once.
func crowds() []door {
	return []door{
		{21, "large manifests, many at once", "as many as come, they take little memory", manyManifests},
		{21, "large trust data, much at once", "as much as comes, it takes little memory", muchTrustData},
		{23, "streams of one connection", "one connection carries 128 requests at a time", streams},
		{29, "names that nobody signed, many at once", "they wait in a lane of their own, and hold up nobody who is signed", strangers},
	}
}

// mostMemory is what the gateway may have had at its peak, in bytes.
const mostMemory = 200 << 20

// frugal fails the test if the gateway ever had too much memory.
func (w *world) frugal(t *testing.T) {
	t.Helper()
	// PRODUCT: section 8, hostile metadata or manifests keep peak memory under 200 MiB.
	if peak := w.peak(); peak > mostMemory {
		t.Errorf("peak of %d MiB of memory, want at most %d", peak>>20, mostMemory>>20)
	}
}

func manyManifests(t *testing.T) {
	w := newWorld(t, settings{before: func(w *world) {
		w.url = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { endless(rw, `{"layers":[],"x":`) }))
	}})
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() { w.expect(t, "502 upstream_invalid", manifest(digest.FromString(fmt.Sprint(i)))) })
	}
	all.Wait()
	w.frugal(t)
}

func muchTrustData(t *testing.T) {
	w := newWorld(t, settings{})
	w.site.fail(func(rw http.ResponseWriter, _, file string) bool {
		large := strings.HasPrefix(file, "targets.")
		if large {
			endless(rw, `{"signed":{`)
		}
		return large
	})
	var all sync.WaitGroup
	for i := range 16 {
		n := w.repository(fmt.Sprintf("r.example/cold/x%d", i))
		n.Snapshot.Edit = func(signed map[string]any) {
			signed["meta"].(map[string]any)["targets"].(map[string]any)["length"] = 16 << 20
		}
		w.site.publish(n)
		all.Go(func() { w.expect(t, "403 metadata_invalid", "/v2/"+n.GUN+"/manifests/v1") })
	}
	all.Wait()
	w.frugal(t)
}

func streams(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, settings{top: fmt.Sprintf("tls: {cert: %s, key: %s}",
		write(t, "tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))),
		write(t, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))))})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.up.Fail("/v2/app/blobs/"+w.good.Layer.String(), upstreamtest.Fault{Stall: release, StallAfter: 1})
	var dials atomic.Int32
	c := http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	t.Cleanup(c.CloseIdleConnections)
	ask := func(target string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.addr+target, nil)
		if err != nil {
			return nil, err
		}
		return c.Do(req)
	}
	get := func(target string, want int) {
		res, err := ask(target)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.ProtoMajor != 2 || res.StatusCode != want {
			t.Errorf("%s: %d by %s, %v; want %d", target, res.StatusCode, res.Proto, err, want)
		}
	}
	// HTTP: RFC 9113 5.1.2, a client that has as many streams as it may begins another connection.
	get(manifest("v1"), http.StatusOK)
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			if res, err := ask(blob(w.good.Layer)); err == nil {
				res.Body.Close()
			}
		})
	}
	t.Cleanup(all.Wait)
	eventually(t, "300 requests take more than one connection", func() bool { return dials.Load() > 1 })
	get(manifest("v1"), http.StatusOK)
	get(manifest("latest"), http.StatusForbidden)
}

func strangers(t *testing.T) {
	w := newWorld(t, settings{source: "    refresh: 500ms"})
	w.expect(t, "200", manifest("v1"))
	hung := make(chan struct{})
	w.site.fail(func(_ http.ResponseWriter, gun, _ string) bool {
		cold := strings.HasPrefix(gun, "r.example/cold/")
		if cold {
			<-hung
		}
		return cold
	})
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v2/r.example/cold/x%d/manifests/v1", w.addr, i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := w.client.Do(req); err == nil {
				res.Body.Close()
			}
		})
	}
	// PRODUCT: section 4, names never seen before use their own lane: what is signed is checked and served as ever.
	asked := func() (n int) {
		for _, path := range w.site.requests() {
			if strings.Contains(path, "/cold/") {
				n++
			}
		}
		return n
	}
	total := 0
	eventually(t, "the lane is full", func() bool { total += asked(); return total >= 16 })
	w.sign(w.app, "fresh", w.good)
	w.app.Next(w.app.Delegations[0])
	w.site.publish(w.app)
	began := time.Now()
	eventually(t, "a fresh signature pulls", func() bool { return w.get(t, manifest("fresh")).status == http.StatusOK })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a fresh signature pulls after %v", took)
	}
	if total += asked(); total > 16 {
		t.Errorf("%d strangers are asked for at once, want at most 16", total)
	}
	leave()
	close(hung)
	all.Wait()
	w.site.fail(nil)
}
