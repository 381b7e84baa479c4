package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A reader walks the tree of one file and collects the problems. A value that is wrong reads as the zero value of its
// field, and checks that compare fields pass over zero values: one mistake, one problem.
type reader struct {
	file     string
	dir      string // what relative paths are relative to
	readable func(path string) error
	unmade   bool // see Options
	problems Problems
	places   map[string]place // of every value that was read, by path
	wrong    map[string]bool  // the paths of the problems
}

// A place is a position in the file and what stands there: "rules[2].mode".
type place struct {
	path         string
	line, column int
}

// start is where problems of the whole file are.
var start = place{line: 1, column: 1}

// A value is a part of the tree. Its place is where it begins; that of an empty value, mapping or list is its key.
type value struct {
	place
	node ast.Node
}

// A field reads the value of one key.
type field struct {
	key  string
	read func(value)
}

// set makes a field's read function from one that returns what it read.
func set[T any](to *T, read func(value) T) func(value) {
	return func(v value) { *to = read(v) }
}

// problem records what is wrong at a place.
func (r *reader) problem(p place, format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	r.wrong[p.path] = true
	if p.path != "" {
		text = printable(p.path) + ": " + text
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: max(p.line, 1), Column: max(p.column, 1), Text: text})
}

// at returns where path stands. If nothing stands there, it is what stands at one of the others, in that order.
func (r *reader) at(path string, others ...string) place {
	for _, one := range append([]string{path}, others...) {
		if p, ok := r.places[one]; ok {
			return place{path, p.line, p.column}
		}
	}
	return place{path, start.line, start.column}
}

// said counts which of the keys below path were written.
func (r *reader) said(path string, keys ...string) int {
	n := 0
	for _, key := range keys {
		if _, ok := r.places[join(path, key)]; ok {
			n++
		}
	}
	return n
}

// placeOf returns where the token stands.
func placeOf(path string, t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{path, start.line, start.column}
	}
	return place{path, t.Position.Line, t.Position.Column}
}

// child returns the value below path and remembers where it is. The key is nil in a list.
func (r *reader) child(path string, key ast.MapKeyNode, node ast.Node) value {
	v := value{placeOf(path, node.GetToken()), node}
	switch n := node.(type) {
	case *ast.MappingNode:
		if key == nil && !n.IsFlowStyle && len(n.Values) > 0 {
			v.place = placeOf(path, n.Values[0].Key.GetToken())
		}
	case *ast.SequenceNode, *ast.NullNode:
	default:
		key = nil
	}
	if key != nil {
		v.place = placeOf(path, key.GetToken())
	}
	if _, ok := r.places[path]; !ok {
		r.places[path] = v.place
	}
	return v
}

// fields reads a mapping whose keys are known. It goes through them in the order of fields, not of the file, so that a
// field may rest on those before it. It tells whether all keys were understood.
func (r *reader) fields(v value, section string, fields []field) bool {
	found := make(map[string]value, len(fields))
	before := len(r.problems)
	r.entries(v, func(key string, at place, val value) {
		if i := slices.IndexFunc(fields, func(f field) bool { return f.key == key }); i >= 0 {
			found[key] = val
			return
		}
		at.path = v.path
		r.unknown(at, section, key, fields)
	})
	understood := len(r.problems) == before
	for _, f := range fields {
		if val, ok := found[f.key]; ok {
			f.read(val)
		}
	}
	return understood
}

// required reads a mapping like fields, and reports which of the keys that must be there are not. A key that was not
// understood may be a missing one misspelt, so it is all that is said then. It tells, like fields, whether there is none.
func (r *reader) required(v value, section string, fields []field, keys ...string) bool {
	if !r.fields(v, section, fields) {
		return false
	}
	for _, key := range keys {
		if r.said(v.path, key) == 0 {
			r.problem(v.place, "needs %s", key)
		}
	}
	return true
}

// unknown reports a key that is none of the fields.
func (r *reader) unknown(at place, section, key string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	switch why, near := refusal(section, key), nearest(key, known); {
	case why != "":
		r.problem(at, "%s %s", key, why)
	case near != "":
		r.problem(at, "unknown key %.80q: did you mean %s?", key, near)
	default:
		r.problem(at, "unknown key %.80q: one of %s", key, strings.Join(known, ", "))
	}
}

// entries goes through a mapping, each key once, in the order of the file. The place is that of the key.
func (r *reader) entries(v value, each func(key string, at place, val value)) {
	m, ok := v.node.(*ast.MappingNode)
	if !ok {
		r.mistyped(v, "a mapping")
		return
	}
	first := make(map[string]int, len(m.Values))
	for _, e := range m.Values {
		key, ok := e.Key.(*ast.StringNode)
		at := placeOf(v.path, e.Key.GetToken())
		if !ok {
			r.problem(at, "key %.80s is %s, not text: put it in quotes", e.Key.GetToken().Value, kindOf(e.Key))
			continue
		}
		path := join(v.path, key.Value)
		if line, dup := first[key.Value]; dup {
			at.path = path
			r.problem(at, "already on line %d", line)
			continue
		}
		first[key.Value] = at.line
		at.path = path
		each(key.Value, at, r.child(path, e.Key, e.Value))
	}
}

// list goes through a list.
func (r *reader) list(v value, each func(i int, item value)) {
	l, ok := v.node.(*ast.SequenceNode)
	if !ok {
		r.mistyped(v, "a list")
		return
	}
	for i, node := range l.Values {
		each(i, r.child(fmt.Sprintf("%s[%d]", v.path, i), nil, node))
	}
}

// aText is what most values are.
const aText = "text"

// text reads a text that is not empty.
func (r *reader) text(v value) (string, bool) {
	n, ok := v.node.(*ast.StringNode)
	if !ok {
		r.mistyped(v, aText)
		return "", false
	}
	if n.Value == "" {
		r.problem(v.place, "empty")
		return "", false
	}
	return n.Value, true
}

// mistyped reports a value of the wrong kind. Where quotes make it right it says so.
func (r *reader) mistyped(v value, want string) {
	hint := ""
	switch v.node.(type) {
	case *ast.NullNode:
		r.problem(v.place, "no value: give %s, or leave the key out", want)
		return
	case *ast.LiteralNode:
		hint = ": write it in one line"
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.MappingNode:
		if want == aText {
			hint = ": put it in quotes"
		}
	}
	r.problem(v.place, "%s, not %s%s", kindOf(v.node), want, hint)
}

// kindOf names the kind of a node for people.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.LiteralNode:
		return "text of several lines"
	case *ast.StringNode:
		return "text"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "a number"
}

// join returns the path of a key below path. A key that could be taken for more than one is quoted.
func join(path, key string) string {
	plain := key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
	switch {
	case !plain:
		return fmt.Sprintf("%s[%.300q]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}
