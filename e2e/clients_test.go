//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestOtherClients pulls with what is not docker.
func TestOtherClients(t *testing.T) {
	s := newStack(t)
	publisher := newSigner(t, newEngine(t), s)
	repository := s.repository("shop/app")
	root := publisher.adopt(t, repository)
	publisher.make(t, repository+":v1", 1<<20)
	publisher.sign(t, repository+":v1")
	signed := upstreamDigest(t, repository, "v1")
	for _, tag := range []string{"v1", "v2"} {
		publisher.make(t, repository+":"+tag, 1<<20)
		publisher.docker(t, "push", repository+":"+tag)
	}
	g := newGateway(t, s, settings{pin: pinned(root)})
	good, bad := g.image("shop/app:v1"), g.image("shop/app:v2")

	t.Run("skopeo", func(t *testing.T) { skopeo(t, good, bad, signed) })
	t.Run("podman", func(t *testing.T) { podman(t, good, bad, signed) })
	t.Run("containerd", func(t *testing.T) { containerd(t, g, publisher.engine, repository, signed) })
}

func skopeo(t *testing.T, good, bad string, signed digest.Digest) {
	need(t, "skopeo")
	dir := t.TempDir()
	env := environment(dir)
	out, status := run(t, env, nil, "skopeo", "inspect", "--tls-verify=false", "docker://"+good)
	var image struct {
		Digest   digest.Digest
		RepoTags []string
	}
	if err := json.Unmarshal([]byte(out), &image); status != 0 || err != nil {
		t.Fatalf("inspect: exit status %d, %v\n%s", status, err, out)
	}
	if image.Digest != signed || strings.Join(image.RepoTags, " ") != "v1" {
		t.Errorf("inspect: %+v, signed is %s", image, signed)
	}

	copied := "dir:" + filepath.Join(dir, "copy")
	if out, status := run(t, env, nil, "skopeo", "copy", "--src-tls-verify=false", "docker://"+good, copied); status != 0 {
		t.Errorf("copy: exit status %d\n%s", status, out)
	}
	out, status = run(t, env, nil, "skopeo", "copy", "--src-tls-verify=false", "docker://"+bad, copied)
	wantRefusal(t, out, status)
}

func podman(t *testing.T, good, bad string, signed digest.Digest) {
	need(t, "podman")
	cli := newPodman(t, "")
	if out, status := cli("pull", "--tls-verify=false", good); status != 0 {
		t.Fatalf("pull: exit status %d\n%s", status, out)
	}
	out, status := cli("image", "inspect", "--format", "{{.Digest}}", good)
	if got := strings.TrimSpace(out); status != 0 || got != signed.String() {
		t.Errorf("pulled %s, signed is %s", got, signed)
	}
	out, status = cli("pull", "--tls-verify=false", bad)
	wantRefusal(t, out, status)
}

// newPodman gives a podman with storage of its own. registries is the text of its
// registries.conf; without one, that of the machine holds.
func newPodman(t *testing.T, registries string) func(args ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	env := environment(dir)
	if registries != "" {
		file := filepath.Join(dir, "registries.conf")
		write(t, file, registries)
		env = append(env, "CONTAINERS_REGISTRIES_CONF="+file)
	}
	t.Cleanup(func() { unmount(t, dir) })
	storage := []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}
	return func(args ...string) (string, int) { return run(t, env, nil, "podman", append(storage, args...)...) }
}

// ctr runs containerd's own client against the containerd that dockerd has.
func (e *engine) ctr(t testing.TB, args ...string) (string, int) {
	t.Helper()
	socket := filepath.Join(e.dir, "exec", "containerd", "containerd.sock")
	return run(t, e.env, nil, "ctr", append([]string{"--address", socket, "--namespace", "e2e"}, args...)...)
}

// containerd pulls by the upstream's own name, and asks the gateway as every
// registry's only mirror. The containerd is the one dockerd has.
func containerd(t *testing.T, g *gateway, e *engine, repository string, signed digest.Digest) {
	need(t, "ctr")
	hosts := t.TempDir()
	if err := os.Mkdir(filepath.Join(hosts, "_default"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(hosts, "_default", "hosts.toml"), fmt.Sprintf(`server = "http://%[1]s"
[host."http://%[1]s"]
capabilities = ["pull", "resolve"]
`, g.addr))
	pull := []string{"images", "pull", "--snapshotter", "native", "--hosts-dir", hosts}

	if out, status := e.ctr(t, append(pull, repository+":v1")...); status != 0 {
		t.Fatalf("pull: exit status %d\n%s", status, out)
	}
	if out, status := e.ctr(t, "images", "list"); status != 0 || !strings.Contains(out, signed.String()) {
		t.Errorf("signed is %s, pulled is\n%s", signed, out)
	}
	// This version of ctr does not show the body of a refusal.
	if out, status := e.ctr(t, append(pull, repository+":v2")...); status == 0 || !strings.Contains(out, "403 Forbidden") {
		t.Errorf("an unsigned tag: exit status %d\n%s", status, out)
	}
}

// wantRefusal checks that a client failed and showed why.
func wantRefusal(t *testing.T, out string, status int) {
	t.Helper()
	if status == 0 || !strings.Contains(out, "is not signed") || !strings.Contains(out, "[unsigned_tag ") {
		t.Errorf("an unsigned tag: exit status %d\n%s", status, out)
	}
}
