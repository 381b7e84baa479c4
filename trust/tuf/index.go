package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// An index finds the delegations that are for a name without trying every pattern: by what a pattern begins with before
// its first wildcard.
type index struct {
	lengths []int // of the beginnings, sorted
	by      map[string][]pattern
	hashed  []hashed
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
	x := index{by: make(map[string][]pattern)}
	for i, d := range roles {
		for _, path := range d.Paths {
			begin := path
			if end := strings.IndexAny(path, `*?[\`); end >= 0 {
				begin = path[:end]
			}
			x.by[begin] = append(x.by[begin], pattern{i, strings.Split(path, "/")})
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

// covering returns the numbers of the delegations for the name, in order.
func (x *index) covering(name string) []int {
	var found []int
	parts := strings.Count(name, "/") + 1
	for _, n := range x.lengths {
		if n > len(name) {
			break
		}
		for _, p := range x.by[name[:n]] {
			if len(p.parts) == parts && p.matches(name) {
				found = append(found, p.of)
			}
		}
	}
	if len(x.hashed) > 0 {
		sum := sha256.Sum256([]byte(name))
		of := hex.EncodeToString(sum[:])
		for _, h := range x.hashed {
			if slices.ContainsFunc(h.prefixes, func(p string) bool { return strings.HasPrefix(of, p) }) {
				found = append(found, h.of)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
