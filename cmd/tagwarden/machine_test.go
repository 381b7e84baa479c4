package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// A machine has a clock that somebody sets, and one that nobody can. A gateway of both formats runs on it.
type machine struct {
	mu   sync.Mutex
	time time.Time
	tick time.Duration

	began  time.Time
	file   string
	digest string
	tuf    *trusttest.TUF
	notary *trusttest.Notary
	down   atomic.Bool // the sources are

	door, desk string
	log        *bytes.Buffer // to be read after stop
	stop       func()
}

func (m *machine) wall() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.time
}

func (m *machine) ticks() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tick
}

// set sets the clock that can be set; pass lets time pass.
func (m *machine) set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.time = t
}

func (m *machine) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.time, m.tick = m.time.Add(d), m.tick+d
}

// newMachine signs one tag in either format, and configures a gateway that is not started yet.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{began: time.Now().Truncate(time.Second)}
	m.time = m.began
	var registry upstreamtest.Registry
	image := registry.PushImage("new", "1.0", "signed")
	registry.PushImage("old", "1.0", "signed")
	m.digest = image.Digest.String()
	m.tuf, m.notary = trusttest.NewTUF(m.began), trusttest.NewNotary(demoRegistry+"/old", m.began)
	m.tuf.Targets.Sign(demoRegistry+"/new:1.0", string(image.Manifest))
	m.notary.Targets.Sign("1.0", string(image.Manifest))
	m.tuf.Publish()
	m.notary.Publish()
	source := httptest.NewServer(http.HandlerFunc(m.serveFile))
	t.Cleanup(source.Close)
	upstream := httptest.NewServer(&registry)
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	m.file = filepath.Join(dir, "tagwarden.yaml")
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache}
audit: {file: audit.jsonl}
registries: {%[1]s: {url: %[2]q}}
default_registry: %[1]s
sources:
  site: {tuf: "%[3]s/tuf", root: root.json}
  docker: {notary: %[3]q, pins: {"%[1]s/**": {tofu: true}}}
rules: [{match: %[1]s/new, source: site}, {match: %[1]s/old, source: docker}]
`, demoRegistry, upstream.URL, source.URL)
	if err := errors.Join(os.WriteFile(m.file, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "root.json"), m.tuf.Files()["1.root.json"], 0o600)); err != nil {
		t.Fatal(err)
	}
	return m
}

// serveFile is both sources.
func (m *machine) serveFile(w http.ResponseWriter, r *http.Request) {
	if m.down.Load() {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fetch, file := m.tuf.Fetch, strings.TrimPrefix(r.URL.Path, "/tuf/")
	if name, ok := strings.CutPrefix(r.URL.Path, "/v2/"+demoRegistry+"/old/_trust/tuf/"); ok {
		fetch, file = m.notary.Fetch, name
	}
	data, err := fetch(r.Context(), file, 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data) // a client that left is no concern
}

// start starts the gateway.
func (m *machine) start(t *testing.T) {
	t.Helper()
	cfg, err := config.Load(m.file)
	if err != nil {
		t.Fatal(err)
	}
	m.log = new(bytes.Buffer)
	g := newGateway(m.file, newLog(m.log))
	g.wall, g.ticks = m.wall, m.ticks
	up := make(chan struct{})
	g.listening = func(door, desk net.Addr) {
		m.door, m.desk = "http://"+door.String(), "http://"+desk.String()
		close(up)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx, cfg, io.Discard) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { m.stop() })
	select {
	case <-up:
	case err := <-ended:
		t.Fatal(err)
	}
}

// get returns status, body and header of an answer.
func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

// pulls checks what becomes of the signed tag of a repository: it is served, or refused for a reason.
func (m *machine) pulls(t *testing.T, what, repository, reason string) {
	t.Helper()
	got, err := pullOnce(t.Context(), m.door+"/v2/"+repository+"/manifests/1.0")
	if got == m.digest {
		got = ""
	}
	if _, why, _ := strings.Cut(got, " "); why != reason {
		t.Errorf("%s, %s: %q, want %q (%v)", repository, what, got, reason, err)
	}
}
