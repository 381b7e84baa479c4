//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// engine is a dockerd of the test's own: own images, own socket, no network.
type engine struct {
	dir  string
	home string   // the docker configuration of one user, keys included
	cli  []string // the variables that point a docker CLI at this engine, as this user
	env  []string // the whole environment of such a CLI
}

// newEngine starts dockerd. Its folder is not below t.TempDir, whose long names
// do not leave enough of the 108 bytes a socket path may have.
func newEngine(t testing.TB) *engine {
	t.Helper()
	need(t, "docker", "dockerd")
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmount(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e := (&engine{dir: dir}).as("somebody")
	// The machine's own /etc/docker/daemon.json is not ours.
	config := filepath.Join(dir, "daemon.json")
	write(t, config, "{}")
	daemon := start(t, dir, environment(dir), "dockerd",
		"--host", e.socket(),
		"--config-file", config,
		"--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--log-level", "warn",
		"--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false")
	daemon.ready(t, func() bool {
		_, status := run(t, e.env, nil, "docker", "version")
		return status == 0
	})
	return e
}

// socket is where the engine listens.
func (e *engine) socket() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

// as is the same engine for another user, who has keys of his own.
func (e *engine) as(user string) *engine {
	home := filepath.Join(e.dir, user)
	cli := []string{"DOCKER_HOST=" + e.socket(), "DOCKER_CONFIG=" + home}
	return &engine{dir: e.dir, home: home, cli: cli, env: environment(e.dir, cli...)}
}

// unmount removes what dockerd leaves mounted below its folder: the network
// namespace of containers that ran.
func unmount(t testing.TB, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", fields[4], err)
			}
		}
	}
}

// docker runs a command that must succeed, and gives what it printed.
func (e *engine) docker(t testing.TB, args ...string) string {
	t.Helper()
	out, status := run(t, e.env, nil, "docker", args...)
	if status != 0 {
		t.Fatalf("docker %s: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// refused runs a command that must fail, and gives what it printed.
func (e *engine) refused(t testing.TB, args ...string) string {
	t.Helper()
	out, status := run(t, e.env, nil, "docker", args...)
	if status == 0 {
		t.Fatalf("docker %s succeeded:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// make makes a local image of one layer with size random bytes.
func (e *engine) make(t testing.TB, reference string, size int) {
	t.Helper()
	content := make([]byte, size)
	rand.Read(content)
	layer := new(bytes.Buffer)
	w := tar.NewWriter(layer)
	if err := w.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out, status := run(t, e.env, layer, "docker", "import", "-", reference); status != 0 {
		t.Fatalf("docker import %s: %s", reference, out)
	}
}

// holds is the digest under which the engine has the image of a repository.
func (e *engine) holds(t testing.TB, reference string) digest.Digest {
	t.Helper()
	var digests []string
	out := e.docker(t, "image", "inspect", "--format", "{{json .RepoDigests}}", reference)
	if err := json.Unmarshal([]byte(out), &digests); err != nil || len(digests) != 1 {
		t.Fatalf("%s has the digests %s", reference, out)
	}
	_, d, _ := strings.Cut(digests[0], "@")
	return digest.Digest(d)
}

// upstreamDigest is what the registry itself says a tag means.
func upstreamDigest(t testing.TB, repository, tag string) digest.Digest {
	t.Helper()
	host, path, _ := strings.Cut(repository, "/")
	req, err := http.NewRequest(http.MethodGet, "http://"+host+"/v2/"+path+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s:%s: %s %v", repository, tag, res.Status, err)
	}
	return digest.FromBytes(body)
}
