//go:build e2e

package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tagwarden runs one command of the binary and gives what it printed on both
// streams, and its exit status.
func tagwarden(t testing.TB, args ...string) (string, int) {
	t.Helper()
	return run(t, environment(t.TempDir()), nil, binary, args...)
}

// TestUsage covers what needs no configuration.
func TestUsage(t *testing.T) {
	tests := []struct {
		args   string
		status int
		want   string
	}{
		{"version", 0, "e2e"},
		{"--help", 0, "serve"},
		{"", 2, ""},
		{"sevre", 2, "sevre"},
		{"serve --config", 2, "config"},
		{"serve --colour", 2, "colour"},
		{"version now", 2, ""},
		{"explain", 2, ""},
		{"check --config /does/not/exist.yaml", 1, "/does/not/exist.yaml"},
		{"serve --config /does/not/exist.yaml", 1, "/does/not/exist.yaml"},
	}
	for _, test := range tests {
		out, status := tagwarden(t, strings.Fields(test.args)...)
		if status != test.status || !strings.Contains(out, test.want) {
			t.Errorf("tagwarden %s: exit status %d, want %d with %q:\n%s", test.args, status, test.status, test.want, out)
		}
	}
}

// broken has one mistake on each line that a comment marks.
const broken = `listen: "5000"                       # no port
admin: {listen: "127.0.0.1:5001"}
stat: /var/lib/tagwarden             # unknown key
cache: {size: 100 bananas}           # no size
sources:
  corp:
    notary: https://notary.example.com
    ca: missing.crt                  # no such file
    pins:
      registry.example.com/**: {keys: [short]}  # no key id
rules:
  - match: registry.example.com/**
    source: crop                     # no such source
  - match: registry.example.com/app
    mode: enforced                   # no such mode
  - match: registry.example.com/**   # the same match again
    source: corp
`

// TestCheck validates one good and one broken configuration.
func TestCheck(t *testing.T) {
	s := newStack(t)
	g := newGateway(t, s, settings{pin: "{tofu: true}"})
	if out, status := tagwarden(t, "check", "--config", g.config); status != 0 {
		t.Errorf("a good configuration: exit status %d\n%s", status, out)
	}

	file := filepath.Join(t.TempDir(), "broken.yaml")
	write(t, file, broken)
	out, status := tagwarden(t, "check", "--config", file)
	if status != 1 {
		t.Errorf("a broken configuration: exit status %d", status)
	}
	for i, line := range strings.Split(broken, "\n") {
		position := regexp.MustCompile(`(?m)broken\.yaml:` + strconv.Itoa(i+1) + `:\d+: \S`)
		if marked := strings.Contains(line, "#"); marked != position.MatchString(out) {
			t.Errorf("line %d (%s): a problem is printed: %v", i+1, line, !marked)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestExplain asks for the decision beside the running gateway, which has the
// state folder.
func TestExplain(t *testing.T) {
	s := newStack(t)
	publisher := newSigner(t, newEngine(t), s)
	repository := s.repository("shop/app")
	root := publisher.adopt(t, repository)
	publisher.make(t, repository+":v1", 1<<10)
	publisher.sign(t, repository+":v1")
	g := newGateway(t, s, settings{pin: pinned(root)})
	signed := upstreamDigest(t, repository, "v1").String()

	tests := []struct {
		reference string
		status    int
		want      []string
	}{
		{repository + ":v1", 0, []string{signed, "corp"}},
		{g.image("shop/app:v1"), 0, []string{signed}},
		{repository + ":v2", 1, []string{"unsigned_tag", "docker trust sign " + repository + ":v2"}},
		{repository + "@" + signed, 0, nil},
		{s.repository("other/app:v1"), 1, []string{"no_rule"}},
		{s.repository("banned/app:v1"), 1, []string{"rule_deny"}},
		{"registry.example.com/app:v1", 1, []string{"unknown_registry"}},
	}
	for _, test := range tests {
		out, status := tagwarden(t, "explain", "--config", g.config, test.reference)
		if status != test.status {
			t.Errorf("explain %s: exit status %d, want %d:\n%s", test.reference, status, test.status, out)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %s: no %q in\n%s", test.reference, want, out)
			}
		}
	}
}
