package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const maxSigners = 64 // more are not people who look at what they sign

var (
	signerForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9_/-]{0,127}$`)
	thresholdForm = regexp.MustCompile(`^[1-9][0-9]?$`)
)

// signers reads how many of whom must have signed.
// PRODUCT: section 2, signers: all, any, or threshold with of.
func (r *reader) signers(v value) *Signers {
	s, before := new(Signers), len(r.problems)
	if !r.fields(v, "signers", r.signersFields(s)) {
		return s
	}
	threshold, of := r.said(v.path, "threshold"), r.said(v.path, "of")
	if r.said(v.path, "all", "any")+of != 1 || threshold != of {
		r.problem(v.place, "needs exactly one of all, any, and threshold with of")
	}
	switch {
	case len(r.problems) > before:
	case of == 0 && r.said(v.path, "all") > 0:
		s.Threshold = len(s.Of)
	case of == 0:
		s.Threshold = 1
	case s.Threshold > len(s.Of):
		r.problem(r.at(join(v.path, "threshold")), "%d is more than all of them: there are %d", s.Threshold, len(s.Of))
	}
	return s
}

func (r *reader) signersFields(s *Signers) []field {
	return []field{
		{"all", set(&s.Of, r.signerNames)},
		{"any", set(&s.Of, r.signerNames)},
		{"of", set(&s.Of, r.signerNames)},
		{"threshold", set(&s.Threshold, r.threshold)},
	}
}

// signerNames reads at least one name. A name twice would count as two signers where one has signed.
func (r *reader) signerNames(v value) []string {
	names := r.distinct(r.signer)(v)
	switch l, ok := v.node.(*ast.SequenceNode); {
	case ok && len(l.Values) == 0:
		r.problem(v.place, "no signer is listed: name at least one")
	case ok && len(l.Values) > maxSigners:
		r.problem(v.place, "more than %d signers", maxSigners)
	}
	return names
}

// signer reads the name of one signer. Whoever writes the role instead would have every tag refused.
func (r *reader) signer(v value) string {
	name := r.word(signerForm, "a signer name: up to 128 lower-case letters, digits and _ - /, beginning with a letter or digit")(v)
	if strings.HasPrefix(name, "targets/") {
		r.problem(v.place, `%.80q is the role of a signer: write the name without "targets/"`, name)
		return ""
	}
	return name
}

// threshold reads a number of signers.
func (r *reader) threshold(v value) int {
	n, ok := v.node.(*ast.IntegerNode)
	if !ok {
		r.mistyped(v, "a whole number")
		return 0
	}
	text := n.GetToken().Value
	count, _ := strconv.Atoi(text)
	if !thresholdForm.MatchString(text) || count > maxSigners {
		r.problem(v.place, "%.80q is no number of signers: from 1 to %d", text, maxSigners)
		return 0
	}
	return count
}
