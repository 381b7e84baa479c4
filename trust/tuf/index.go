package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// wildcards are what ends the beginning of a pattern that stands for itself.
const wildcards = `*?[\`

// An index finds the delegations that are for a name without trying every pattern: by what a pattern begins with before
// its first wildcard, and by how many parts it has.
type index struct {
	lengths []int // of the beginnings, sorted
	by      map[shape][]pattern
	hashed  []hashed
}

// A shape is what a pattern must have in common with a name.
type shape struct {
	begin string
	parts int
}

// A pattern is one path of a delegation.
type pattern struct {
	of    int // the number of the delegation
	parts []string
}

// A hashed is a delegation by hashes of names.
type hashed struct {
	of       int
	prefixes []string
}

func newIndex(roles []metadata.DelegatedRole) index {
	x := index{by: make(map[shape][]pattern)}
	for i, d := range roles {
		for _, path := range d.Paths {
			begin := path
			if end := strings.IndexAny(path, wildcards); end >= 0 {
				begin = path[:end]
			}
			p := pattern{i, strings.Split(path, "/")}
			of := shape{begin, len(p.parts)}
			x.by[of] = append(x.by[of], p)
			if at, ok := slices.BinarySearch(x.lengths, len(begin)); !ok {
				x.lengths = slices.Insert(x.lengths, at, len(begin))
			}
		}
		if len(d.PathHashPrefixes) > 0 {
			x.hashed = append(x.hashed, hashed{i, d.PathHashPrefixes})
		}
	}
	return x
}

// weight is what a delegation's paths count against maxPatterns.
func weight(d metadata.DelegatedRole) int {
	n := len(d.Paths) + len(d.PathHashPrefixes)
	for _, path := range d.Paths {
		if strings.IndexAny(path, wildcards) == 0 {
			n += looseWeight - 1
		}
	}
	return n
}

// matches tells whether the pattern is for the name, as the library does, but at no cost in memory.
//
// TUF: section 4.5, a pattern is matched part by part, and must have as many parts as the name.
func (p *pattern) matches(name string) bool {
	for i, part := range p.parts {
		own, rest, more := strings.Cut(name, "/")
		if more != (i < len(p.parts)-1) {
			return false
		}
		if ok, err := filepath.Match(part, own); !ok || err != nil {
			return false
		}
		name = rest
	}
	return true
}

// covering returns the numbers of the delegations for the name, in order. It adds to work how many paths it tried.
func (x *index) covering(name string, work *int64) []int {
	var found []int
	parts := strings.Count(name, "/") + 1
	for _, n := range x.lengths {
		if n > len(name) {
			break
		}
		tried := x.by[shape{name[:n], parts}]
		*work += int64(1 + len(tried))
		for _, p := range tried {
			if p.matches(name) {
				found = append(found, p.of)
			}
		}
	}
	if len(x.hashed) > 0 {
		sum := sha256.Sum256([]byte(name))
		of := hex.EncodeToString(sum[:])
		for _, h := range x.hashed {
			*work += int64(len(h.prefixes))
			if slices.ContainsFunc(h.prefixes, func(p string) bool { return strings.HasPrefix(of, p) }) {
				found = append(found, h.of)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
