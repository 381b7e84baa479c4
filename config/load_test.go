package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
)

// write puts files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const denyAll = "rules: [{match: \"**\", mode: deny}]\n"

func TestLoadJoinsPathsToTheFolderOfTheFile(t *testing.T) {
	dir := write(t, map[string]string{
		"c.yaml":  "tls: {cert: tls.crt, key: ./tls.key}\nstate: state\naudit: {file: ../audit.jsonl}\n" + denyAll,
		"tls.crt": "", "tls.key": "",
	})
	c, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.TLS.Cert:   filepath.Join(dir, "tls.crt"),
		c.TLS.Key:    filepath.Join(dir, "tls.key"),
		c.State:      filepath.Join(dir, "state"),
		c.Audit.File: filepath.Join(filepath.Dir(dir), "audit.jsonl"),
	} {
		if got != want {
			t.Errorf("path %s, want %s", got, want)
		}
	}
}

func TestLoadSaysWhichFilesItCannotRead(t *testing.T) {
	dir := write(t, map[string]string{"c.yaml": "tls: {cert: gone.crt, key: .}\n" + denyAll})
	_, err := Load(filepath.Join(dir, "c.yaml"))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("Load: %v", err)
	}
	for i, want := range []string{"no such file or directory", "not a regular file"} {
		if !strings.HasSuffix(problems[i].Text, want) {
			t.Errorf("problem %q, want one that ends in %q", problems[i].Text, want)
		}
	}
}

func TestLoadReturnsTheReadError(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	var problems Problems
	if _, err := Load(dir); err == nil || errors.As(err, &problems) {
		t.Errorf("a folder: %v", err)
	}
}

func TestNamedFilesAreOpened(t *testing.T) {
	dir := write(t, map[string]string{"there": ""})
	if err := readable(filepath.Join(dir, "there")); err != nil {
		t.Error(err)
	}
	if os.Getuid() == 0 {
		return // root reads everything
	}
	if err := os.Chmod(filepath.Join(dir, "there"), 0); err != nil {
		t.Fatal(err)
	}
	if err := readable(filepath.Join(dir, "there")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file without permissions: %v", err)
	}
}

// TestLimits: at a limit a file is read, beyond it is refused.
func TestLimits(t *testing.T) {
	comment := func(size int) string { return denyAll + "#" + strings.Repeat("x", size-len(denyAll)-1) }
	for _, c := range []struct{ name, text, want string }{
		{"largest", comment(maxSize), ""},
		{"too large", comment(maxSize + 1), "1:1: the file is larger than 1MiB"},
		{"most words", "hosts: [" + strings.Repeat("x,", maxTokens/2-2) + "]\n", "rules: there are none"},
		{"too many words", "hosts: [" + strings.Repeat("x,", maxTokens/2-1) + "]\n", ":1:32774: more than 32768 words and marks up to here"},
		{"brackets", "hosts: " + strings.Repeat("[", maxTokens/2), "1:24: nested deeper than 16"},
		{"depth is of one line", "hosts:\n" + strings.Repeat("- [x]\n", 40) + denyAll, "hosts[39]: a list, not text"},
		{"empty items", "hosts:\n" + strings.Repeat(" -\n", 40) + denyAll, "hosts[39]: no value"},
		{"long path", "state: " + strings.Repeat("x", maxPath+1) + "\n" + denyAll, "state: longer than 4096 bytes"},
		{"indentation", strings.Join(steps(1000), ""), "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"c.yaml": c.text})
			_, err := Load(filepath.Join(dir, "c.yaml"))
			if err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%.300s; want %q", err, c.want)
			}
		})
	}
}

// steps returns n keys, each inside the one before.
func steps(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = strings.Repeat(" ", i) + "a:\n"
	}
	return lines
}

func TestAPanicOfTheParserIsAnError(t *testing.T) {
	file, err := guard(func() (*ast.File, error) { panic("index out of range") })
	if file != nil || err == nil {
		t.Errorf("guard = %v, %v", file, err)
	}
	r := &reader{file: "c.yaml", wrong: make(map[string]bool)}
	r.syntax(err)
	if got := r.problems.Error(); got != "c.yaml:1:1: not YAML: the parser gave up on it" {
		t.Errorf("got %q", got)
	}
}

func TestProblemsAreSortedAndHarmless(t *testing.T) {
	p := Problems{{"a\x1b[2Jb.yaml", 10, 2, "third"}, {"f", 2, 10, "second"}, {"f", 2, 9, "first"}}
	p.sort()
	if got, want := p.Error(), "f:2:9: first\nf:2:10: second\na\\x1b[2Jb.yaml:10:2: third"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPlaceWithoutTokenIsTheStart(t *testing.T) {
	if p := placeOf("a", nil); p != (place{"a", 1, 1}) {
		t.Errorf("placeOf = %v", p)
	}
}
