//go:build e2e

package e2e

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestSigners asks for two signers, of whom at first one has signed.
func TestSigners(t *testing.T) {
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root), rule: "source: corp, signers: {all: [release, qa]}"})
	want := func(reason string) {
		t.Helper()
		a := tagOf(t, g, "v1")
		if r := a.refusal(t); a.status != http.StatusForbidden || r.reason != reason {
			t.Errorf("status %d, %+v, want %s", a.status, r, reason)
		}
	}
	want("signer_missing")
	s.publisher.docker(t, "trust", "key", "generate", "--dir", s.publisher.home, "qa")
	s.publisher.docker(t, "trust", "signer", "add", "--key", filepath.Join(s.publisher.home, "qa.pub"), "qa", s.repository)
	want("signer_missing")
	s.publisher.sign(t, s.repository+":v1") // with every key that is at hand
	eventually(t, "the tag that both have signed is served", func() bool {
		a := tagOf(t, g, "v1")
		return a.status == http.StatusOK && digest.FromBytes(a.body) == s.signed
	})
}

// TestExceptions serves what nobody signed, for as long as the rule says, and
// through an outage of the registry where the rule says that.
func TestExceptions(t *testing.T) {
	s := newScene(t)
	unsigned := upstreamDigest(t, s.repository, "v2")
	lasting := newGateway(t, s.stack, settings{pin: pinned(s.root), rule: "mode: allow, reason: a test, tag_ttl: 1ms, stale_if_error: 1h"})
	plain := newGateway(t, s.stack, settings{pin: pinned(s.root), rule: "mode: allow, reason: a test"})
	ended := newGateway(t, s.stack, settings{pin: pinned(s.root), rule: "mode: allow, reason: a test, until: 2020-01-01"})
	want := func(g *gateway, tag string, status int, reason string) {
		t.Helper()
		a := tagOf(t, g, tag)
		if a.status != status {
			t.Errorf("%s: status %d, want %d: %.300s", tag, a.status, status, a.body)
		} else if status != http.StatusOK && a.refusal(t).reason != reason {
			t.Errorf("%s: %+v, want %s", tag, a.refusal(t), reason)
		}
	}
	want(lasting, "v2", http.StatusOK, "")
	want(plain, "v2", http.StatusOK, "")
	want(ended, "v2", http.StatusForbidden, "exception_expired")
	want(ended, unsigned.String(), http.StatusOK, "")

	s.upstream.end(t)
	want(lasting, "v2", http.StatusOK, "")
	want(plain, "v2", http.StatusBadGateway, "upstream_unreachable")
	want(plain, unsigned.String(), http.StatusOK, "")
}
