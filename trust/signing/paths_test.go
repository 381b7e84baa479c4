package signing

import (
	"fmt"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		match    string
		yes, no  []string
		patterns int
	}{
		{"docker.io/nginx", []string{"docker.io/library/nginx:1"}, []string{"docker.io/library/nginx-evil:1", "docker.io/library/nginx/x:1", "docker.io/nginx:1"}, 1},
		{"ghcr.io/team/*", []string{"ghcr.io/team/app:v1", "ghcr.io/team/b:latest"}, []string{"ghcr.io/team/app/sub:v1", "ghcr.io/team2/app:v1", "ghcr.io/team:v1"}, 1},
		{"ghcr.io/team/**", []string{"ghcr.io/team/app:v1", "ghcr.io/team/a/b/c/d/e/f/g/h:1"}, []string{"ghcr.io/team:v1", "ghcr.io/other/app:v1", "ghcr.io/team/a/b/c/d/e/f/g/h/i:1"}, 8},
		{"localhost:5000/**", []string{"localhost:5000/app:v1", "localhost:5000/a/b:v1"}, []string{"localhost:5001/app:v1"}, 8},
		{"[::1]:5000/app", []string{"[::1]:5000/app:v1"}, []string{":::5000/app:v1", "1:5000/app:v1"}, 1},
		{"**", []string{"docker.io/library/nginx:1", "localhost:5000/app:v1", "[::1]:5000/a/b:1"}, []string{"app:1"}, 8},
	} {
		full, paths, err := patterns(c.match)
		must(t, err)
		d := metadata.DelegatedRole{Paths: paths}
		for _, path := range c.yes {
			if !covers(d, path) {
				t.Errorf("%s does not select %s", c.match, path)
			}
		}
		for _, path := range c.no {
			if covers(d, path) {
				t.Errorf("%s selects %s", c.match, path)
			}
		}
		if got := matches(paths); len(got) != 1 || got[0] != full || len(paths) != c.patterns {
			t.Errorf("%s is %d patterns, which read as %v", c.match, len(paths), got)
		}
	}
	_, deep, err := patterns("a.b/**")
	must(t, err)
	_, one, err := patterns("a.b/c/d")
	must(t, err)
	if got := matches(append(append(deep, one...), "somebody/else's")); fmt.Sprint(got) != "[a.b/** a.b/c/d somebody/else's]" {
		t.Errorf("matches %v", got)
	}
}

func TestFileNames(t *testing.T) {
	for file, want := range map[string]string{
		"1.root.json": "root 1", "12.alice.json": "alice 12", "3.a%2Fb.json": "a/b 3", "7.x.root.json": "x.root 7",
		"timestamp.json": "", "0.root.json": "", "01.root.json": "", "1.a/b.json": "", "1..json": "", "1.a%2fb.json": "", "x.root.json": "",
		"1.root.json.tmp": "", "-1.root.json": "", "99999999999999999999.root.json": "", "1.%zz.json": "", "1.%41.json": "",
	} {
		role, version, ok := parseName(file)
		if got := fmt.Sprintf("%s %d", role, version); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %s, %v; want %q", file, got, ok, want)
		}
	}
}

func TestExpiry(t *testing.T) {
	var x Expiry
	for _, role := range []string{"root", "signers", "timestamp"} {
		must(t, x.Set(role, 3600e9))
	}
	for _, bad := range []error{x.Set("alice", 3600e9), x.Set("root", 0), x.Set("root", 1500e6), x.Set("root", maxExpiry+1e9)} {
		if bad == nil {
			t.Error("taken")
		}
	}
	r := metadata.Root()
	r.Signed.UnrecognizedFields = map[string]any{expiryField: x.member()}
	read, err := clone(r)
	must(t, err)
	if got := expiryOf(read); got.of("alice") != x.of("alice") || got.of("root") != 3600e9 || got.of("targets") != 365*24*3600e9 || got.of("snapshot") != 30*24*3600e9 {
		t.Errorf("read back %+v", got)
	}
	read.Signed.UnrecognizedFields[expiryField] = map[string]any{"root": 7, "targets": "-3h", "snapshot": "never", "else": "3h"}
	if got := expiryOf(read); got != (Expiry{}) {
		t.Errorf("nonsense reads as %+v", got)
	}
}
