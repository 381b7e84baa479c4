//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// craneModule is the command of go-containerregistry, which is also what many tools
// pull with. It is built from its own module, so that go.mod stays free of it.
const craneModule = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"

// TestCrane asks for digests, images and lists.
func TestCrane(t *testing.T) {
	crane := newCrane(t)
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root)})
	s.push(t, "v1")
	good, bad := g.image("shop/app:v1"), g.image("shop/app:v2")

	for args, want := range map[string]string{
		"digest " + good:            s.signed.String(),
		"ls " + g.image("shop/app"): "v1",
		"validate --remote " + good: "PASS: " + good,
		"digest " + g.image("shop/app@"+upstreamDigest(t, s.repository, "v2").String()): upstreamDigest(t, s.repository, "v2").String(),
	} {
		if out, status := crane(strings.Fields(args)...); status != 0 || strings.TrimSpace(out) != want {
			t.Errorf("crane %s: exit status %d, want %s:\n%s", args, status, want, out)
		}
	}
	for _, args := range [][]string{{"digest", bad}, {"pull", bad, filepath.Join(t.TempDir(), "image.tar")}} {
		out, status := crane(args...)
		wantRefusal(t, out, status)
	}
}

// newCrane builds crane. What Go has downloaded and compiled before is used again.
func newCrane(t *testing.T) func(args ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	if out, status := run(t, append(os.Environ(), "GOBIN="+dir, "GOFLAGS="), nil, "go", "install", craneModule); status != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("build crane: exit status %d\n%s", status, out)
		}
		t.Skipf("crane cannot be built: %s", out)
	}
	return func(args ...string) (string, int) {
		return run(t, environment(dir), nil, filepath.Join(dir, "crane"), args...)
	}
}
