package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// online is the passphrase of a publisher's keys.
const online = "of the publisher"

// signedImage is what the tests of signing sign.
const signedImage = "r.example/app"

// A publisher is a gateway that publishes a repository of its own, in its folder trust, with one signer.
type publisher struct {
	*gateway
	up       *upstreamtest.Registry
	registry string
}

// newPublisher makes the repository, in which alice may sign everything and nothing is signed.
func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{up: new(upstreamtest.Registry)}
	p.registry = serve(t, p.up)
	p.gateway = prepare(t, p.publishing("trust"))
	put(t, p.file("online"), online)
	p.must(t, "trust", "init")
	p.must(t, "trust", "key", "generate", "alice")
	p.must(t, "trust", "signer", "add", "--key", "alice.pub", "alice", "r.example/**")
	return p
}

// publishing is the configuration of a gateway that publishes the repository in a folder.
func (p *publisher) publishing(dir string) string {
	return fmt.Sprintf(`
registries:
  r.example: {url: %q}
sources:
  site: {tuf: %[2]s/metadata, root: %[2]s/metadata/1.root.json, publish: {passphrase_file: online}}
rules:
  - match: r.example/**
`, p.registry, dir)
}

// must runs a command that must succeed.
func (g *gateway) must(t *testing.T, args ...string) string {
	t.Helper()
	out, status := g.run(t, args...)
	if status != 0 {
		t.Fatalf("tagwarden %s: exit status %d: %s", strings.Join(args, " "), status, out)
	}
	return out
}

// push puts an image into the registry, and returns its digest.
func (p *publisher) push(version int) digest.Digest {
	return p.up.PushImage("app", "", fmt.Sprint("version ", version)).Digest
}

// meaning returns what the tag v1 means to a gateway that sees the repository for the first time: a digest, or the reason of
// a refusal. Whatever it is, the repository must verify.
func (p *publisher) meaning(t *testing.T) string {
	t.Helper()
	var e struct{ Verdict, Reason, Digest, Message string }
	out, status := p.run(t, "explain", "--config", "cold.yaml", "-o", "json", signedImage+":v1")
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("explain: exit status %d: %s", status, out)
	}
	switch {
	case e.Verdict == "allow" && status == 0:
		return e.Digest
	case e.Reason == "unsigned_tag":
		return e.Reason
	}
	t.Errorf("the repository is not valid: %s", out)
	return e.Reason
}
