package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tagwarden/tagwarden/trust/names"
)

const maxReason = 200 // characters: a line in a message that has other things to say too

// ruleForm is a name that needs no escape in a metric label, an audit line or a shell.
var ruleForm = regexp.MustCompile(`^[!#-&(-\[\]-_a-~]{1,255}$`)

// rules reads the rules in the order of the file. Names and sources that are not written are filled in by check.
func (r *reader) rules(v value) []Rule {
	var all []Rule
	r.list(v, func(_ int, item value) {
		u := Rule{Mode: Enforce}
		understood := r.required(item, "rule", r.ruleFields(&u), "match")
		r.fitMode(item, u.Mode, understood)
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
		{"mode", set(&u.Mode, choice(r, "mode", Enforce, Audit, Allow, Deny))},
		{"source", set(&u.Source, r.word(sourceForm, "a source name"))},
		{"signers", set(&u.Signers, r.signers)},
		{"until", set(&u.Until, r.dayAfter)},
		{"reason", set(&u.Reason, r.reason)},
		{"tag_ttl", set(&u.TagTTL, r.duration("0s", "24h"))},
		{"stale_if_error", set(&u.StaleIfError, r.duration("0s", "30d"))},
		{"prefetch", set(&u.Prefetch, r.boolean)},
	}
}

// modesOf lists the keys that have a meaning under some modes only.
var modesOf = []struct {
	key   string
	modes []Mode
}{
	{"source", []Mode{Enforce, Audit}},
	{"signers", []Mode{Enforce, Audit}},
	{"until", []Mode{Audit, Allow}},
	{"reason", []Mode{Audit, Allow, Deny}},
	{"tag_ttl", []Mode{Audit, Allow}},
	{"stale_if_error", []Mode{Audit, Allow}},
	{"prefetch", []Mode{Enforce}},
}

// fitMode reports what does not go with the rule's mode. It passes over what another problem may have caused: a mode
// that was not understood, and keys that may be misspelt.
func (r *reader) fitMode(v value, m Mode, understood bool) {
	written := r.said(v.path, "mode") > 0
	if m == "" || r.wrong[join(v.path, "mode")] || !understood && !written {
		return
	}
	hint := ""
	if !written {
		hint = ", and a rule without mode is one"
	}
	for _, k := range modesOf {
		path := join(v.path, k.key)
		if r.said(v.path, k.key) > 0 && !slices.Contains(k.modes, m) {
			r.problem(r.at(path), "%s takes no %s%s", m.rule(), k.key, hint)
		}
	}
	if m == Allow && understood && r.said(v.path, "reason") == 0 {
		r.problem(v.place, "an allow rule needs a reason: say why its tags pass unsigned")
	}
}

// rule names a rule of this mode for people.
func (m Mode) rule() string {
	if m == Deny {
		return "a deny rule"
	}
	return "an " + string(m) + " rule"
}

// reason reads one line for people.
func (r *reader) reason(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	odd := func(c rune) bool { return !unicode.IsPrint(c) }
	switch {
	case utf8.RuneCountInString(text) > maxReason || strings.ContainsFunc(text, odd):
		r.problem(v.place, "%.80q is no reason: up to %d printable characters", text, maxReason)
		return ""
	case strings.TrimSpace(text) == "":
		r.problem(v.place, "empty")
		return ""
	}
	return text
}

// match reads a match. One that is wrong reads as the zero Match.
func (r *reader) match(at place, text string) names.Match {
	m, err := names.ParseMatch(text)
	if err != nil {
		r.problem(at, "%s", strings.TrimPrefix(err.Error(), "match: "))
	}
	return m
}
