package dct

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust/strict"
)

// canonical appends v, as strict.Decode returns it, in canonical JSON: members sorted bytewise, no white space, nothing escaped
// but quotes and backslashes. This is the message that Notary v1 signs.
func canonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return canonicalString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(b, e)
		}
		return append(b, ']')
	case strict.Object:
		b = append(b, '{')
		for i, f := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(canonicalString(b, f.Name), ':')
			b = canonical(b, f.Value)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func canonicalString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// A node is a place in a decoded document. Its readers never fail; the first thing that is not as it must be is kept in
// the document's one error, and what follows reads as zero. Member names match exactly.
type node struct {
	v    any
	at   *place
	name string // of the member below at
	bad  *error
}

// A place is where in a document a node is. It is spelt out only when something is wrong there.
type place struct {
	up   *place
	name string
}

// String spells the place, cut and quoted.
func (n node) String() string {
	path := fmt.Sprintf("%.60q", n.name)
	for p := n.at; p != nil && len(path) < 300; p = p.up {
		path = fmt.Sprintf("%.60q.%s", p.name, path)
	}
	return path
}

func (n node) fail(format string, a ...any) {
	if *n.bad == nil {
		*n.bad = fmt.Errorf("%s: %s", n, fmt.Sprintf(format, a...))
	}
}

// below returns the place of what n holds.
func (n node) below() *place { return &place{n.at, n.name} }

// get returns the member, which is null where there is none.
func (n node) get(name string) node {
	o, ok := n.v.(strict.Object)
	if !ok {
		n.fail("not an object")
	}
	child := node{nil, n.below(), name, n.bad}
	if i, ok := slices.BinarySearchFunc(o, name, func(f strict.Field, name string) int { return strings.Compare(f.Name, name) }); ok {
		child.v = o[i].Value
	}
	return child
}

// members returns the members of an object, sorted by name, at most limit of them. Null has none.
func (n node) members(limit int) iter.Seq2[string, node] {
	o, ok := n.v.(strict.Object)
	if n.v != nil && !ok {
		n.fail("not an object")
	}
	if len(o) > limit {
		n.fail("more than %d members", limit)
		o = nil
	}
	at := n.below()
	return func(yield func(string, node) bool) {
		for _, f := range o {
			if !yield(f.Name, node{f.Value, at, f.Name, n.bad}) {
				return
			}
		}
	}
}

// list returns the elements of an array, at most limit of them. Null has none.
func (n node) list(limit int) iter.Seq[node] {
	l, ok := n.v.([]any)
	if n.v != nil && !ok {
		n.fail("not an array")
	}
	if len(l) > limit {
		n.fail("more than %d elements", limit)
		l = nil
	}
	at := n.below()
	return func(yield func(node) bool) {
		for _, v := range l {
			if !yield(node{v, at, "[]", n.bad}) {
				return
			}
		}
	}
}

func (n node) str() string {
	s, ok := n.v.(string)
	if !ok {
		n.fail("not a string")
	}
	return s
}

// integer returns a number that is at least least.
func (n node) integer(least int64) int64 {
	i, ok := n.v.(int64)
	if !ok {
		n.fail("not a number")
	} else if i < least {
		n.fail("%d is less than %d", i, least)
	}
	return i
}

// time reads RFC 3339 with any fraction and offset, as Notary writes it.
func (n node) time() time.Time {
	s := n.str()
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		n.fail("%.60q is not an RFC 3339 time", s)
	}
	return t.UTC()
}
