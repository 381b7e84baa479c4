package attack

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// A world is a gateway in front of a registry, r.example, and a source. The repository r.example/app has the signed tag v1,
// which means good. The registry says that v1 means evil, and has the tag latest, which nobody signed.
type world struct {
	*gateway
	up         *upstreamtest.Registry
	url        string // of the registry
	site       *site
	app        *trusttest.Notary
	good, evil upstreamtest.Image
}

// settings are what a test varies in the configuration, in YAML.
type settings struct {
	registry   string // more of the registry's entry: ", credentials: ..."
	registries string // more registries, a line each; URL is that of the registry
	source     string // more of the source, a line each
	sources    string // more sources, a line each
	rules      string // more rules, a line each
	top        string // more lines at the top level
	tls        bool   // the registry speaks TLS, and url begins with https
	// before is called before the gateway starts, to sign more and to misbehave.
	before func(w *world)
}

// newWorld starts everything.
func newWorld(t *testing.T, set settings) *world {
	t.Helper()
	w := &world{up: new(upstreamtest.Registry), site: newSite(t)}
	if set.tls {
		server := httptest.NewTLSServer(w.up)
		t.Cleanup(server.Close)
		w.url = server.URL
		set.registry += ", ca: " + authority(t, server)
	} else {
		w.url = serve(t, w.up)
	}
	w.good = w.up.PushImage("app", "", "good")
	w.evil = w.up.PushImage("app", "v1", "evil")
	w.up.PushImage("app", "latest", "evil")
	w.app = w.repository("r.example/app")
	w.sign(w.app, "v1", w.good)
	w.site.publish(w.app)
	if set.before != nil {
		set.before(w)
	}
	w.gateway = launch(t, fmt.Sprintf(`%s
registries:
  r.example: {url: %q%s}
%s
sources:
  corp:
    notary: %s
%s
    pins:
      r.example/cold/**: {tofu: true}
%s%s
rules:
  - {match: r.example/**, name: signed, source: corp}
  - {match: r.example/banned/**, name: banned, mode: deny}
  - {match: r.example/open/**, name: open, mode: allow, reason: nobody signs it}
%s
`, set.top, w.url, set.registry, strings.ReplaceAll(set.registries, "URL", w.url), w.site.url, set.source, w.site.pins(), set.sources, set.rules))
	return w
}

// repository returns a repository of trust data whose releases nobody has signed yet. The gateway trusts its root when it
// was published before the gateway started.
func (w *world) repository(gun string) *trusttest.Notary {
	n := trusttest.NewNotary(gun, time.Now())
	n.Delegate("targets/releases", "")
	return n
}

// sign makes a tag mean an image.
func (w *world) sign(n *trusttest.Notary, tag string, i upstreamtest.Image) {
	n.Delegations[0].Entries[tag] = trusttest.Entry{Digest: i.Digest, Length: int64(len(i.Manifest))}
}

// push puts a manifest, whatever its bytes are, under a digest and a signed tag of r.example/app.
func (w *world) push(tag, mediaType, content string) upstreamtest.Image {
	i := upstreamtest.Image{MediaType: mediaType, Manifest: []byte(content)}
	i.Digest = w.up.PushManifest("app", "", mediaType, i.Manifest)
	w.sign(w.app, tag, i)
	return i
}

// serve starts a server that ends with the test, and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// authority writes the certificate that vouches for a server, and returns the file.
func authority(t *testing.T, server *httptest.Server) string {
	t.Helper()
	return write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
}

// write writes a file that goes away with the test, and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A site serves the trust data of repositories as a Notary server does, and remembers what it was asked.
type site struct {
	url   string
	mu    sync.Mutex
	files map[string]map[string][]byte // by GUN
	order []string                     // entries of pins
	asked []string                     // paths
	fault func(w http.ResponseWriter, gun, file string) bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: make(map[string]map[string][]byte)}
	s.url = serve(t, s)
	return s
}

// publish puts everything that the repository has published so far where clients find it, all at once.
func (s *site) publish(n *trusttest.Notary) {
	if n.Files()["timestamp.json"] == nil {
		n.Publish()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[n.GUN] == nil {
		s.order = append(s.order, fmt.Sprintf("      %s: {keys: [%s]}\n", n.GUN, n.Root.Keys[0].Canonical()))
	}
	s.files[n.GUN] = n.Files()
}

// pins returns the lines that pin the roots of all repositories as they are now.
func (s *site) pins() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.order, "")
}

// fail lets requests be answered by fault, where that returns true, until it is nil again.
func (s *site) fail(fault func(w http.ResponseWriter, gun, file string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// requests returns the paths that were asked for since it was called last.
func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	gun, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/_trust/tuf/")
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path)
	raw, ok := s.files[gun][file]
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, gun, file) {
		return
	}
	if !ok {
		http.Error(w, `{"errors":[{"code":"METADATA_NOT_FOUND"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(raw) // a client that left is no concern
}
