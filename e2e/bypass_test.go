//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	// bypasses is the metric of clients that are seen to go around the gateway.
	bypasses = `tagwarden_security_events_total{kind="bypass_suspected"}`
	// denials is the metric of tags that are refused for want of a signature.
	denials = `tagwarden_decisions_total{mode="enforce",reason="unsigned_tag",rule="shop",verdict="deny"}`
)

// puller pulls a tag of shop/app by the upstream's own name.
type puller func(tag string) (out string, status int)

// TestBypass pulls by the upstream's own name: with the mirror configuration that
// is found everywhere, an unsigned tag arrives all the same; with the one that
// tagwarden prints it does not, and nobody but the gateway asks the upstream.
func TestBypass(t *testing.T) {
	s := newScene(t)
	tests := []struct {
		name    string
		agent   string // how the client calls itself
		pullers func(*testing.T, *scene, *gateway) (closed, open puller)
		seen    int // how many ways around the gateway sees; podman does not come back with the digest
	}{
		{"containerd", "containerd/", containerdPullers, 1},
		{"podman", "containers/", podmanPullers, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, s.stack, settings{pin: pinned(s.root)})
			closed, open := test.pullers(t, s, g)
			wantClosed(t, closed)
			if n := s.asked(t, test.agent); n != 0 {
				t.Errorf("closed: the upstream has %d requests", n)
			}

			denied := g.metric(t, denials)
			if out, status := open("v2"); status != 0 {
				t.Errorf("open, an unsigned tag: exit status %d\n%s", status, out)
			}
			if g.metric(t, denials) == denied {
				t.Error("open: the gateway has refused nothing")
			}
			asked := s.asked(t, test.agent)
			if asked == 0 {
				t.Error("open: the upstream has no request")
			}
			eventually(t, "the way around is counted", func() bool { return g.metric(t, bypasses) == float64(test.seen) })
			eventually(t, "the way around is logged", func() bool { return g.logged(t, `"bypass_suspected"`) == test.seen })

			g.end(t)
			if out, status := closed("v1"); status == 0 {
				t.Errorf("closed, without a gateway: pulled all the same\n%s", out)
			}
			if n := s.asked(t, test.agent); n != asked {
				t.Errorf("closed, without a gateway: the upstream has %d requests more", n-asked)
			}
		})
	}
}

// wantClosed checks that a signed tag arrives, and no other.
func wantClosed(t *testing.T, closed puller) {
	t.Helper()
	if out, status := closed("v1"); status != 0 {
		t.Errorf("closed, a signed tag: exit status %d\n%s", status, out)
	}
	if out, status := closed("v2"); status == 0 || !strings.Contains(out, "403 Forbidden") && !strings.Contains(out, "is not signed") {
		t.Errorf("closed, an unsigned tag: exit status %d\n%s", status, out)
	}
}

func containerdPullers(t *testing.T, s *scene, g *gateway) (closed, open puller) {
	need(t, "ctr")
	with := func(text string) puller {
		hosts := hostsFolder(t, text)
		return func(tag string) (string, int) {
			return s.publisher.ctr(t, "images", "pull", "--snapshotter", "native", "--hosts-dir", hosts, s.repository+":"+tag)
		}
	}
	return with(printed(t, g, "containerd")), with(fmt.Sprintf(`# /etc/containerd/certs.d/%[1]s/hosts.toml
server = "http://%[1]s"
[host."http://%[2]s"]
  capabilities = ["pull", "resolve"]
`, s.registry, g.addr))
}

func podmanPullers(t *testing.T, s *scene, g *gateway) (closed, open puller) {
	need(t, "podman")
	with := func(text string) puller {
		cli := newPodman(t, text)
		return func(tag string) (string, int) { return cli("pull", s.repository+":"+tag) }
	}
	return with(printed(t, g, "podman")), with(fmt.Sprintf(`[[registry]]
prefix = %[1]q
location = %[1]q
insecure = true
[[registry.mirror]]
location = "%[2]s/corp"
insecure = true
`, s.registry, g.addr))
}

// TestBypassVariant lets the upstream deliver content by digest, as an outage of
// the gateway may make welcome: it is still not asked what a tag means.
func TestBypassVariant(t *testing.T) {
	need(t, "ctr")
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root)})
	hosts := hostsFolder(t, printed(t, g, "containerd", "--variant", "digests"))
	wantClosed(t, func(tag string) (string, int) {
		return s.publisher.ctr(t, "images", "pull", "--snapshotter", "native", "--hosts-dir", hosts, s.repository+":"+tag)
	})
	if n := s.asked(t, "containerd/"); n != 0 {
		t.Errorf("the upstream has %d requests", n)
	}
	g.end(t)
	if out, status := s.publisher.ctr(t, "content", "fetch", "--hosts-dir", hosts, s.repository+"@"+upstreamDigest(t, s.repository, "v2").String()); status != 0 {
		t.Errorf("without a gateway, by digest: exit status %d\n%s", status, out)
	}
	if s.asked(t, "containerd/") == 0 {
		t.Error("without a gateway, by digest: the upstream has no request")
	}
}

// printed is what tagwarden prints for a client of the gateway.
func printed(t *testing.T, g *gateway, name string, more ...string) string {
	t.Helper()
	out, status := tagwarden(t, append([]string{"client", name, "--config", g.config, "--gateway", g.url}, more...)...)
	if status != 0 {
		t.Fatalf("client %s: exit status %d\n%s", name, status, out)
	}
	return out
}

// hostsFile is the line above each part of what is printed for containerd.
var hostsFile = regexp.MustCompile(`(?m)^# /etc/containerd/certs\.d/(\S+)/hosts\.toml$`)

// hostsFolder writes each part to the file that its first line names, as the text
// itself asks for, and gives the folder.
func hostsFolder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	parts := hostsFile.FindAllStringSubmatchIndex(text, -1)
	if len(parts) == 0 {
		t.Fatalf("no files in\n%s", text)
	}
	for i, at := range parts {
		end := len(text)
		if i+1 < len(parts) {
			end = parts[i+1][0]
		}
		folder := filepath.Join(dir, text[at[2]:at[3]])
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "hosts.toml"), text[at[0]:end])
	}
	return dir
}
