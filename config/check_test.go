package config

import (
	"testing"

	"github.com/tagwarden/tagwarden/trust/names"
)

// TestCoverageIsWhatTheMatchesSelect compares meets, for every pair of matches, with a search for a common name.
func TestCoverageIsWhatTheMatchesSelect(t *testing.T) {
	images := []string{"r.io/a", "r.io/b", "r.io/a/b", "r.io/a/c", "r.io/a/b/c", "r.io/a/b/d", "r.io/a/b/c/d", "s.io/a", "s.io/a/b"}
	all := append([]string{"**", "r.io/*", "r.io/**", "r.io/a/*", "r.io/a/**", "r.io/a/b/*", "r.io/a/b/**", "s.io/*", "s.io/**"}, images...)
	for _, pin := range all {
		c := cover([]Pin{{Match: match(t, pin)}})
		for _, rule := range all {
			if got, want := c.meets(match(t, rule)), common(match(t, pin), match(t, rule), images); got != want {
				t.Errorf("pin %s meets rule %s: %v, want %v", pin, rule, got, want)
			}
		}
	}
}

// common tells whether both matches select one of the images.
func common(a, b names.Match, images []string) bool {
	var x, y names.Index[bool]
	x.Add(a, true)
	y.Add(b, true)
	for _, image := range images {
		_, one := x.Find(image)
		_, two := y.Find(image)
		if one && two {
			return true
		}
	}
	return false
}
