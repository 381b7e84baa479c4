//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestDrain ends the gateway while a client is in the middle of a layer.
func TestDrain(t *testing.T) {
	s := newStack(t)
	publisher := newSigner(t, newEngine(t), s)
	repository := s.repository("shop/app")
	root := publisher.adopt(t, repository)
	// More than the buffers of both ends of a connection can hold.
	publisher.make(t, repository+":v1", 32<<20)
	publisher.sign(t, repository+":v1")
	g := newGateway(t, s, settings{pin: pinned(root)})
	layer := layerOf(t, g, "corp/shop/app/manifests/v1")

	res, err := client.Get("http://" + g.addr + "/v2/corp/shop/app/blobs/" + layer.String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	verifier := layer.Verifier()
	if _, err := io.CopyN(verifier, res.Body, 1<<20); err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}

	g.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if _, err := io.Copy(verifier, res.Body); err != nil {
		t.Fatalf("the rest of the layer: %v", err)
	}
	if !verifier.Verified() {
		t.Error("the layer is not what its digest says")
	}
	if status := g.wait(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// layerOf is the digest of the one layer of a manifest.
func layerOf(t testing.TB, g *gateway, path string) digest.Digest {
	t.Helper()
	a := g.ask(t, http.MethodGet, path)
	var manifest struct {
		Layers []struct{ Digest digest.Digest }
	}
	if err := json.Unmarshal(a.body, &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("%s: status %d, %v: %s", path, a.status, err, a.body)
	}
	return manifest.Layers[0].Digest
}
