//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestAdminPort asks both ports for what only one of them may answer.
func TestAdminPort(t *testing.T) {
	g := newGateway(t, newStack(t), settings{pin: "{tofu: true}"})
	g.ask(t, http.MethodGet, "corp/shop/nobody/manifests/v1")

	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if status, body := fetch(t, "http://"+g.admin+path); status != http.StatusOK {
			t.Errorf("admin port: %s is %d: %s", path, status, body)
		}
		if status, _ := fetch(t, "http://"+g.addr+path); status != http.StatusNotFound {
			t.Errorf("registry port: %s is %d", path, status)
		}
	}
	if status, _ := fetch(t, "http://"+g.admin+"/v2/"); status != http.StatusNotFound {
		t.Errorf("admin port: /v2/ is %d", status)
	}

	_, metrics := fetch(t, "http://"+g.admin+"/metrics")
	for _, want := range []string{
		`tagwarden_decisions_total{mode="enforce",reason="no_trust_data",rule="shop",verdict="deny"} 1`,
		`tagwarden_build_info{`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}
