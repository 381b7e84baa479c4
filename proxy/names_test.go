package proxy

import (
	"errors"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/route"
)

// TestRepository has a row for each sentence of the contract about which registry a request means.
func TestRepository(t *testing.T) {
	full := Names{
		Hosts: []string{"Images.Corp:5000", "bare.corp", "tls.corp:443"},
		Registries: map[string]string{
			"docker.io": "", "ghcr.io": "", "registry.example.com": "corp", "127.0.0.1:5000": "local", "localhost:7000": "",
		},
		Default: "docker.io",
	}
	closed := full
	closed.Default = ""
	const unknownRegistry, badRequest = "403", "400"
	for _, c := range []struct {
		names          Names
		host, ns, path string
		want           string
	}{
		// 1. The Host header names a configured registry, and the whole path is the repository.
		{full, "registry.example.com", "", "team/app", "registry.example.com/team/app"},
		{full, "Registry.Example.Com:443", "", "team/app", "registry.example.com/team/app"},
		{full, "registry-1.docker.io", "", "nginx", "docker.io/library/nginx"},
		{full, "index.docker.io:443", "", "library/nginx", "docker.io/library/nginx"},
		{full, "ghcr.io", "", "docker.io/app", "ghcr.io/docker.io/app"},
		{full, "ghcr.io", "", "corp/app", "ghcr.io/corp/app"},
		{closed, "docker.io", "", "org/app", "docker.io/org/app"},
		// One of hosts, loopback, or an IP address: go on.
		{full, "images.corp:5000", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "IMAGES.corp:5000", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "bare.corp", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "bare.corp:1234", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "tls.corp", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "tls.corp:443", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "localhost", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "localhost:5000", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "127.0.0.1:5001", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "10.1.2.3", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "[::1]:5000", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		{full, "[2001:db8::1]", "", "ghcr.io/o/app", "ghcr.io/o/app"},
		// A registry that is a loopback address is one.
		{full, "127.0.0.1:5000", "", "ghcr.io/app", "127.0.0.1:5000/ghcr.io/app"},
		{full, "localhost:7000", "", "app", "localhost:7000/app"},
		// Any other Host.
		{full, "images.corp", "", "ghcr.io/o/app", unknownRegistry},
		{full, "images.corp:5001", "", "ghcr.io/o/app", unknownRegistry},
		{full, "evil.example", "", "ghcr.io/o/app", unknownRegistry},
		{full, "evil.example", "docker.io", "app", unknownRegistry},
		{full, "ghcr.io:5000", "", "o/app", unknownRegistry},
		{full, "ghcr.io.", "", "o/app", unknownRegistry},
		{full, "quay.io", "", "o/app", unknownRegistry},
		{full, "", "", "ghcr.io/o/app", unknownRegistry},
		{full, "sub.localhost", "", "ghcr.io/o/app", unknownRegistry},
		{full, "a b\n", "", "ghcr.io/o/app", unknownRegistry},
		{full, "localhost:443:443", "", "ghcr.io/o/app", unknownRegistry},
		{full, "images.corp:5000:443", "", "ghcr.io/o/app", unknownRegistry},
		{full, "localhost:a", "", "ghcr.io/o/app", unknownRegistry},
		{full, "localhost:000443", "", "ghcr.io/o/app", unknownRegistry},
		{full, "127.0.0.1:" + strings.Repeat("1", 30000), "", "ghcr.io/o/app", unknownRegistry},
		{full, "[fe80::1%" + strings.Repeat("a", 30000) + "]:5000", "", "ghcr.io/o/app", unknownRegistry},
		{full, "[::1", "", "ghcr.io/o/app", unknownRegistry},
		{full, "xlocalhost]", "", "ghcr.io/o/app", unknownRegistry},

		// 2. ns names the registry, and the whole path is the repository.
		{full, "localhost", "ghcr.io", "docker.io/app", "ghcr.io/docker.io/app"},
		{full, "localhost", "GHCR.io", "o/app", "ghcr.io/o/app"},
		{full, "localhost", "ghcr.io:443", "o/app", "ghcr.io/o/app"},
		{full, "localhost", "index.docker.io", "nginx", "docker.io/library/nginx"},
		{full, "localhost", "127.0.0.1:5000", "app", "127.0.0.1:5000/app"},
		{full, "localhost", "registry.example.com", "corp/app", "registry.example.com/corp/app"},
		{closed, "localhost", "docker.io", "library/nginx", "docker.io/library/nginx"},
		// Not configured and not well-known by a rule. A path is no name for ns.
		{full, "localhost", "quay.io", "o/app", unknownRegistry},
		{full, "localhost", "169.254.169.254", "latest/app", unknownRegistry},
		{full, "localhost", "corp", "app", unknownRegistry},
		{full, "localhost", "ghcr.io:5000", "o/app", unknownRegistry},

		// 3. The first component of the path is a registry's name or path.
		{full, "localhost", "", "registry.example.com/team/app", "registry.example.com/team/app"},
		{full, "localhost", "", "corp/team/app", "registry.example.com/team/app"},
		{full, "localhost", "", "local/app", "127.0.0.1:5000/app"},
		{full, "localhost", "", "127.0.0.1:5000/app", "127.0.0.1:5000/app"},
		{full, "localhost", "", "localhost:7000/app", "localhost:7000/app"},
		{full, "localhost", "", "docker.io/nginx", "docker.io/library/nginx"},
		{full, "localhost", "", "docker.io/org/app", "docker.io/org/app"},
		{closed, "localhost", "", "docker.io/nginx", "docker.io/library/nginx"},
		// An alias is folded.
		{full, "localhost", "", "index.docker.io/nginx", "docker.io/library/nginx"},
		{full, "localhost", "", "registry-1.docker.io/org/app", "docker.io/org/app"},
		// Only the first component.
		{full, "localhost", "", "corp/corp/app", "registry.example.com/corp/app"},
		{full, "localhost", "", "org/ghcr.io", "docker.io/org/ghcr.io"},
		// A dot or a colon that is none.
		{full, "localhost", "", "quay.io/o/app", unknownRegistry},
		{full, "localhost", "", "no.such/app", unknownRegistry},
		{full, "localhost", "", "127.0.0.1:5002/app", unknownRegistry},
		{full, "localhost", "", "x:1/app", unknownRegistry},
		{full, "localhost", "", "localhost/app", unknownRegistry},
		{full, "localhost", "", "no.such", unknownRegistry},
		// A registry with nothing behind it.
		{full, "localhost", "", "ghcr.io", badRequest},
		{full, "localhost", "", "corp", badRequest},

		// 4. The default registry.
		{full, "localhost", "", "nginx", "docker.io/library/nginx"},
		{full, "localhost", "", "library/nginx", "docker.io/library/nginx"},
		{full, "localhost", "", "org/app/part", "docker.io/org/app/part"},
		{closed, "localhost", "", "nginx", unknownRegistry},
		{closed, "localhost", "", "org/app", unknownRegistry},

		// Host and ns that name different registries.
		{full, "ghcr.io", "docker.io", "o/app", badRequest},
		{full, "ghcr.io", "quay.io", "o/app", badRequest},
		{full, "docker.io", "registry-1.docker.io", "nginx", "docker.io/library/nginx"},
	} {
		got, err := c.names.compile().repository(c.host, route.Request{Path: c.path, Namespace: c.ns})
		var u *unknown
		var e *route.Error
		switch {
		case errors.As(err, &u):
			got = "403"
			if u.name == "" || len(u.text) < 40 {
				t.Errorf("%+v: %+v says nothing", c, u)
			}
		case errors.As(err, &e):
			got = map[int]string{400: "400"}[e.Status]
		}
		if got != c.want {
			t.Errorf("host %q, ns %q, path %q: %s, %v; want %s", c.host, c.ns, c.path, got, err, c.want)
		}
	}
}

// What explain asks is what a request asks.
func TestNamesRepository(t *testing.T) {
	n := Names{Registries: map[string]string{"docker.io": ""}}
	if got, err := n.Repository("localhost:5000", "docker.io/nginx"); got != "docker.io/library/nginx" || err != nil {
		t.Error(got, err)
	}
	if _, err := n.Repository("ghcr.io", "o/app"); err == nil {
		t.Error("an unknown registry has a name")
	}
}

// A name that is too long only with its registry is refused too.
func TestRepositoryTooLong(t *testing.T) {
	n := Names{Registries: map[string]string{"registry.example.com": ""}, Default: "registry.example.com"}
	if got, err := n.Repository("localhost", strings.Repeat("a", 249)); err == nil {
		t.Error(got)
	}
}

func BenchmarkRepository(b *testing.B) {
	c := Names{Registries: map[string]string{"docker.io": ""}, Default: "docker.io"}.compile()
	for _, q := range []route.Request{{Path: "docker.io/library/nginx"}, {Path: "library/nginx", Namespace: "docker.io"}, {Path: "library/nginx"}} {
		b.Run(q.Path+q.Namespace, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.repository("127.0.0.1:5000", q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
