package config

import (
	"errors"
	"os"
	"path/filepath"
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
		c, err := Parse("tagwarden.yaml", data, present)
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
		if s.Notary == nil || s.Notary.Host == "" || len(s.Pins) == 0 || s.GUN == "" || s.MaxStale < s.Refresh || s.Refresh <= 0 {
			t.Errorf("source %s is not whole: %+v", name, s)
		}
	}
	for _, u := range c.Rules {
		_, ok := c.Sources[u.Source]
		if u.Match.String() == "" || u.Name == "" || u.Mode != Enforce && u.Mode != Deny || ok != (u.Mode == Enforce) {
			t.Errorf("rule is not whole: %+v", u)
		}
	}
}
