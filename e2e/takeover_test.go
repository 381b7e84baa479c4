//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestTakeover replaces notary-server, and what it says, by an attacker's: a new
// root, new keys, and signatures for other images.
func TestTakeover(t *testing.T) {
	for _, pin := range []string{"root key", "trust on first use"} {
		t.Run(pin, func(t *testing.T) {
			s := newStack(t)
			e := newEngine(t)
			repository := s.repository("shop/app")
			publisher := newSigner(t, e, s)
			set := settings{pin: pinned(publisher.adopt(t, repository))}
			if pin == "trust on first use" {
				set.pin = "{tofu: true}"
			}
			publisher.make(t, repository+":v1", 1<<10)
			publisher.sign(t, repository+":v1")
			signed := upstreamDigest(t, repository, "v1")
			g := newGateway(t, s, set)
			served(t, g, "v1", signed)

			s.source.end(t)
			s.serveSource(t)
			attacker := newSigner(t, e.as("attacker"), s)
			attacker.adopt(t, repository)
			for _, tag := range []string{"v1", "v2"} {
				attacker.make(t, repository+":"+tag, 1<<10)
				attacker.sign(t, repository+":"+tag)
			}
			eventually(t, "a security event is counted", func() bool {
				served(t, g, "v1", signed)
				_, metrics := fetch(t, "http://"+g.admin+"/metrics")
				return strings.Contains(metrics, "tagwarden_security_events_total{")
			})

			for _, state := range []string{"running", "restarted"} {
				if state == "restarted" {
					g.end(t)
					g.serve(t)
				}
				served(t, g, "v1", signed)
				if a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v2"); a.status != http.StatusForbidden {
					t.Errorf("%s: what only the attacker signed: status %d", state, a.status)
				}
			}
		})
	}
}

// served checks that a tag is answered with what the publisher signed.
func served(t testing.TB, g *gateway, tag string, signed digest.Digest) {
	t.Helper()
	begun := time.Now()
	a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/"+tag)
	if got := digest.FromBytes(a.body); a.status != http.StatusOK || got != signed {
		t.Fatalf("%s: status %d, %s, want %s: %.500s", tag, a.status, got, signed, a.body)
	}
	// With verified data in hand an answer waits for its source for two seconds
	// at most; the rest is for a busy machine.
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("%s: answered only after %v", tag, took)
	}
}
