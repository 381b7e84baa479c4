package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"

	"github.com/tagwarden/tagwarden/config"
)

// TestModes: each word of the config means the mode it says.
func TestModes(t *testing.T) {
	for _, m := range []config.Mode{config.Enforce, config.Audit, config.Allow, config.Deny} {
		if got := modes[m]; got.String() != string(m) {
			t.Errorf("%s is %s", m, got)
		}
	}
	if modes["other"] != trust.NoMode {
		t.Error("a word that nobody knows has a mode")
	}
}

// command runs one command of the binary in this process.
func command(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	var both bytes.Buffer
	status = run(t.Context(), args, &both, &both)
	return both.String(), status
}

// TestExplainPast: a decision is found again by its id.
func TestExplainPast(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tagwarden.yaml")
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tagwarden.yaml", `state: state
cache: {dir: cache}
audit: {file: audit.jsonl}
rules: [{match: ghcr.io/a/*, mode: deny}]
`)
	const id, other = "01M86TT1VV2QXBVSCCH0NJT32X", "01M86TT1VV2QXBVSCCH0NJT32Y"
	write("audit.jsonl", fmt.Sprintf("{\"decision\":%q,\"tag\":%q}\nnot json %s\n{\"decision\":%q,\"tag\":\"v1\"}\n", other, id, id, id))
	if out, status := command(t, "explain", "--config", file, id); status != 0 || !strings.Contains(out, `"tag": "v1"`) || strings.Contains(out, other) {
		t.Errorf("%d %s", status, out)
	}
	if out, status := command(t, "explain", "--config", file, "01M86TT1VV2QXBVSCCH0NJT320"); status != 1 || !strings.Contains(out, "has no decision") {
		t.Errorf("%d %s", status, out)
	}
	if out, status := command(t, "explain", "--config", file, "ghcr.io/a/b:v1"); status != 1 || !strings.Contains(out, "rule_deny") || !strings.Contains(out, "ghcr.io/a/* is the most specific match") {
		t.Errorf("%d %s", status, out)
	}
	// The running gateway has a configuration of its own.
	if out, status := command(t, "explain", "--config", file+".gone", "--admin", "ftp://x", "a"); status != exitUsage {
		t.Errorf("%d %s", status, out)
	}
	for _, args := range [][]string{{"explain", "--config", file, "--admin", "ftp://x", "a"}, {"explain", "--config", file, "A B"}, {"explain", "--config", file, "-o", "xml", "a"}} {
		if out, status := command(t, args...); status != exitUsage {
			t.Errorf("%v: %d %s", args, status, out)
		}
	}
}
