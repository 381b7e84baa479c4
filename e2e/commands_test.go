//go:build e2e

package e2e

import (
	"os"
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
		{"client", 2, "podman"},
		{"client helm", 2, "helm"},
		{"audit", 2, "report"},
		{"state", 2, "reset"},
		{"state reset corp", 2, ""},
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

// TestCheckOnline asks the source what it has, and takes the pin from the answer.
func TestCheckOnline(t *testing.T) {
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: "{tofu: true}"})
	out, status := tagwarden(t, "check", "--online", "--config", g.config, s.repository)
	if status != 0 || !strings.Contains(out, s.root) {
		t.Errorf("exit status %d, no root key %s in\n%s", status, s.root, out)
	}
	s.source.end(t)
	if out, status := tagwarden(t, "check", "--online", "--config", g.config, s.repository); status != 1 || !strings.Contains(out, "corp") {
		t.Errorf("without the source: exit status %d\n%s", status, out)
	}
}

// TestExplainPast explains what the gateway said, before and after the audit log
// was moved away, and asks the running gateway itself.
func TestExplainPast(t *testing.T) {
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root)})
	explain := func(want string, args ...string) {
		t.Helper()
		out, status := tagwarden(t, append([]string{"explain", "--config", g.config}, args...)...)
		if !strings.Contains(out, want) {
			t.Errorf("explain %q: exit status %d, no %q in\n%s", args, status, want, out)
		}
	}
	first := tagOf(t, g, "v2").decision
	explain("unsigned_tag", first)
	explain("unsigned_tag", "--admin", "http://"+g.admin, s.repository+":v2")
	explain(s.signed.String(), "--admin", "http://"+g.admin, s.repository+":v1")

	moved := g.audit + ".1"
	if err := os.Rename(g.audit, moved); err != nil {
		t.Fatal(err)
	}
	g.hangup(t)
	eventually(t, "a new audit log is begun", func() bool {
		_, err := os.Stat(g.audit)
		return err == nil
	})
	second := tagOf(t, g, "v1").decision
	explain(s.signed.String(), second)
	explain("has no decision "+first, first)
	if out, status := tagwarden(t, "audit", "report", g.audit, moved); status != 0 || !strings.Contains(out, "allow 1, deny 1") {
		t.Errorf("report: exit status %d\n%s", status, out)
	}
}
