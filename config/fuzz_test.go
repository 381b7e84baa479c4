package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: no text makes Parse panic; it gives a config or problems with places in the file, and no problem can act
// upon a terminal. A config that comes out holds what its comments promise.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("tagwarden.yaml", data, present, Options{})
		if err == nil {
			promised(t, c)
			return
		}
		var problems Problems
		if c != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("Parse = %v, %v", c, err)
		}
		for i, p := range problems {
			if p.Line < 1 || p.Column < 1 || i > 0 && problems[i-1].Line > p.Line {
				t.Errorf("problem %d is at %d:%d", i, p.Line, p.Column)
			}
		}
		harmless(t, err.Error())
	})
}

// promised fails when a config lacks what nobody checks again.
func promised(t *testing.T, c *Config) {
	if c.Listen == "" || c.Admin.Listen == "" || c.State == "" || c.Cache.Dir == "" || c.Cache.Size < smallest ||
		c.TrustMemory < smallest || c.Audit.OnFull == "" || len(c.Rules) == 0 {
		t.Errorf("something is not filled in: %+v", c)
	}
	known := c.KnownRegistries()
	if _, ok := known[c.DefaultRegistry]; !ok && c.DefaultRegistry != "" {
		t.Errorf("default registry %q is not known", c.DefaultRegistry)
	}
	for name, g := range known {
		if g.URL == nil || g.URL.Host == "" || g.URL.Path != "" || g.URL.User != nil {
			t.Errorf("registry %s is at %v", name, g.URL)
		}
	}
	for name, s := range c.Sources {
		whole := s.MaxStale >= s.Refresh && s.Refresh > 0
		if !whole || s.Notary == nil && !promisedTUF(s) || s.Notary != nil && !promisedNotary(s) {
			t.Errorf("source %s is not whole: %+v", name, s)
		}
	}
	for _, u := range c.Rules {
		_, ok := c.Sources[u.Source]
		if u.Match.String() == "" || u.Name == "" || ok != (u.Mode == Enforce || u.Mode == Audit) {
			t.Errorf("rule is not whole: %+v", u)
		}
		promisedRule(t, u)
	}
}

// promisedNotary tells whether a Notary source has what it needs, and nothing else.
func promisedNotary(s Source) bool {
	return s.Notary.Host != "" && len(s.Pins) > 0 && strings.Count(s.GUN, nameWord) == 1 &&
		s.TUF == nil && s.Dir == "" && s.Root == "" && s.Target == "" && s.Publish == nil && !s.PerName()
}

// promisedTUF tells whether a TUF source has what it needs, and nothing else, and keeps different images different.
func promisedTUF(s Source) bool {
	named := strings.Contains(s.Target, nameWord)
	ownRoots := strings.Contains(s.Root, nameWord)
	remote := s.CA != "" || s.Credentials != nil || s.TokenRealms != nil || s.RedirectHosts != nil
	return (s.TUF == nil) != (s.Dir == "") && (s.TUF == nil || s.TUF.Host != "" && s.TUF.RawPath == "") && (s.Dir == "" || !remote) &&
		s.Root != "" && strings.Count(s.Target, tagWord) == 1 && s.GUN == "" && s.Pins == nil &&
		(!ownRoots || s.PerName()) && (named || ownRoots || !s.PerName()) &&
		(s.Publish == nil || s.Dir != "" && !s.PerName() && s.Publish.PassphraseFile != "")
}

// promisedRule fails when a rule holds what its mode has no meaning for, or lacks what it needs.
func promisedRule(t *testing.T, u Rule) {
	open := !u.Until.IsZero() || u.TagTTL != 0 || u.StaleIfError != 0
	ok := false
	switch u.Mode {
	case Enforce:
		ok = !open && u.Reason == ""
	case Audit:
		ok = true
	case Allow:
		ok = u.Signers == nil && u.Reason != ""
	case Deny:
		ok = !open && u.Signers == nil
	}
	if !ok || u.TagTTL < 0 || u.TagTTL > day || u.StaleIfError < 0 || u.StaleIfError > 30*day {
		t.Errorf("rule does not go with its mode: %+v", u)
	}
	// Until is the beginning of a day, and formats as a date.
	if !u.Until.IsZero() && (u.Until.Year() < 2000 || u.Until.Year() > 3000 || !u.Until.Equal(u.Until.UTC().Truncate(day))) {
		t.Errorf("rule ends at %v", u.Until)
	}
	if s := u.Signers; s != nil {
		of := slices.Compact(slices.Sorted(slices.Values(s.Of)))
		if s.Threshold < 1 || s.Threshold > len(s.Of) || len(of) != len(s.Of) || len(of) > maxSigners || slices.Contains(of, "") {
			t.Errorf("signers are %+v", s)
		}
	}
}
