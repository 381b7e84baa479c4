package config

import (
	"regexp"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
)

// ruleForm is a name that needs no escape in a metric label, an audit line or a shell.
var ruleForm = regexp.MustCompile(`^[!#-&(-\[\]-_a-~]{1,255}$`)

// rules reads the rules in the order of the file. Names and sources that are not written are filled in by check.
func (r *reader) rules(v value) []Rule {
	var all []Rule
	r.list(v, func(_ int, item value) {
		u := Rule{Mode: Enforce}
		r.required(item, "rule", r.ruleFields(&u), "match")
		all = append(all, u)
	})
	return all
}

func (r *reader) ruleFields(u *Rule) []field {
	return []field{
		{"match", func(v value) {
			if text, ok := r.text(v); ok {
				u.Match = r.match(v.place, text)
			}
		}},
		{"name", set(&u.Name, r.word(ruleForm, "a rule name: up to 255 printable ASCII characters without spaces, quotes and backslashes"))},
		{"mode", set(&u.Mode, choice(r, "mode", Enforce, Deny))},
		{"source", set(&u.Source, r.word(sourceForm, "a source name"))},
	}
}

// match reads a match. One that is wrong reads as the zero Match.
func (r *reader) match(at place, text string) names.Match {
	m, err := names.ParseMatch(text)
	if err != nil {
		r.problem(at, "%s", strings.TrimPrefix(err.Error(), "match: "))
	}
	return m
}
