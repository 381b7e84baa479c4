package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCacheCommands: what is there is counted, what is damaged is set aside, and what should go goes.
func TestCacheCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tagwarden.yaml")
	if err := os.WriteFile(file, []byte("cache: {dir: cache, size: 1GiB}\nrules: [{match: ghcr.io/**, mode: deny}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(content, stored string) {
		d := digest.FromString(content)
		path := filepath.Join(dir, "cache", "sha256", d.Encoded()[:2], d.Encoded())
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(stored), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("good", "good")
	put("bad", "odd")
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"cache", 2, "stats, scrub or prune"},
		{"cache stats", 0, "7 bytes in 2 files, of 1.0 GiB"},
		{"cache stats -o json", 0, `"Bytes": 7`},
		{"cache stats -o xml", 2, "neither text nor json"},
		{"cache scrub --rate fast", 2, "no size"},
		{"cache scrub --rate 1GiB", 1, "1 damaged file set aside"},
		{"cache scrub --rate 1GiB", 0, "0 damaged files set aside"},
		{"cache stats", 0, "damaged, set aside     1 file"},
		{"cache prune", 2, "either --to SIZE or --all"},
		{"cache prune --to much", 2, `--to "much" is no size`},
		{"cache prune --to 1MiB --all", 2, "either --to SIZE or --all"},
		{"cache prune --to 1MiB", 0, "0 bytes removed, 0 files"},
		{"cache prune --all", 0, "4 bytes removed, 1 file"},
		{"cache stats", 0, "0 bytes in 0 files"},
	} {
		var out bytes.Buffer
		if status := run(t.Context(), append(strings.Fields(c.args), "--config", file), &out, &out); status != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit status %d\n%s", c.args, status, out.String())
		}
	}
}
