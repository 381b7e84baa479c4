//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPins tries every way to say whom to trust, and a wrong one.
func TestPins(t *testing.T) {
	s := newStack(t)
	publisher := newSigner(t, newEngine(t), s)
	repository := s.repository("shop/app")
	root := publisher.adopt(t, repository)
	publisher.make(t, repository+":v1", 1<<10)
	publisher.sign(t, repository+":v1")

	tests := []struct {
		name, pin string
		status    int
		reasons   []string
	}{
		{"root key", pinned(root), http.StatusOK, nil},
		{"canonical root key", pinned(publisher.canonicalRoot(t)), http.StatusOK, nil},
		{"trust on first use", "{tofu: true}", http.StatusOK, nil},
		{"wrong root key", pinned(strings.Repeat("ab", 32)), http.StatusForbidden, []string{"root_not_pinned", "root_mismatch"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, s, settings{pin: test.pin})
			a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v1")
			if a.status != test.status {
				t.Errorf("status %d, want %d: %s", a.status, test.status, a.body)
			}
			if test.reasons == nil {
				return
			}
			if r := a.refusal(t); !slices.Contains(test.reasons, r.reason) {
				t.Errorf("refused with %+v, want one of %v", r, test.reasons)
			}
		})
	}
}

// TestRefusals asks for what no rule, no registry and no trust data covers.
func TestRefusals(t *testing.T) {
	s := newStack(t)
	g := newGateway(t, s, settings{pin: "{tofu: true}"})
	tests := []struct {
		method, path string
		status       int
		code, reason string
	}{
		{http.MethodGet, "corp/shop/nobody/manifests/v1", http.StatusForbidden, "DENIED", "no_trust_data"},
		{http.MethodGet, "corp/other/app/manifests/v1", http.StatusForbidden, "DENIED", "no_rule"},
		{http.MethodGet, "corp/other/app/tags/list", http.StatusForbidden, "DENIED", "no_rule"},
		{http.MethodGet, "corp/banned/app/manifests/v1", http.StatusForbidden, "DENIED", "rule_deny"},
		{http.MethodGet, "registry.example.com/app/manifests/v1", http.StatusForbidden, "DENIED", "unknown_registry"},
		{http.MethodGet, "app/manifests/v1", http.StatusForbidden, "DENIED", "unknown_registry"},
		{http.MethodGet, "corp/shop/nobody/manifests/sha256-" + strings.Repeat("ab", 32) + ".sig", http.StatusNotFound, "MANIFEST_UNKNOWN", "no_trust_data"},
		{http.MethodGet, "corp/shop/app/manifests/sha256:short", http.StatusBadRequest, "DIGEST_INVALID", ""},
		{http.MethodGet, "corp/shop/app/manifests/.v1", http.StatusBadRequest, "MANIFEST_INVALID", ""},
		{http.MethodGet, "corp/Shop/app/manifests/v1", http.StatusBadRequest, "NAME_INVALID", ""},
		{http.MethodGet, "_catalog", http.StatusNotFound, "UNSUPPORTED", ""},
		{http.MethodPut, "corp/shop/app/manifests/v1", http.StatusMethodNotAllowed, "UNSUPPORTED", ""},
	}
	for _, test := range tests {
		a := g.ask(t, test.method, test.path)
		r := a.refusal(t)
		if a.status != test.status || r.code != test.code || r.reason != test.reason {
			t.Errorf("%s %s: %d %+v, want %d %s %s", test.method, test.path, a.status, r, test.status, test.code, test.reason)
		}
		if r.message == "" || strings.ContainsAny(r.message, "\r\n") {
			t.Errorf("%s %s: the message is not one line: %q", test.method, test.path, r.message)
		}
	}
}

// TestFreshSignature signs a refused tag while the next refresh is an hour away.
func TestFreshSignature(t *testing.T) {
	s := newStack(t)
	publisher := newSigner(t, newEngine(t), s)
	repository := s.repository("shop/app")
	root := publisher.adopt(t, repository)
	publisher.make(t, repository+":v1", 1<<10)
	publisher.sign(t, repository+":v1")
	g := newGateway(t, s, settings{pin: pinned(root), refresh: "1h"})

	if a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v2"); a.status != http.StatusForbidden {
		t.Fatalf("before it is signed: %d", a.status)
	}
	publisher.make(t, repository+":v2", 1<<10)
	publisher.sign(t, repository+":v2")
	signed := time.Now()
	eventually(t, "the tag signed now is served", func() bool {
		return g.ask(t, http.MethodGet, "corp/shop/app/manifests/v2").status == http.StatusOK
	})
	// At most one extra refresh in two seconds is the promise; the rest is for a busy machine.
	if took := time.Since(signed); took > 4*time.Second {
		t.Errorf("served only after %v", took)
	}
}
