// Package strict reads JSON that no two readers can read differently.
//
// Signed metadata is read by people's tools in many languages. What one of them takes for another document than its
// neighbour does, somebody can use: so a member that stands twice, data after the value, a number that not everybody holds
// exactly, or bytes that are not UTF-8 are errors here, where encoding/json lets them pass.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth   = 32
	maxInteger = 1<<53 - 1
)

// An Object is a JSON object, its members sorted by name.
type Object []Field

// A Field is one member of an Object.
type Field struct {
	Name  string
	Value any
}

// Decode reads one JSON value into Objects, []any, strings, int64s, bools and nils, nested at most 32 deep. It refuses
// documents of far more values than genuine ones of their size have, so that what it returns takes a bounded multiple of
// len(raw) in memory.
func Decode(raw []byte) (any, error) {
	// Genuine documents have about 20 bytes to a value.
	d := decoder{tree: true, left: 1024 + len(raw)/16, null: true}
	return d.document(raw)
}

// Check refuses what Decode refuses, and null wherever it stands but below members of the name free. It keeps nothing, so
// it costs less than Decode, and it lets some thousand more values pass.
func Check(raw []byte, free string) error {
	d := decoder{left: 4096 + len(raw)/16, free: free}
	_, err := d.document(raw)
	return err
}

type decoder struct {
	*json.Decoder
	tree bool   // return the values
	left int    // values that may still come
	null bool   // null may stand here
	free string // the member below which null may stand
}

func (d *decoder) document(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	d.Decoder = json.NewDecoder(bytes.NewReader(raw))
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
	case nil:
		if !d.null {
			return nil, errors.New("null where a value belongs")
		}
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
	o := Object{}
	for d.More() {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder gives nothing else in this place
		v, err := d.member(name, depth+1)
		if err != nil {
			return nil, err
		}
		o = append(o, Field{name, v})
	}
	slices.SortFunc(o, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	for i := range o {
		// DCT: W1, a repeated member means one thing to who signs and another to who reads.
		if i > 0 && o[i].Name == o[i-1].Name {
			return nil, fmt.Errorf("duplicate JSON member %.100q", o[i].Name)
		}
	}
	_, err := d.token()
	if !d.tree {
		return nil, err
	}
	return o, err
}

// member reads the value of a member.
func (d *decoder) member(name string, depth int) (any, error) {
	outer := d.null
	d.null = outer || d.free != "" && name == d.free
	v, err := d.value(depth)
	d.null = outer
	return v, err
}

func (d *decoder) list(depth int) (any, error) {
	l := []any{}
	for d.More() {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if d.tree {
			l = append(l, v)
		}
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
