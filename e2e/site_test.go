//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// site is a gateway that publishes the site's own TUF repository, over a registry
// whose publishers do not sign.
type site struct {
	stack *stack
	*gateway
	node   *engine
	digest map[string]digest.Digest // of the tags of shop/app, as they are upstream
}

// TestSite is the way of a site that signs for itself: from watching to enforcing,
// and on to a second gateway that chains to the first.
func TestSite(t *testing.T) {
	s := newSite(t)
	for _, step := range []struct {
		name string
		step func(*testing.T)
	}{
		{"in mode audit everything pulls, and the report says what enforce would refuse", s.watch},
		{"what runs today is signed from the audit log", s.signAll},
		{"under enforce what was signed pulls, with docker and containerd, and nothing else", s.enforce},
		{"a second gateway chains to the first", s.chain},
		{"upstream's tag moves, the signed one does not", s.moved},
		{"a revoked tag is refused", s.revoked},
	} {
		if !t.Run(step.name, step.step) {
			return
		}
	}
}

func newSite(t *testing.T) *site {
	s := &site{stack: newStack(t), node: newEngine(t), digest: make(map[string]digest.Digest)}
	repository := s.stack.repository("shop/app")
	for _, tag := range []string{"v1", "v2", "v3"} {
		s.node.make(t, repository+":"+tag, 1<<10)
		s.node.docker(t, "push", repository+":"+tag)
		s.digest[tag] = upstreamDigest(t, repository, tag)
	}
	dir := t.TempDir()
	s.gateway = &gateway{
		dir: dir, addr: freePort(t), admin: freePort(t), config: filepath.Join(dir, "tagwarden.yaml"), audit: filepath.Join(dir, "audit.jsonl"),
	}
	s.url = "http://" + s.addr
	s.trust(t, "init", filepath.Join(dir, "trust"))
	s.trust(t, "key", "generate", "--dir", dir, "release")
	write(t, filepath.Join(dir, "passphrase"), "repository secret\n")
	s.rules(t, "audit")
	s.trust(t, "signer", "add", "--key", filepath.Join(dir, "release.pub"), "release", s.stack.registry+"/**")
	s.gateway.serve(t)
	return s
}

