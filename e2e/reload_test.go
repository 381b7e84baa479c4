//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestReload takes over twenty configurations, and one that is broken, while
// eight clients ask for the signed tag.
func TestReload(t *testing.T) {
	s := newScene(t)
	set := settings{pin: pinned(s.root)}
	g := newGateway(t, s.stack, set)
	clients := g.load(t, 8, "v1", s.signed)
	for i := range 20 {
		// Every second one changes the source itself, which then begins anew.
		set.refresh = []string{"1s", "2s"}[i/2%2]
		g.configure(t, s.stack, set)
		before := g.logged(t, "configuration taken over")
		g.hangup(t)
		eventually(t, "the configuration is taken over", func() bool {
			return g.logged(t, "configuration taken over") > before
		})
		clients.more(t, 16)
	}

	write(t, g.config, "listen: \":5000\"\nrules: [{match: \"**\", mode: alow}]\n")
	g.hangup(t)
	eventually(t, "the broken configuration is rejected", func() bool {
		return g.logged(t, "configuration rejected") > 0
	})
	if a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v2"); a.status != http.StatusForbidden {
		t.Errorf("beside a broken configuration, an unsigned tag: status %d", a.status)
	}
	clients.more(t, 16)
	clients.end(t)
	if n := g.metric(t, `tagwarden_security_events_total{kind="state_damaged"}`); n != 0 {
		t.Errorf("%v damaged files", n)
	}
}

// TestCertificate renews the certificate of the registry API, on IPv6.
func TestCertificate(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("this machine has no IPv6:", err)
	}
	addr := l.Addr().String()
	l.Close()
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root), listen: addr, tls: true})
	before := g.secure(t)
	if err := before(s.signed); err != nil {
		t.Fatal(err)
	}

	certificate(t, filepath.Join(g.dir, "tls.crt"), filepath.Join(g.dir, "tls.key"))
	now := g.secure(t)
	eventually(t, "a new connection gets the new certificate", func() bool { return now(s.signed) == nil })
	// The other client does not trust the new certificate: its connection lives on.
	if err := before(s.signed); err != nil {
		t.Error(err)
	}
}

// secure is a client that trusts the certificate that lies in the gateway's folder
// now, and no other. What it gives asks for the signed tag, over HTTP/2, on one
// connection that stays open.
func (g *gateway) secure(t testing.TB) func(signed digest.Digest) error {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(g.dir, "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return func(signed digest.Digest) error {
		res, err := (&http.Client{Transport: transport, Timeout: patience}).Get(g.url + "/v2/corp/shop/app/manifests/v1")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if got := digest.FromBytes(body); err != nil || res.ProtoMajor != 2 || res.StatusCode != http.StatusOK || got != signed {
			return fmt.Errorf("%s %s, %s, %v", res.Proto, res.Status, got, err)
		}
		return nil
	}
}
