//go:build e2e

package e2e

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStateReset loses what was trusted on first use: nothing is trusted anew
// before a person has said so.
func TestStateReset(t *testing.T) {
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: "{tofu: true}"})
	served(t, g, "v1", s.signed)
	g.end(t)
	damage(t, filepath.Join(g.dir, "state"))
	g.serve(t)
	a := g.ask(t, http.MethodGet, "corp/shop/app/manifests/v1")
	if r := a.refusal(t); a.status != http.StatusServiceUnavailable || r.reason != "state_unavailable" {
		t.Fatalf("with a damaged state: status %d, %+v", a.status, r)
	}
	g.end(t)

	reset := []string{"state", "reset", "--config", g.config, "--reason", "the disk was full"}
	if out, status := tagwarden(t, append(reset, "corp", s.repository)...); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	if out, status := tagwarden(t, append(reset, "corp", s.repository)...); status != 1 {
		t.Errorf("what is forgotten already: exit status %d\n%s", status, out)
	}
	audit, err := os.ReadFile(g.audit)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(audit)), "\n")
	for _, want := range []string{`"event":"state_reset"`, `"collection":"` + s.repository + `"`, `"why":"the disk was full"`} {
		if last := lines[len(lines)-1]; !strings.Contains(last, want) {
			t.Errorf("the last audit line has no %s: %s", want, last)
		}
	}
	g.serve(t)
	served(t, g, "v1", s.signed)
}

// damage changes the last byte of every file of the state folder.
func damage(t *testing.T, dir string) {
	t.Helper()
	damaged := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			return err
		}
		data[len(data)-1] ^= 0xff
		damaged++
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d files damaged: %v", damaged, err)
	}
}