// trust runs one of the trust commands at the site, which must succeed.
func (s *site) trust(t testing.TB, args ...string) string {
	t.Helper()
	env := environment(s.dir, "TAGWARDEN_ROOT_PASSPHRASE=root secret", "TAGWARDEN_REPOSITORY_PASSPHRASE=repository secret")
	out, status := run(t, env, nil, binary, append([]string{"--config", s.config, "trust"}, args...)...)
	if status != 0 {
		t.Fatalf("trust %s: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// rules writes the configuration with one mode for everything.
func (s *site) rules(t testing.TB, mode string) {
	t.Helper()
	write(t, s.config+".new", fmt.Sprintf(`listen: %q
admin: {listen: %q}
state: state
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}
registries:
  %[3]q: {url: "http://%[3]s", path: corp}
sources:
  site: {tuf: ./trust/metadata, root: ./trust/metadata/1.root.json, publish: {passphrase_file: passphrase}}
rules:
  - {match: %[3]s/**, mode: %s}
`, s.addr, s.admin, s.stack.registry, mode))
	if err := os.Rename(s.config+".new", s.config); err != nil {
		t.Fatal(err)
	}
}

// pulls pulls a tag with docker and wants the digest.
func (s *site) pulls(t *testing.T, image string, want digest.Digest) {
	t.Helper()
	if out := s.node.docker(t, "pull", image); !strings.Contains(out, "Digest: "+want.String()+"\n") {
		t.Errorf("%s: want %s, pulled\n%s", image, want, out)
	}
}

func (s *site) watch(t *testing.T) {
	for _, tag := range []string{"v1", "v2"} {
		s.pulls(t, s.image("shop/app:"+tag), s.digest[tag])
	}
	out, status := tagwarden(t, "--config", s.config, "audit", "report")
	if status != 0 || !strings.Contains(out, s.stack.repository("shop/app")) || !strings.Contains(out, "unsigned_tag") {
		t.Errorf("report: exit status %d\n%s", status, out)
	}
}

func (s *site) signAll(t *testing.T) {
	out := s.trust(t, "sign", "--from-audit", s.audit, "--yes")
	for _, tag := range []string{"v1", "v2"} {
		if !strings.Contains(out, s.digest[tag].String()) {
			t.Errorf("%s is not shown:\n%s", tag, out)
		}
	}
}

func (s *site) enforce(t *testing.T) {
	s.rules(t, "enforce")
	s.hangup(t)
	eventually(t, "the unsigned tag is refused", func() bool {
		return s.ask(t, http.MethodGet, "corp/shop/app/manifests/v3").status == http.StatusForbidden
	})
	for _, tag := range []string{"v1", "v2"} {
		s.pulls(t, s.image("shop/app:"+tag), s.digest[tag])
	}
	wantTags(t, s.gateway, "v1", "v2")
	out := s.node.refused(t, "pull", s.image("shop/app:v3"))
	if want := `sign it with "tagwarden trust sign ` + s.stack.repository("shop/app") + `:v3"`; !strings.Contains(out, want) {
		t.Errorf("docker did not print %q but:\n%s", want, out)
	}
	hosts := t.TempDir()
	if err := os.Mkdir(filepath.Join(hosts, "_default"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(hosts, "_default", "hosts.toml"), fmt.Sprintf("server = %[1]q\n[host.%[1]q]\ncapabilities = [\"pull\", \"resolve\"]\n", s.url))
	pull := []string{"images", "pull", "--snapshotter", "native", "--hosts-dir", hosts}
	if out, status := s.node.ctr(t, append(pull, s.stack.repository("shop/app:v1"))...); status != 0 {
		t.Errorf("ctr: exit status %d\n%s", status, out)
	}
	if out, status := s.node.ctr(t, "images", "list"); status != 0 || !strings.Contains(out, s.digest["v1"].String()) {
		t.Errorf("ctr pulled\n%s", out)
	}
	if out, status := s.node.ctr(t, append(pull, s.stack.repository("shop/app:v3"))...); status == 0 || !strings.Contains(out, "403 Forbidden") {
		t.Errorf("ctr, an unsigned tag: exit status %d\n%s", status, out)
	}
}

// chain has a gateway of its own take trust data from the first one, and a signer
// publish through the first one's port.
func (s *site) chain(t *testing.T) {
	dir := t.TempDir()
	root, err := os.ReadFile(filepath.Join(s.dir, "trust/metadata/1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "root.json"), string(root))
	g := &gateway{dir: dir, addr: freePort(t), admin: freePort(t), config: filepath.Join(dir, "tagwarden.yaml"), audit: filepath.Join(dir, "audit.jsonl")}
	g.url = "http://" + g.addr
	write(t, g.config, fmt.Sprintf(`listen: %q
admin: {listen: %q}
state: state
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}
registries:
  %[3]q: {url: "http://%[3]s", path: corp}
sources:
  site: {tuf: %q, root: root.json, refresh: 500ms}
rules:
  - match: %[3]s/**
`, g.addr, g.admin, s.stack.registry, s.url+"/tuf/site"))
	g.serve(t)
	s.pulls(t, g.image("shop/app:v1"), s.digest["v1"])
	if r := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v3").refusal(t); r.reason != "unsigned_tag" {
		t.Errorf("through the chain: %+v", r)
	}
	out := s.trust(t, "--trust", s.url+"/tuf/site", "--root", filepath.Join(dir, "root.json"), "sign", "--digest", s.digest["v3"].String(), s.stack.repository("shop/app:v3"))
	if !strings.Contains(out, "Successfully signed") {
		t.Errorf("signed remotely:\n%s", out)
	}
	for _, image := range []string{s.image("shop/app:v3"), g.image("shop/app:v3")} {
		eventually(t, image+" is served", func() bool {
			_, status := run(t, s.node.env, nil, "docker", "pull", image)
			return status == 0
		})
		s.pulls(t, image, s.digest["v3"])
	}
}

func (s *site) moved(t *testing.T) {
	repository := s.stack.repository("shop/app")
	s.node.make(t, repository+":v1", 1<<10)
	s.node.docker(t, "push", repository+":v1")
	if upstreamDigest(t, repository, "v1") == s.digest["v1"] {
		t.Fatal("upstream's tag has not moved")
	}
	s.pulls(t, s.image("shop/app:v1"), s.digest["v1"])
	if out := s.trust(t, "inspect", "--pretty", repository+":v1"); !strings.Contains(out, s.digest["v1"].Encoded()) || !strings.Contains(out, "release") {
		t.Errorf("inspect:\n%s", out)
	}
}

func (s *site) revoked(t *testing.T) {
	s.trust(t, "revoke", s.stack.repository("shop/app:v2"))
	eventually(t, "the revoked tag is refused", func() bool {
		return s.ask(t, http.MethodGet, "corp/shop/app/manifests/v2").status == http.StatusForbidden
	})
	wantTags(t, s.gateway, "v1", "v3")
}
