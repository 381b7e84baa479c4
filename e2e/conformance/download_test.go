package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestDownload: what is signed is downloaded, once, and nothing that is served in its place.
func TestDownload(t *testing.T) {
	s := newSuite(t)
	s.sign(s.Targets, "file.txt", "one")
	s.sign(s.Targets, "path/to/a file.txt", "two")
	s.Next(s.Targets)
	if err := s.download("nothing.txt"); err == nil || s.trusted() != "root=1 snapshot=2 targets=2 timestamp=2" {
		t.Errorf("a refresh comes first: %v, trusts %s", err, s.trusted())
	}
	for _, name := range []string{"file.txt", "path/to/a file.txt"} {
		for range 2 {
			if err := s.download(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if got := s.downloaded(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("downloaded %q", got)
	}
	txt := 0
	for _, file := range s.requests() {
		if strings.HasSuffix(file, ".txt") {
			txt++
		}
	}
	if txt != 2 {
		t.Errorf("fetched %d times", txt)
	}
}

// TestSubstitution: whatever is served, only what is signed is stored; and what is signed anew takes the old one's place.
func TestSubstitution(t *testing.T) {
	s := newSuite(t)
	serve := func(text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for file := range s.content {
			s.content[file] = text
		}
	}
	for i := range 4 {
		want := fmt.Sprint("version ", i)
		s.sign(s.Targets, "file", want)
		s.sign(s.Targets, "other", "other "+want)
		s.Next(s.Targets)
		if err := s.download("file"); err != nil {
			t.Fatal(err)
		}
		for _, malicious := range []string{"malice", strings.Repeat("x", len("other "+want)), strings.Repeat("x", 1<<20)} {
			serve(malicious)
			if err := s.download("other"); err == nil {
				t.Error("no error")
			}
			if err := s.download("file"); err != nil { // it is there
				t.Error(err)
			}
			if got := s.downloaded(); !slices.Equal(got, []string{want}) {
				t.Errorf("downloaded %.40q", got)
			}
		}
	}
}

// TestHashes: by which hashes a target may be signed.
func TestHashes(t *testing.T) {
	const text = "content"
	a, b := digest.FromString(text).Encoded(), digest.SHA512.FromString(text).Encoded()
	for _, c := range []struct {
		name   string
		hashes map[string]any
		ok     bool
	}{
		{"sha256", map[string]any{"sha256": a}, true},
		{"sha512", map[string]any{"sha512": b}, true},
		{"both", map[string]any{"sha256": a, "sha512": b}, true},
		{"both, and one is wrong", map[string]any{"sha256": a, "sha512": digest.SHA512.FromString("x").Encoded()}, false},
		{"one that nobody knows", map[string]any{"unknown": b}, false},
		{"one more that nobody knows", map[string]any{"sha256": a, "unknown": b}, true},
		{"none", map[string]any{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSuite(t)
			s.Targets.Sign("file", text)
			s.Targets.Edit = func(m map[string]any) { m["targets"].(map[string]any)["file"].(map[string]any)["hashes"] = c.hashes }
			s.Next(s.Targets)
			for _, sum := range c.hashes {
				s.content[fmt.Sprint(sum, ".file")] = text
			}
			if err := s.download("file"); (err == nil) != c.ok {
				t.Error(err)
			}
			if got := s.downloaded(); (len(got) == 1) != c.ok {
				t.Errorf("downloaded %q", got)
			}
		})
	}
}

// TestInconsistent: in a repository of one state at a time, targets and metadata have names without hash and version.
func TestInconsistent(t *testing.T) {
	s := newSuite(t)
	s.Consistent = false
	s.Targets.Sign("a/file", "text")
	s.content["a/file"] = "text"
	s.Next(s.Root, s.Targets)
	if err := s.download("a/file"); err != nil {
		t.Error(err)
	}
	want := []string{"2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json", "a/file"}
	if got := s.requests(); !slices.Equal(got, want) {
		t.Errorf("asked for %v", got)
	}
	s.verbatim()
}

// TestTooLarge: nobody has a client read more than there is room for.
func TestTooLarge(t *testing.T) {
	s := newSuite(t)
	s.Targets.Entries["file"] = trusttest.Entry{Digest: digest.FromString("x"), Length: maxTarget + 1}
	s.Next(s.Targets)
	s.requests()
	if err := s.download("file"); err == nil || slices.ContainsFunc(s.requests(), func(file string) bool { return strings.HasSuffix(file, ".file") }) {
		t.Errorf("%v", err)
	}
}
