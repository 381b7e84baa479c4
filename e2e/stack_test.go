//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// client talks to everything a test starts. Certificates of notary-server are
// checked by tagwarden and by docker, not by the test's own probes.
var client = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
}

// stack is what stands behind a gateway: a registry and a source of trust data.
type stack struct {
	dir              string
	registry, notary string   // addresses
	ca, key          string   // files with the certificate of notary-server and its key
	upstream, source *process // the processes of the two
	marks            int      // that asked has left in the registry's log
}

// newStack starts docker-registry and notary-server, both empty.
func newStack(t testing.TB) *stack {
	t.Helper()
	need(t, "docker-registry", "notary-server")
	dir := t.TempDir()
	s := &stack{
		dir: dir, registry: freePort(t), notary: freePort(t),
		ca: filepath.Join(dir, "notary.crt"), key: filepath.Join(dir, "notary.key"),
	}
	certificate(t, s.ca, s.key)

	config := filepath.Join(dir, "registry.yml")
	write(t, config, fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %s, secret: unused}
`, filepath.Join(dir, "registry"), s.registry))
	s.upstream = start(t, dir, environment(dir), "docker-registry", "serve", config)

	s.upstream.ready(t, func() bool { return answers("http://" + s.registry + "/v2/") })
	s.serveSource(t)
	return s
}

// serveSource starts notary-server, which knows nothing then: it keeps what it is
// told in memory.
func (s *stack) serveSource(t testing.TB) {
	t.Helper()
	config := filepath.Join(s.dir, "notary-server.json")
	write(t, config, fmt.Sprintf(`{
  "server": {"http_addr": %q, "tls_cert_file": %q, "tls_key_file": %q},
  "trust_service": {"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa"},
  "storage": {"backend": "memory"},
  "logging": {"level": "warn"}
}`, s.notary, s.ca, s.key))
	s.source = start(t, s.dir, environment(s.dir), "notary-server", "-config", config)
	s.source.ready(t, func() bool { return answers("https://" + s.notary + "/v2/") })
}

// repository is the full name of a repository in the stack's registry, which is
// also the name it is signed under.
func (s *stack) repository(path string) string { return s.registry + "/" + path }

// asked counts the requests that a kind of client has sent to the registry itself,
// as its access log names it.
func (s *stack) asked(t testing.TB, agent string) int {
	t.Helper()
	// A request is logged at its end; this one is after all before it.
	s.marks++
	mark := fmt.Sprintf("/v2/?mark=%d", s.marks)
	if !answers("http://" + s.registry + mark) {
		t.Fatal("the registry does not answer")
	}
	eventually(t, "the registry's log has the last request", func() bool { return s.upstream.logged(t, mark+" ") > 0 })
	return s.upstream.logged(t, `"`+agent)
}

// stop ends both, as an outage of the whole site behind the gateway.
func (s *stack) stop(t testing.TB) {
	t.Helper()
	s.upstream.end(t)
	s.source.end(t)
	for _, url := range []string{"http://" + s.registry + "/v2/", "https://" + s.notary + "/v2/"} {
		if answers(url) {
			t.Fatalf("%s still answers", url)
		}
	}
}

// answers tells whether something serves the url, and says 200.
func answers(url string) bool {
	probe := *client
	probe.Timeout = 5 * time.Second
	res, err := probe.Get(url)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}
