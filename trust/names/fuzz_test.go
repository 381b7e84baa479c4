package names

import (
	"slices"
	"strings"
	"testing"
)

// selects says by components, and not by prefixes of strings, whether a match in full form selects a full name.
func selects(match, name string) bool {
	want, have := strings.Split(match, "/"), strings.Split(name, "/")
	literal := want[:len(want)-1]
	switch want[len(want)-1] {
	case "**":
		return len(have) > len(literal) && slices.Equal(have[:len(literal)], literal)
	case "*":
		return len(have) == len(want) && slices.Equal(have[:len(literal)], literal)
	}
	return slices.Equal(have, want)
}

// rank orders the matches that select one name: the more components are literal the more specific, then one more component
// before any number of them.
func rank(match string) int {
	n := 3 * strings.Count(match, "/")
	switch {
	case match == "**":
		return -1
	case strings.HasSuffix(match, "/**"):
		return n
	case strings.HasSuffix(match, "/*"):
		return n + 1
	}
	return n + 2
}

// FuzzFind: a match never selects a name outside its literal prefix, which ends where a component does; of two matches the
// more specific governs, in whatever order they were added.
func FuzzFind(f *testing.F) {
	for _, c := range [][3]string{
		{"r.io/a/**", "r.io/**", "r.io/a/b"}, {"r.io/a/*", "r.io/a/**", "r.io/ab/c"}, {"r.io/a/b", "**", "r.io/a/b"}, {"r.io/*", "r.iox/*", "r.iox/a"},
		{"docker.io/library/*", "docker.io/nginx", "docker.io/nginx"}, {"r.io:443/a/**", "R.io/a/**", "r.io/a/b/c"}, {"**", "[::1]:5000/**", "[::1]:5000/a"},
	} {
		f.Add(c[0], c[1], c[2])
	}
	f.Fuzz(func(t *testing.T, a, b, name string) {
		name, err := Repository(name)
		if err != nil {
			return
		}
		var there, back Index[string]
		want, best := "", -2
		for _, s := range []string{a, b} {
			m, err := ParseMatch(s)
			if err != nil {
				continue
			}
			there.Add(m, m.String())
			if full := m.String(); selects(full, name) && rank(full) > best {
				want, best = full, rank(full)
			}
		}
		for _, s := range []string{b, a} {
			if m, err := ParseMatch(s); err == nil {
				back.Add(m, m.String())
			}
		}
		if got, ok := there.Find(name); got != want || ok != (best > -2) {
			t.Errorf("of %q and %q, %q governs %q, not %q", a, b, got, name, want)
		}
		if got, _ := back.Find(name); got != want {
			t.Errorf("of %q and %q, %q governs %q, not %q", b, a, got, name, want)
		}
	})
}

// FuzzHost: what is a host is ASCII, has one full form, and that is its own.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"registry.example", "R.io:443", "r.io:443:443", "a:4:443", "\u212a.io", "[::1]:443", "index.docker.io", "localhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		full, err := Host(s)
		if err != nil {
			return
		}
		if again, err := Host(full); err != nil || again != full {
			t.Errorf("%q is %q, which is %q, %v", s, full, again, err)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) || !strings.HasPrefix(strings.ToLower(s), full) && full != DockerHub {
			t.Errorf("%q is %q", s, full)
		}
	})
}
