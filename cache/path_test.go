package cache

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestPath(t *testing.T) {
	s := &Store{dir: "/c"}
	for d, want := range map[digest.Digest]string{
		digest.SHA256.FromString("x"): "/c/sha256/2d/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
		digest.SHA512.FromString("x"): "/c/sha512/a4/a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62",
	} {
		if got, err := s.path(d); err != nil || got != want {
			t.Errorf("%s: path is %q, %v", d, got, err)
		}
	}
}

func TestWhyADigestIsRefused(t *testing.T) {
	for d, want := range map[digest.Digest]error{
		"sha256":                                 digest.ErrDigestInvalidFormat,
		digest.SHA384.FromString("x"):            digest.ErrDigestUnsupported,
		"md5:":                                   digest.ErrDigestUnsupported,
		digest.SHA256.FromString("x") + "0":      digest.ErrDigestInvalidLength,
		digest.SHA256.FromString("x")[:70] + "Z": digest.ErrDigestInvalidFormat,
	} {
		if _, _, err := split(d); !errors.Is(err, want) {
			t.Errorf("%s: error is %v, want %v", d, err, want)
		}
	}
}

func TestDigestErrorsAreShort(t *testing.T) {
	_, _, err := split(digest.Digest(strings.Repeat("\x1b", 1<<20)))
	if got := err.Error(); len(got) > 1000 || strings.Contains(got, "\x1b") {
		t.Errorf("the message has %d bytes and may not be fit to print", len(got))
	}
}

// FuzzPath holds that a path comes from one digest only and lies where content lies.
func FuzzPath(f *testing.F) {
	for _, d := range malformed {
		f.Add(string(d))
	}
	f.Add(digest.SHA256.FromString("x").String())
	f.Add(digest.SHA512.FromString("x").String())
	below := regexp.MustCompile(`\A/c/(sha256/([0-9a-f]{2})/[0-9a-f]{64}|sha512/([0-9a-f]{2})/[0-9a-f]{128})\z`)
	s := &Store{dir: "/c"}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := s.path(digest.Digest(text))
		if err != nil {
			return
		}
		if !below.MatchString(path) {
			t.Fatalf("%q: path is %q", text, path)
		}
		folder, hex := filepath.Split(path)
		algorithm := filepath.Base(filepath.Dir(filepath.Clean(folder)))
		if back := algorithm + ":" + hex; back != text || filepath.Base(folder) != hex[:2] {
			t.Fatalf("%q: path %q means %q", text, path, back)
		}
		if err := digest.Digest(text).Validate(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// TestHas: people look without opening the store.
func TestHas(t *testing.T) {
	dir := t.TempDir()
	d := digest.FromString("content")
	file := filepath.Join(dir, "sha256", d.Encoded()[:2], d.Encoded())
	if Has(dir, d) || Has(dir, "sha256:../../x") || Has(dir, "") {
		t.Error("nothing is there")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]bool{"": false, "content": true} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if Has(dir, d) != want {
			t.Errorf("%q: %v", content, !want)
		}
	}
}
