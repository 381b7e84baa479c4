package dct

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxDepth   = 32
	maxInteger = 1<<53 - 1
)

// An object is a JSON object, its members sorted by name.
type object []field

type field struct {
	name string
	v    any
}

// decode reads one JSON value into objects, slices, strings, int64s, bools and nils. It refuses everything that two
// readers could read differently: what decode returns and what canonical prints of it are the same document.
func decode(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	// Genuine documents have about 20 bytes to a value; the bound keeps hostile ones from taking many times their size in
	// memory.
	d := decoder{json.NewDecoder(bytes.NewReader(raw)), 1024 + len(raw)/16}
	d.UseNumber()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	// DCT: W9, nothing but white space after the value.
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the JSON value")
	}
	return v, nil
}

type decoder struct {
	*json.Decoder
	left int // values that may still come
}

func (d *decoder) token() (json.Token, error) {
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %.100q", err.Error())
	}
	return t, nil
}

func (d *decoder) value(depth int) (any, error) {
	if d.left--; d.left < 0 || depth > maxDepth {
		return nil, errors.New("JSON with too many values, or nested too deep")
	}
	t, err := d.token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return integer(t.String())
	case json.Delim:
		if t == '{' {
			return d.object(depth)
		}
		return d.list(depth)
	}
	return t, nil
}

func (d *decoder) object(depth int) (any, error) {
	o := object{}
	for d.More() {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder gives nothing else in this place
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, field{name, v})
	}
	slices.SortFunc(o, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for i := range o {
		// DCT: W1, a repeated member means one thing to who signs and another to who reads.
		if i > 0 && o[i].name == o[i-1].name {
			return nil, fmt.Errorf("duplicate JSON member %.100q", o[i].name)
		}
	}
	_, err := d.token()
	return o, err
}

func (d *decoder) list(depth int) (any, error) {
	l := []any{}
	for d.More() {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	_, err := d.token()
	return l, err
}

// integer reads a number as every implementation of canonical JSON prints it.
//
// DCT: W11, fractions, exponents, minus zero and what a float64 cannot hold are refused.
func integer(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger || s != strconv.FormatInt(n, 10) {
		return 0, fmt.Errorf("number %.40s is not a plain integer below 2^53", s)
	}
	return n, nil
}

// canonical appends v, as decode returns it, in canonical JSON: members sorted bytewise, no white space, nothing escaped
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
	case object:
		b = append(b, '{')
		for i, f := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(canonicalString(b, f.name), ':')
			b = canonical(b, f.v)
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
	o, ok := n.v.(object)
	if !ok {
		n.fail("not an object")
	}
	child := node{nil, n.below(), name, n.bad}
	if i, ok := slices.BinarySearchFunc(o, name, func(f field, name string) int { return strings.Compare(f.name, name) }); ok {
		child.v = o[i].v
	}
	return child
}

// members returns the members of an object, sorted by name, at most limit of them. Null has none.
func (n node) members(limit int) iter.Seq2[string, node] {
	o, ok := n.v.(object)
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
			if !yield(f.name, node{f.v, at, f.name, n.bad}) {
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
