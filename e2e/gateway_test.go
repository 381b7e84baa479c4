//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// gateway is tagwarden in front of a stack.
type gateway struct {
	dir         string
	addr, admin string // where the registry API and the admin port listen
	url         string // of the registry API, without a slash at its end
	config      string // the configuration file
	audit       string // the audit log
	*process
	seen []string // the decision ids of every answer ask got
}

// settings is what tests vary in the configuration.
type settings struct {
	pin     string // how the root of every repository is trusted, in YAML
	refresh string // default 1s
	rule    string // the rest of the rule on shop/*, in YAML; default "source: corp"
	listen  string // the address of the registry API; default a free port of 127.0.0.1
	tls     bool   // the registry API has tls.crt and tls.key, beside the configuration
}

// pinned is the pin on one root key.
func pinned(key string) string { return "{keys: [" + key + "]}" }

// newGateway writes a configuration and starts tagwarden with it. The stack's
// registry is reachable below /v2/corp/, its repositories shop/* must be signed,
// and banned/* is not served.
func newGateway(t testing.TB, s *stack, set settings) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{
		dir: dir, addr: set.listen, admin: freePort(t),
		config: filepath.Join(dir, "tagwarden.yaml"), audit: filepath.Join(dir, "audit.jsonl"),
	}
	if g.addr == "" {
		g.addr = freePort(t)
	}
	g.url = "http://" + g.addr
	if set.tls {
		g.url = "https://" + g.addr
		certificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	}
	g.configure(t, s, set)
	g.serve(t)
	return g
}

// configure writes the configuration, whole, as an editor does. The address of
// the registry API stays what it was.
func (g *gateway) configure(t testing.TB, s *stack, set settings) {
	t.Helper()
	tls := ""
	if set.tls {
		tls = "tls: {cert: tls.crt, key: tls.key}"
	}
	text := fmt.Sprintf(`listen: %q
%[9]s
admin: {listen: %[2]q}
state: state
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}

registries:
  %[3]q: {url: "http://%[3]s", path: corp}

sources:
  corp:
    notary: https://%[4]s
    ca: %[5]s
    refresh: %[6]s
    pins:
      %[3]s/**: %[7]s

rules:
  - {match: %[3]s/shop/*, name: shop, %[8]s}
  - match: %[3]s/banned/**
    mode: deny
`, g.addr, g.admin, s.registry, s.notary, s.ca, cmp.Or(set.refresh, "1s"), set.pin, cmp.Or(set.rule, "source: corp"), tls)
	write(t, g.config+".new", text)
	if err := os.Rename(g.config+".new", g.config); err != nil {
		t.Fatal(err)
	}
}

// serve starts tagwarden on the gateway's configuration and state.
func (g *gateway) serve(t testing.TB) {
	t.Helper()
	g.process = start(t, g.dir, environment(g.dir), binary, "serve", "--config", g.config)
	g.ready(t, func() bool { return answers(g.url + "/v2/") })
}

// image is the name of a repository of the upstream as clients of the gateway
// write it.
func (g *gateway) image(path string) string { return g.addr + "/corp/" + path }

// answer is one whole answer of the gateway.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	decision string
}

// ask sends one request to the registry port, for a path below /v2/.
func (g *gateway) ask(t testing.TB, method, path string) answer {
	t.Helper()
	a, err := g.try(method, path)
	if err != nil {
		t.Fatal(err)
	}
	if a.decision != "" {
		g.seen = append(g.seen, a.decision)
	}
	return a
}

// try is ask for many goroutines: it remembers nothing, and returns its error.
func (g *gateway) try(method, path string) (answer, error) {
	req, err := http.NewRequest(method, g.url+"/v2/"+path, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: body, decision: res.Header.Get("Tagwarden-Decision")}, nil
}

// refusal is what an error answer says.
type refusal struct{ code, reason, message string }

// refusal reads an error answer, which has exactly one error.
func (a answer) refusal(t testing.TB) refusal {
	t.Helper()
	var body struct {
		Errors []struct {
			Code, Message string
			Detail        struct{ Reason string }
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("status %d with the body %q", a.status, a.body)
	}
	e := body.Errors[0]
	return refusal{e.Code, e.Detail.Reason, e.Message}
}

// fetch gets one url.
func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return res.StatusCode, string(body)
}

// record is one line of the audit log.
type record struct {
	Decision, Name, Tag, Digest, Verdict, Reason, Method string
}

// records reads the audit log.
func (g *gateway) records(t testing.TB) []record {
	t.Helper()
	data, err := os.ReadFile(g.audit)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	for line := range bytes.Lines(data) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

// metric is the value of one time series of the gateway, labels included in its
// name; 0 if there is none.
func (g *gateway) metric(t testing.TB, series string) float64 {
	t.Helper()
	_, text := fetch(t, "http://"+g.admin+"/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// hangup tells the gateway to read its configuration again.
func (g *gateway) hangup(t testing.TB) {
	t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}
