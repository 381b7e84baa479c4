package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"go.uber.org/zap"
)

// A gate is a Handler with all that is around it, real but for the clock and the signatures: an Authority, a cache on disk,
// registries over HTTP, and a server to ask.
type gate struct {
	*Handler
	t        testing.TB
	signed   *signatures
	registry *upstreamtest.Registry
	server   *httptest.Server

	mu      sync.Mutex
	records []Record
	events  []Event
	full    error // what Record returns
	now     time.Time

	// Of rules that let tags mean what the registry says.
	ttl, stale time.Duration
	end        time.Time
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newGate returns a gate that knows registry.example, whose path is corp, other.example and docker.io, all of which are
// one registry. Team and library need signatures, bad is denied, watched is audited, exempt is, ahead is
// fetched ahead, and the rest has no rule.
func newGate(t testing.TB, change ...func(*Options)) *gate {
	t.Helper()
	g := &gate{
		t: t, registry: new(upstreamtest.Registry), now: start,
		signed: &signatures{targets: map[trust.Name]trust.Target{}, errs: map[string]error{}, checked: start.Add(-9 * time.Second)},
	}
	store, err := cache.Open(cache.Options{Dir: t.TempDir(), Backoff: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := Options{
		Decider: g.authority(), Cache: store, NewID: func() string { return "ID" }, Now: g.clock, Log: zap.NewNop(),
		Names: Names{
			Hosts:      []string{"images.corp:5000"},
			Registries: map[string]string{"registry.example": "corp", "other.example": "", "docker.io": ""}, Default: "docker.io",
		},
		Record: func(r Record) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.records = append(g.records, r)
			return g.full
		},
		Observe: func(e Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, e)
		},
	}
	o.Upstream = g.registries(o.Names)
	for _, c := range change {
		c(&o)
	}
	g.Handler = New(o)
	g.server = httptest.NewUnstartedServer(nil)
	g.server.Config = Server(g.Handler, zap.NewNop())
	g.server.Start()
	t.Cleanup(g.server.Close)
	return g
}

func (g *gate) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gate) authority() *trust.Authority {
	g.t.Helper()
	rule := func(match string, mode trust.Mode) trust.Rule {
		m, err := names.ParseMatch(match)
		if err != nil {
			g.t.Fatal(err)
		}
		r := trust.Rule{Name: match, Match: m, Mode: mode, Source: "notary", TagTTL: g.ttl, StaleIfError: g.stale, Prefetch: strings.Contains(match, "/ahead/")}
		if mode == trust.Audit || mode == trust.Exempt {
			r.Until = g.end
		}
		return r
	}
	a, err := trust.NewAuthority(trust.Policy{
		Rules: []trust.Rule{
			rule("registry.example/team/**", trust.Enforce), rule("docker.io/library/*", trust.Enforce), rule("registry.example/bad/**", trust.Refuse),
			rule("registry.example/watched/**", trust.Audit), rule("registry.example/exempt/**", trust.Exempt), rule("docker.io/ahead/**", trust.Enforce),
			rule("registry.example/ahead/**", trust.Enforce), rule("other.example/ahead/**", trust.Enforce),
		},
		Sources: map[string]trust.SourcePolicy{"notary": {Resolver: g.signed, Refresh: time.Minute, MaxStale: time.Hour, SignWith: "docker trust sign"}},
		Now:     g.clock,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// registries returns the real client of g.registry, under all names.
func (g *gate) registries(n Names) Upstream {
	g.t.Helper()
	s := httptest.NewServer(g.registry)
	g.t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		g.t.Fatal(err)
	}
	var all []*upstream.Registry
	for name := range n.Registries {
		c, err := upstream.NewClient(upstream.Options{Name: name, URL: u})
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, upstream.NewRegistry(name, c))
	}
	return upstream.NewRegistries(all...)
}

// sign pushes an image and signs it as registry.example/REPOSITORY:TAG.
func (g *gate) sign(repository, tag, text string) upstreamtest.Image {
	i := g.registry.PushImage(repository, tag, text)
	g.signed.sign("registry.example/"+repository, tag, trust.Target{Digest: i.Digest, Size: int64(len(i.Manifest))})
	return i
}

// An answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the body ended before its end
}

// get asks with a method, a path and headers, "Name: value".
func (g *gate) get(method, path string, header ...string) answer {
	g.t.Helper()
	req, err := http.NewRequest(method, g.server.URL+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	res, err := g.server.Client().Transport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body, err}
}

// asked returns what upstream was asked since it was last called.
func (g *gate) asked() (paths []string) {
	for _, q := range g.registry.Requests() {
		paths = append(paths, q.Method+" "+q.Path)
	}
	g.registry.Forget()
	return paths
}

// recorded returns the records since it was last called.
func (g *gate) recorded() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.records
	g.records = nil
	return r
}

// until returns when ready says yes, about something that nothing tells of.
func (g *gate) until(what string, ready func() bool) {
	g.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if ready() {
			return
		}
	}
	g.t.Fatalf("%s: not within 10 s", what)
}

// kept returns when the cache has all of d.
func (g *gate) kept(d digest.Digest) {
	g.t.Helper()
	g.until(d.String()+" is kept", func() bool { _, err := g.o.Cache.Get(d); return err == nil })
}

// answered returns how many requests were answered since observed was last called.
func (g *gate) answered() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind == Answered {
			n++
		}
	}
	return n
}

// observed returns the kinds of the security events since it was last called.
func (g *gate) observed() (kinds []EventKind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e.Kind != Answered && e.Kind != Hit && e.Kind != Miss {
			kinds = append(kinds, e.Kind)
		}
	}
	g.events = nil
	return kinds
}

// refusalIn returns the one error of a body.
func refusalIn(t testing.TB, a answer) (code, message string, d detail) {
	t.Helper()
	var doc struct {
		Errors []struct {
			Code, Message string
			Detail        detail
		}
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Errors) != 1 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %q is no error body: %v", a.status, a.header, a.body, err)
	}
	return doc.Errors[0].Code, doc.Errors[0].Message, doc.Errors[0].Detail
}

// raw sends bytes on a connection of its own and returns all that comes back until the gateway closes it.
func (g *gate) raw(request string) string {
	g.t.Helper()
	c, err := net.Dial("tcp", g.server.Listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		g.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		g.t.Errorf("%.60q: the connection is still open", request)
	}
	return string(b)
}

func equal[T comparable](t testing.TB, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}
