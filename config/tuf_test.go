package config

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSmallestTUFSourceHasAllDefaults(t *testing.T) {
	c := parseFile(t, "testdata/tuf-smallest.yaml")
	same(t, c.Sources, map[string]Source{"site": {
		Dir:      "/etc/tagwarden/trust/metadata",
		Root:     "/etc/tagwarden/trust/metadata/1.root.json",
		Target:   "{name}:{tag}",
		Refresh:  time.Minute,
		MaxStale: 72 * time.Hour,
	}})
	same(t, c.Rules, []Rule{{Match: match(t, "docker.io/library/*"), Name: "docker.io/library/*", Mode: Enforce, Source: "site"}})
}

func TestAllOfTUF(t *testing.T) {
	c := parseFile(t, "testdata/tuf-all.yaml")
	for name, perName := range map[string]bool{
		"folder": false, "address": false, "folders": true, "addresses": true, "image": false, "notary": false,
	} {
		if got := c.Sources[name].PerName(); got != perName {
			t.Errorf("%s: PerName = %v", name, got)
		}
	}
	delete(c.Sources, "notary")
	const minute, days = time.Minute, 72 * time.Hour
	same(t, c.Sources, map[string]Source{
		"folder": {
			Dir:     "/etc/tagwarden/trust/metadata",
			Root:    "/etc/tagwarden/roots/site.json",
			Target:  "tags/{name}:{tag}",
			Publish: &Publish{PassphraseFile: "/etc/passphrase"},
			Refresh: 500 * time.Millisecond, MaxStale: days, Grace: 12 * time.Hour,
		},
		"address": {
			TUF:           &url.URL{Scheme: "https", Host: "trust.example.com", Path: "/tuf/site"},
			Root:          "/etc/roots/site.json",
			Target:        "{name}:{tag}",
			CA:            "/etc/tagwarden/ca.pem",
			Credentials:   &Credentials{Username: "reader", PasswordFile: "/etc/tagwarden/secret"},
			TokenRealms:   []string{"auth.example.com"},
			RedirectHosts: []string{"cdn.internal"},
			Refresh:       minute, MaxStale: days,
		},
		"folders": {
			Dir: "/srv/{name}/metadata", Root: "/etc/tagwarden/roots/{name}.json", Target: "{tag}",
			Refresh: minute, MaxStale: days,
		},
		"addresses": {
			TUF:    &url.URL{Scheme: "http", Host: "127.0.0.1:8080", Path: "/x-{name}/m"},
			Root:   "/etc/tagwarden/one.json",
			Target: "{name}:{tag}", Refresh: minute, MaxStale: days,
		},
		"image": {
			Dir: "/etc/metadata.d", Root: "/etc/tagwarden/one.json", Target: "v1/{tag}", Refresh: minute, MaxStale: days,
		},
	})
}

// TestTheFolderOfTheFileIsNoTemplate: a {name} that the config's own path brings in stands for no image.
func TestTheFolderOfTheFileIsNoTemplate(t *testing.T) {
	const text = "sources: {s: {tuf: trust, root: root.json}}\n" + denyAll
	_, err := Parse("/etc/{name}/c.yaml", []byte(text), present, Options{})
	if n := strings.Count(errorText(err), "{name} must stand there as it is written here"); n != 2 {
		t.Errorf("Parse = %v", err)
	}
	absolute := strings.NewReplacer("trust", "/trust", "root.json", "/root.json").Replace(text)
	if _, err := Parse("/etc/{name}/c.yaml", []byte(absolute), present, Options{}); err != nil {
		t.Error(err)
	}
}

// TestLoadWithUnmade: only what a new repository brings may be missing, and only where it was asked for.
func TestLoadWithUnmade(t *testing.T) {
	const source = "sources: {s: {tuf: trust, root: %root, publish: {passphrase_file: %pass}%more}}\n" + denyAll
	for _, c := range []struct {
		name, root, pass, more string
		load, unmade           string
	}{
		{"all there", "root", "pass", "", "", ""},
		{"no root", "gone", "pass", "", `s.root: cannot read "DIR/gone": no such file or directory`, ""},
		{"no passphrase", "root", "gone", "", `passphrase_file: cannot read "DIR/gone": no such file or directory`, ""},
		{"a folder", ".", "pass", "", "s.root: cannot read \"DIR\": not a regular file", "s.root: cannot read \"DIR\": not a regular file"},
		{"another file", "root", "pass", "}, n: {notary: \"https://n.example\", pins: {\"**\": {tofu: true}}, ca: gone",
			`n.ca: cannot read "DIR/gone"`, `n.ca: cannot read "DIR/gone"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer("%root", c.root, "%pass", c.pass, "%more", c.more).Replace(source)
			dir := write(t, map[string]string{"c.yaml": text, "root": "", "pass": ""})
			file := filepath.Join(dir, "c.yaml")
			_, strict := Load(file)
			_, lenient := LoadWith(file, Options{Unmade: true})
			for want, err := range map[*string]error{&c.load: strict, &c.unmade: lenient} {
				got := strings.ReplaceAll(errorText(err), dir, "DIR")
				if (*want == "") != (got == "") || !strings.Contains(got, *want) || strings.Contains(got, "\n") {
					t.Errorf("got %q, want %q", got, *want)
				}
			}
		})
	}
}

// errorText returns what an error says, and nothing for none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
