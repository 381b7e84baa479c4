package main

import (
	"os"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust/signing"
)

func TestPassphraseLines(t *testing.T) {
	long := strings.Repeat("x", maxPassphrase)
	for _, c := range []struct{ in, repository, root string }{
		{"one\n", "one", "one"}, {"one", "one", "one"}, {"one\r\ntwo\r\n", "one", "two"}, {long + "\n" + long + "\n", long, long},
		{" spaces stay \n", " spaces stay ", " spaces stay "},
		{"", "", ""}, {"\n", "", ""}, {"one\n\n", "", ""}, {"one\ntwo\nthree\n", "", ""}, {long + "x", "", ""}, {strings.Repeat("\n", 5000), "", ""}, {"a\x00b", "", ""},
	} {
		lines, err := passphraseLines(strings.NewReader(c.in))
		if (err == nil) != (c.root != "") {
			t.Errorf("%.20q: %v", c.in, err)
		}
		if err != nil {
			continue
		}
		p := &passphrases{lines: lines}
		repository, _ := p.find(t.Context(), repositoryKeys, "", false)
		root, _ := p.find(t.Context(), rootKeys, "", false)
		if string(repository) != c.repository || string(root) != c.root {
			t.Errorf("%.20q: %.20q and %.20q", c.in, repository, root)
		}
	}
}

// TestEnvironment: each class of keys has a variable of its own.
func TestEnvironment(t *testing.T) {
	vars := map[string]string{"TAGWARDEN_ROOT_PASSPHRASE": "r", "TAGWARDEN_REPOSITORY_PASSPHRASE": "s"}
	p := &passphrases{getenv: func(k string) string { return vars[k] }}
	for role, want := range map[string]string{"root": "r", "targets": "s", "alice": "s", "snapshot": "s", "timestamp": "s"} {
		for _, fresh := range []bool{false, true} {
			got, err := p.forKeys(t.Context(), "")(signing.Ask{Role: role, New: fresh})
			if err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", role, got, err)
			}
		}
	}
	vars["TAGWARDEN_ROOT_PASSPHRASE"] = "two\nlines"
	if _, err := p.find(t.Context(), rootKeys, "", false); err == nil || !strings.Contains(err.Error(), "TAGWARDEN_ROOT_PASSPHRASE: ") {
		t.Error(err)
	}
	file := t.TempDir() + "/online"
	if err := os.WriteFile(file, []byte("o\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := p.forKeys(t.Context(), file)(signing.Ask{Role: "timestamp"}); err != nil || string(got) != "o" {
		t.Errorf("%q, %v", got, err)
	}
}
