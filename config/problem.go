package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A Problem is one thing that is wrong with a config file, and where.
type Problem struct {
	File         string // as it was given to Load or Parse
	Line, Column int    // from 1; columns count characters
	Text         string // one line: the place in the tree, then what is wrong; no control characters
}

// String returns the problem in one line: "tagwarden.yaml:12:9: rules[2].mode: unknown mode ...".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", printable(p.File), p.Line, p.Column, p.Text)
}

// Problems is everything that is wrong with a config file, sorted by position. It is never empty where it is an error.
type Problems []Problem

// Error returns all problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sort brings the problems into the order of the file. Two at one place keep their order.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// printable returns s with everything that a terminal or log could act upon written as an escape.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
