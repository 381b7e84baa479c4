package faults

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// formats are the kinds of trust data.
var formats = []string{"notary", "tuf"}

// A repo is one image repository, r.example/NAME, whose tag v1 was signed in one version after the other.
type repo struct {
	*trusttest.Repository
	name string // without the registry
	role *trusttest.Role

	// Guarded by the site.
	signed  []digest.Digest     // what v1 means, by version
	history []map[string][]byte // what is published, by version
	shown   int                 // the version that clients find
}

// image returns the full name.
func (r *repo) image() string { return "r.example/" + r.name }

// A site is a registry and a source. The source serves all repositories over HTTP, in one of the formats.
type site struct {
	format   string
	up       *upstreamtest.Registry
	registry string // URL
	url      string // of the source

	mu     sync.Mutex
	repos  []*repo
	eager  bool                              // each check of a repository finds a version that nobody has seen before
	dead   bool                              // no request is answered
	served func(r *repo, file string, n int) // is told each file after it was sent, and how many there were; nil: nobody is
	count  int
}

func newSite(t *testing.T, format string) *site {
	t.Helper()
	s := &site{format: format, up: new(upstreamtest.Registry)}
	s.registry, s.url = serve(t, s.up), serve(t, s)
	return s
}

// serve starts a server that ends with the test, and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// repo adds a repository, of which the first version is published.
func (s *site) repo(name string) *repo {
	r := s.signed(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos = append(s.repos, r)
	return r
}

// signed makes a repository that nobody finds, with one version.
func (s *site) signed(name string) *repo {
	r := &repo{name: name}
	if s.format == "notary" {
		n := trusttest.NewNotary(r.image(), time.Now())
		r.Repository, r.role = &n.Repository, n.Delegate("targets/releases", "")
	} else {
		n := trusttest.NewTUF(time.Now())
		r.Repository, r.role = &n.Repository, n.Targets
	}
	s.next(r)
	return r
}

// next signs the next version and publishes it.
func (s *site) next(r *repo) {
	i := s.up.PushImage(r.name, "", fmt.Sprintf("%s, version %d of %p", r.name, len(r.signed), r))
	r.role.Entries["v1"] = trusttest.Entry{Digest: i.Digest, Length: int64(len(i.Manifest))}
	if len(r.signed) == 0 {
		r.Publish()
	} else {
		r.Next(r.role)
	}
	r.signed, r.history, r.shown = append(r.signed, i.Digest), append(r.history, r.Files()), len(r.signed)
}

// advance signs and publishes the next version of each repository.
func (s *site) advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.repos {
		s.next(r)
	}
}

// show makes clients find a version of the past, or the latest one.
func (s *site) show(r *repo, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.shown = version
}

// behave says how the source answers from now on.
func (s *site) behave(eager, dead bool, served func(r *repo, file string, n int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eager, s.dead, s.served, s.count = eager, dead, served, 0
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	image, file, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/_trust/tuf/")
	if s.format == "tuf" {
		image, file = filepath.Split(q.URL.Path)
		image = strings.Trim(image, "/")
	}
	s.mu.Lock()
	dead, served, r := s.dead, s.served, s.find(image)
	var raw []byte
	if r != nil {
		if s.eager && file == "timestamp.json" {
			s.next(r)
		}
		raw = r.history[r.shown][file]
	}
	s.count++
	n := s.count
	s.mu.Unlock()
	switch {
	case dead:
		panic(http.ErrAbortHandler)
	case raw == nil:
		http.NotFound(w, q)
	default:
		_, _ = w.Write(raw) // a client that was killed is no concern
	}
	if served != nil {
		_ = http.NewResponseController(w).Flush() // the same
		served(r, file, n)
	}
}

// find returns a repository by its full name; the caller holds mu.
func (s *site) find(image string) *repo {
	for _, r := range s.repos {
		if r.image() == image {
			return r
		}
	}
	return nil
}

// version returns which version of v1 an answer is; -1 for one that nobody signed, or a refusal.
func (s *site) version(r *repo, a answer) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := len(r.signed) - 1; a.status == http.StatusOK && v >= 0; v-- {
		if r.signed[v] == digest.FromBytes(a.body) {
			return v
		}
	}
	return -1
}

// gateway returns a gateway for all repositories there are, whose roots it trusts by their pins. More are lines of the
// source.
func (s *site) gateway(t *testing.T, more string) *gateway {
	t.Helper()
	return s.gatewayWith(t, more, "")
}

// gatewayWith is gateway with more lines of the configuration.
func (s *site) gatewayWith(t *testing.T, more, top string) *gateway {
	t.Helper()
	source := fmt.Sprintf("    tuf: %q\n    root: roots/{name}.json\n    target: \"{tag}\"\n", s.url+"/{name}")
	if s.format == "notary" {
		source = fmt.Sprintf("    notary: %q\n    pins:\n      r.example/first/**: {tofu: true}\n", s.url)
		for _, r := range s.repos {
			if !strings.HasPrefix(r.name, "first/") {
				source += fmt.Sprintf("      %s: {keys: [%s]}\n", r.image(), r.Root.Keys[0].Canonical())
			}
		}
	}
	g := prepare(t, fmt.Sprintf("%s\nregistries:\n  r.example: {url: %q}\nsources:\n  corp:\n%s    refresh: 500ms\n%s\nrules:\n  - match: r.example/**\n", top, s.registry, source, more))
	for _, r := range s.repos {
		put(t, g.file("roots/"+r.image()+".json"), string(r.history[0]["1.root.json"]))
	}
	return g
}

// serves asks for v1 of a repository, and returns which version came. Another answer fails the test.
func (s *site) serves(t *testing.T, g *gateway, r *repo) int {
	t.Helper()
	a := g.manifest(t, r.image(), "v1")
	v := s.version(r, a)
	if v < 0 {
		t.Errorf("%s:v1 is %v, which is no version that was signed", r.image(), a)
	}
	return v
}

// kept returns the folder in which the gateway keeps the trust data of a repository.
func (s *site) kept(g *gateway, r *repo) string {
	return g.file("state/corp/" + digest.FromString(r.image()).Encoded())
}
