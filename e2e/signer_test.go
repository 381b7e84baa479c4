//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// signer is a person with keys: docker's command line, an engine, and the trust
// server of a stack.
type signer struct{ *engine }

// newSigner gives the engine's user keys that the stack's repositories can be
// signed with. The user's name as a signer is release.
func newSigner(t testing.TB, e *engine, s *stack) *signer {
	t.Helper()
	p := &signer{e.as(filepath.Base(e.home))}
	p.env = append(p.env,
		"DOCKER_CONTENT_TRUST_SERVER=https://"+s.notary,
		"DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE=root passphrase",
		"DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE=repository passphrase")
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		t.Fatal(err)
	}
	p.docker(t, "trust", "key", "generate", "--dir", p.home, "release")
	return p
}

// adopt begins the signed life of a repository and gives the id of its root key,
// as a pin names it.
func (p *signer) adopt(t testing.TB, repository string) string {
	t.Helper()
	p.docker(t, "trust", "signer", "add", "--key", filepath.Join(p.home, "release.pub"), "release", repository)
	var repositories []struct {
		AdministrativeKeys []struct {
			Name string
			Keys []struct{ ID string }
		}
	}
	out := p.docker(t, "trust", "inspect", repository)
	if err := json.Unmarshal([]byte(out), &repositories); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	for _, r := range repositories {
		for _, k := range r.AdministrativeKeys {
			if k.Name == "Root" && len(k.Keys) == 1 {
				return k.Keys[0].ID
			}
		}
	}
	t.Fatalf("no root key in\n%s", out)
	return ""
}

// canonicalRoot is the other id of the root key: of the bare key, without the
// certificate that a repository wraps it in. One such id is good for every
// repository of its owner.
func (p *signer) canonicalRoot(t testing.TB) string {
	t.Helper()
	need(t, "notary")
	out, status := run(t, p.env, nil, "notary", "-d", filepath.Join(p.home, "trust"), "key", "list")
	id := regexp.MustCompile(`(?m)^root\s+([0-9a-f]{64})\s`).FindStringSubmatch(out)
	if status != 0 || id == nil {
		t.Fatalf("notary key list: exit status %d\n%s", status, out)
	}
	return id[1]
}

// sign pushes the local image of a tag and signs it.
func (p *signer) sign(t testing.TB, reference string) {
	t.Helper()
	p.docker(t, "trust", "sign", reference)
}
