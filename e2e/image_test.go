//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImage builds the container image as a person does, looks into it, and
// runs it.
func TestImage(t *testing.T) {
	need(t, "make")
	e := newEngine(t)
	// Go and make need more of the real environment; docker is still ours.
	env := append(os.Environ(), e.cli...)
	if out, status := run(t, env, nil, "make", "-C", "..", "image", "VERSION=of-the-test"); status != 0 {
		t.Fatalf("make image: exit status %d\n%s", status, out)
	}

	if out := e.docker(t, "run", "--rm", "tagwarden", "version"); !strings.Contains(out, "of-the-test") {
		t.Errorf("version is %q", out)
	}
	if user := e.docker(t, "image", "inspect", "--format", "{{.Config.User}}", "tagwarden"); strings.TrimSpace(user) != "65532:65532" {
		t.Errorf("the user is %q", user)
	}
	t.Run("files", func(t *testing.T) { imageFiles(t, e) })
	t.Run("serve", func(t *testing.T) { imageServes(t, e) })
}

// imageFiles lists the image: a program, certificates, and nothing to break in with.
func imageFiles(t *testing.T, e *engine) {
	id := strings.TrimSpace(e.docker(t, "create", "tagwarden"))
	archive := filepath.Join(e.dir, "image.tar")
	e.docker(t, "export", "--output", archive, id)
	out, status := run(t, environment(e.dir), nil, "tar", "--list", "--file", archive)
	if status != 0 {
		t.Fatal(out)
	}
	var files []string
	for name := range strings.Lines(out) {
		name = strings.TrimSpace(name)
		// The engine adds mount points of its own to every container.
		if !strings.HasSuffix(name, "/") && !slices.Contains([]string{".dockerenv", "dev/console",
			"etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}, name) {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "tagwarden"}; !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
}

// imageServes runs the gateway as the image's user, on folders only this user
// could have been given.
func imageServes(t *testing.T, e *engine) {
	config, addr := filepath.Join(e.dir, "tagwarden.yaml"), freePort(t)
	write(t, config, fmt.Sprintf(`listen: %q
admin: {listen: %q}
rules:
  - match: registry.example.com/**
    mode: deny
`, addr, freePort(t)))
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	e.docker(t, "run", "--detach", "--name", "gateway", "--network", "host", "--read-only",
		"--volume", config+":/etc/tagwarden/tagwarden.yaml:ro",
		"--volume", "state:/var/lib/tagwarden", "--volume", "cache:/var/cache/tagwarden", "tagwarden")
	eventually(t, "the container answers", func() bool {
		if running := e.docker(t, "inspect", "--format", "{{.State.Running}}", "gateway"); strings.TrimSpace(running) != "true" {
			t.Fatalf("the container ended:\n%s", e.docker(t, "logs", "gateway"))
		}
		return answers("http://" + addr + "/v2/")
	})
	e.docker(t, "stop", "gateway")
	if status := e.docker(t, "inspect", "--format", "{{.State.ExitCode}}", "gateway"); strings.TrimSpace(status) != "0" {
		t.Errorf("exit status %s\n%s", status, e.docker(t, "logs", "gateway"))
	}
}
