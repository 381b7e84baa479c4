package names

import (
	"errors"
	"fmt"
	"strings"
)

// A Match selects full names: one of them, those one component below a prefix ("host/team/*"), all below a prefix
// ("host/team/**"), or all there are ("**"). Matches nest or are disjoint, so the most specific one is always plain.
// The zero Match selects nothing.
type Match struct {
	kind   kind
	prefix string
}

type kind uint8

const (
	none kind = iota
	full
	child
	below
	all
)

// ParseMatch reads a match and brings its names into full form. The error says what is wrong and what to write.
func ParseMatch(s string) (Match, error) {
	if s == "**" {
		return Match{kind: all}, nil
	}
	prefix, k := s, full
	if p, ok := strings.CutSuffix(s, "/**"); ok {
		prefix, k = p, below
	} else if p, ok := strings.CutSuffix(s, "/*"); ok {
		prefix, k = p, child
	}
	if strings.Contains(prefix, "*") {
		return Match{}, fmt.Errorf(`match %.80q: a star stands only at the end, as "/*" (one more component) or "/**" (one or more), or alone as "**"`, s)
	}
	if k == full {
		if host, err := Host(prefix); err == nil && !strings.Contains(prefix, "/") {
			return Match{}, fmt.Errorf(`match %q is a registry without images: write "%s/**" for all of it`, s, host)
		}
		name, err := Repository(prefix)
		if err != nil {
			return Match{}, fmt.Errorf("match: %w", err)
		}
		return Match{kind: full, prefix: name}, nil
	}
	host, path, nested := strings.Cut(prefix, "/")
	host, err := Host(host)
	if err != nil {
		return Match{}, fmt.Errorf("match: %w", err)
	}
	if !nested {
		if k == child && host == DockerHub {
			return Match{}, errors.New(`match "docker.io/*" selects nothing, names there have two components: write "docker.io/library/*" or "docker.io/**"`)
		}
		return Match{kind: k, prefix: host}, nil
	}
	name, err := join(host, path)
	if err != nil {
		return Match{}, fmt.Errorf("match: %w", err)
	}
	return Match{kind: k, prefix: name}, nil
}

// String returns the match in full form. ParseMatch reads it back to an equal Match.
func (m Match) String() string {
	switch m.kind {
	case full:
		return m.prefix
	case child:
		return m.prefix + "/*"
	case below:
		return m.prefix + "/**"
	case all:
		return "**"
	}
	return ""
}

// Host returns the registry host that the match names, or "" for "**".
func (m Match) Host() string {
	host, _ := Split(m.prefix)
	return host
}

// An Index finds the most specific of many matches for a name. It is filled first and then only read; reading is safe
// for concurrent use. The zero Index is empty.
type Index[T any] struct {
	entries map[Match]T
}

// Add puts v under m. It reports false, and changes nothing, when m is there already.
func (x *Index[T]) Add(m Match, v T) bool {
	if _, dup := x.entries[m]; dup {
		return false
	}
	if x.entries == nil {
		x.entries = make(map[Match]T)
	}
	x.entries[m] = v
	return true
}

// Find returns what stands under the most specific match that selects the full name: the name itself, then the
// prefixes from the longest to the shortest, "/*" before "/**", at last "**".
func (x *Index[T]) Find(repository string) (T, bool) {
	if v, ok := x.entries[Match{full, repository}]; ok {
		return v, true
	}
	k := child
	for i := strings.LastIndexByte(repository, '/'); i > 0; i = strings.LastIndexByte(repository[:i], '/') {
		if k == child {
			if v, ok := x.entries[Match{child, repository[:i]}]; ok {
				return v, true
			}
			k = below
		}
		if v, ok := x.entries[Match{below, repository[:i]}]; ok {
			return v, true
		}
	}
	v, ok := x.entries[Match{kind: all}]
	return v, ok
}

// Len returns how many matches there are.
func (x *Index[T]) Len() int { return len(x.entries) }
