package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A killer is the test that noticed a mutant.
type killer struct {
	Package, Test string
	// Sources are the files of the module with which it did.
	Sources string
}

// String names the killer.
func (k killer) String() string { return k.Package + " " + k.Test }

// named tells whether it is known which test it was.
func (k killer) named() bool {
	return strings.HasPrefix(k.Test, "Test") || strings.HasPrefix(k.Test, "Fuzz")
}

// killers are those that are known, by the keys of their mutants. They are kept in a file.
type killers struct {
	file, sources string
	by            map[string]killer
}

// readKillers reads the file, which need not exist, for the files below root as they are now.
func readKillers(file, root string) (*killers, error) {
	sources, err := sum(root)
	if err != nil {
		return nil, err
	}
	k := &killers{file, sources, make(map[string]killer)}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &k.by)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which may be removed: %w", file, err)
	}
	return k, nil
}

// of returns what noticed the mutant before, and whether files have changed since.
func (k *killers) of(m mutant) (before killer, again bool) {
	before = k.by[m.key()]
	return before, before.Sources != k.sources
}

// kills returns how many mutants a test has noticed.
func (k *killers) kills(p, test string) int {
	n := 0
	for _, by := range k.by {
		if name, _, _ := strings.Cut(by.Test, "/"); by.Package == p && name == test {
			n++
		}
	}
	return n
}

// add keeps what noticed a mutant.
func (k *killers) add(m mutant, by killer) error {
	by.Sources = k.sources
	k.by[m.key()] = by
	data, err := json.MarshalIndent(k.by, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(k.file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(k.file+".new", k.file)
}

// sum returns the hash of all files that tests may depend on.
func sum(root string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case !d.Type().IsRegular() || d.Name() == "accepted.txt" || d.Name() == ".git":
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%q\n", path)
		_, err = io.Copy(h, f)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
