//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// gateway is tagwarden in front of a stack.
type gateway struct {
	dir         string
	addr, admin string // where the registry API and the admin port listen
	config      string // the configuration file
	audit       string // the audit log
	*process
	seen []string // the decision ids of every answer ask got
}

// settings is what tests vary in the configuration.
type settings struct {
	pin     string // how the root of every repository is trusted, in YAML
	refresh string // default 1s
}

// pinned is the pin on one root key.
func pinned(key string) string { return "{keys: [" + key + "]}" }

// newGateway writes a configuration and starts tagwarden with it. The stack's
// registry is reachable below /v2/corp/, its repositories shop/* must be signed,
// and banned/* is not served.
func newGateway(t testing.TB, s *stack, set settings) *gateway {
	t.Helper()
	if set.refresh == "" {
		set.refresh = "1s"
	}
	dir := t.TempDir()
	g := &gateway{
		dir: dir, addr: freePort(t), admin: freePort(t),
		config: filepath.Join(dir, "tagwarden.yaml"), audit: filepath.Join(dir, "audit.jsonl"),
	}
	write(t, g.config, fmt.Sprintf(`listen: %q
admin: {listen: %q}
state: state
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}

registries:
  %[3]q: {url: "http://%[3]s", path: corp}

sources:
  corp:
    notary: https://%s
    ca: %s
    refresh: %s
    pins:
      %[3]s/**: %[7]s

rules:
  - match: %[3]s/shop/*
    name: shop
    source: corp
  - match: %[3]s/banned/**
    mode: deny
`, g.addr, g.admin, s.registry, s.notary, s.ca, set.refresh, set.pin))
	g.serve(t)
	return g
}

// serve starts tagwarden on the gateway's configuration and state.
func (g *gateway) serve(t testing.TB) {
	t.Helper()
	g.process = start(t, g.dir, environment(g.dir), binary, "serve", "--config", g.config)
	g.ready(t, func() bool { return answers("http://" + g.addr + "/v2/") })
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
	req, err := http.NewRequest(method, "http://"+g.addr+"/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: body, decision: res.Header.Get("Tagwarden-Decision")}
	if a.decision != "" {
		g.seen = append(g.seen, a.decision)
	}
	return a
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
