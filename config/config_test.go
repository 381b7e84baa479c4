package config

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

var update = flag.Bool("update", false, "write the golden files anew")

// present stands in for the disk: every file is there but those whose name says otherwise.
func present(path string) error {
	if strings.HasPrefix(filepath.Base(path), "missing") {
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return nil
}

// TestGolden compares all that is said about each file of testdata with the text beside it; no text beside it: the
// file is good.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if c, err := Parse("tagwarden.yaml", data, present, Options{}); err != nil {
				got = err.Error() + "\n"
				if c != nil {
					t.Error("a config came beside the error")
				}
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".errors"
			if *update {
				updateGolden(t, golden, got)
			}
			want, err := os.ReadFile(golden)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			harmless(t, got)
			if strings.Contains(got, "hunter2") {
				t.Error("a problem shows the password that the file hides")
			}
		})
	}
}

func updateGolden(t *testing.T, golden, text string) {
	var err error
	if text == "" {
		err = os.RemoveAll(golden)
	} else {
		err = os.WriteFile(golden, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// harmless fails when a text could act upon a terminal.
func harmless(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.ContainsFunc(line, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("control characters in %q", line)
		}
	}
}
