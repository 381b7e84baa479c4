package names

import (
	"strings"
	"testing"
)

func TestRepository(t *testing.T) {
	long := "r.example/" + strings.Repeat("a", 250)
	for _, c := range []struct{ in, want string }{
		{"docker.io/nginx", "docker.io/library/nginx"},
		{"Index.Docker.io/nginx", "docker.io/library/nginx"},
		{"registry-1.docker.io/org/app", "docker.io/org/app"},
		{"docker.io:443/library/nginx", "docker.io/library/nginx"},
		{"ghcr.io/a/b/c", "ghcr.io/a/b/c"},
		{"127.0.0.1:25500/dct/app", "127.0.0.1:25500/dct/app"},
		{"localhost/app", "localhost/app"},
		{"[::1]:5000/app", "[::1]:5000/app"},
		{"registry.example.com/a__b/c--d", "registry.example.com/a__b/c--d"},
		{"nginx", ""}, {"nginx/nginx", ""}, {"ghcr.io/", ""}, {"ghcr.io//a", ""}, {"ghcr.io/a/", ""},
		{"ghcr.io/A", ""}, {"ghcr.io/a:1", ""}, {"ghcr.io/a@sha256:00", ""}, {"ghcr.io/../a", ""}, {"ghcr.io/a/../b", ""},
		{"ghcr.io/a%2fb", ""}, {"ghcr.io/ä", ""}, {"ghcr.io/a\n", ""}, {"ghcr.io/a b", ""}, {"gh_cr.io/a", ""},
		{"ghcr.io:99999999/a b", ""}, {"user@ghcr.io/a", ""}, {"ghcr.io:/a", ""}, {long, ""}, {"", ""}, {"/a", ""},
	} {
		got, err := Repository(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Repository(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestTag(t *testing.T) {
	for s, ok := range map[string]bool{
		"v1": true, "_x": true, "1.27-alpine": true, strings.Repeat("a", 128): true,
		"": false, "-x": false, ".x": false, "a:b": false, "a/b": false, "a b": false, "a\n": false, "ä": false, strings.Repeat("a", 129): false,
	} {
		if err := Tag(s); (err == nil) != ok {
			t.Errorf("Tag(%q) = %v", s, err)
		}
	}
}

func TestParseMatch(t *testing.T) {
	for _, c := range []struct{ in, want, fault string }{
		{"**", "**", ""},
		{"docker.io/library/*", "docker.io/library/*", ""},
		{"index.docker.io/library/*", "docker.io/library/*", ""},
		{"docker.io/nginx", "docker.io/library/nginx", ""},
		{"docker.io/**", "docker.io/**", ""},
		{"Registry.Example.com:443/team-a/**", "registry.example.com/team-a/**", ""},
		{"quay.io/*", "quay.io/*", ""},
		{"docker.io/*", "", "docker.io/library/*"},
		{"*", "", "star"}, {"/**", "", "not a registry host"}, {"quay.io/a*", "", "star"}, {"quay.io/*/a", "", "star"}, {"quay.io/**/*", "", "star"},
		{"quay.io/a/***", "", "star"}, {"quay/a/*", "", "needs a dot or a port"}, {"quay.io/A/*", "", "not an image name"},
		{"quay.io", "", `write "quay.io/**"`}, {"quay.io/a:1", "", "not an image name"}, {"", "", "no registry host"}, {"nginx", "", `no registry host: write it in full, as "docker.io/library/nginx"`},
	} {
		m, err := ParseMatch(c.in)
		if m.String() != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("ParseMatch(%q) = %q, %v; want %q, %q", c.in, m, err, c.want, c.fault)
		}
	}
}

func TestIndexFindsTheMostSpecific(t *testing.T) {
	var x Index[string]
	for _, s := range []string{"**", "r.io/**", "r.io/*", "r.io/a/**", "r.io/a/*", "r.io/a/b", "r.io/a/b/**"} {
		m, err := ParseMatch(s)
		if err != nil {
			t.Fatal(err)
		}
		if !x.Add(m, s) || x.Add(m, "again") {
			t.Fatalf("Add(%q): want the first to stand and the second refused", s)
		}
	}
	for name, want := range map[string]string{
		"r.io/a":       "r.io/*",
		"r.io/a/b":     "r.io/a/b",
		"r.io/a/c":     "r.io/a/*",
		"r.io/a/c/d":   "r.io/a/**",
		"r.io/a/b/c":   "r.io/a/b/**",
		"r.io/a/b/c/d": "r.io/a/b/**",
		"r.io/ab/c":    "r.io/**",
		"r.iox/a/b":    "**",
		"s.io/a":       "**",
	} {
		if got, ok := x.Find(name); !ok || got != want {
			t.Errorf("Find(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
	if x.Len() != 7 {
		t.Errorf("Len = %d", x.Len())
	}
	if got, ok := new(Index[string]).Find("r.io/a"); ok {
		t.Errorf("an empty index found %q", got)
	}
}

func FuzzParseMatch(f *testing.F) {
	for _, s := range []string{"**", "docker.io/nginx", "quay.io/a/**", "quay.io/*", "docker.io/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMatch(s)
		if err != nil {
			return
		}
		again, err := ParseMatch(m.String())
		if err != nil || again != m {
			t.Errorf("%q reads as %q, which reads as %q, %v", s, m, again, err)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	var x Index[int]
	for i, s := range []string{"**", "r.io/**", "r.io/a/*"} {
		m, _ := ParseMatch(s)
		x.Add(m, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		x.Find("r.io/a/b/c/d")
	}
}
