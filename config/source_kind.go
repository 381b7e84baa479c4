package config

import (
	"slices"
	"strings"
)

// A kind is a kind of source, as people call it.
type kind string

const (
	notarySource kind = "a notary source"
	tufAddress   kind = "a tuf address"
	tufFolder    kind = "a tuf folder"
)

// keysOf lists the keys that have a meaning for some kinds of source only.
var keysOf = []struct {
	keys  string
	kinds []kind
}{
	{"gun pins", []kind{notarySource}},
	{"root target", []kind{tufAddress, tufFolder}},
	{"publish", []kind{tufFolder}},
	{"ca credentials token_realms redirect_hosts", []kind{notarySource, tufAddress}},
}

// kinds returns what kind the source is; both that it can be where the word tuf was not understood, and none where the
// file does not say.
func (r *reader) kinds(v value, s *Source) []kind {
	switch notary, tuf := r.said(v.path, "notary") > 0, r.said(v.path, "tuf") > 0; {
	case notary == tuf:
		return nil
	case notary:
		return []kind{notarySource}
	case s.TUF != nil:
		return []kind{tufAddress}
	case s.Dir != "":
		return []kind{tufFolder}
	}
	return []kind{tufAddress, tufFolder}
}

// fitKind reports what does not go with the kind of the source, and fills in what one of its kind means without saying.
// It passes over what may be missing because another key was not understood.
func (r *reader) fitKind(v value, s *Source, understood bool) {
	kinds := r.kinds(v, s)
	if kinds == nil {
		if understood || r.said(v.path, "notary") > 0 {
			r.problem(v.place, "needs exactly one of notary and tuf")
		}
		return
	}
	for _, k := range keysOf {
		for key := range strings.FieldsSeq(k.keys) {
			fits := slices.ContainsFunc(kinds, func(one kind) bool { return slices.Contains(k.kinds, one) })
			if r.said(v.path, key) > 0 && !fits {
				r.problem(r.at(join(v.path, key)), "%s takes no %s", kinds[0], key)
			}
		}
	}
	need := "root"
	if kinds[0] == notarySource {
		need = "pins"
	}
	if understood && r.said(v.path, need) == 0 {
		r.problem(v.place, "%s needs %s", kinds[0], need)
	}
	if kinds[0] == notarySource {
		r.fillIn(v, "gun", &s.GUN, nameWord)
		return
	}
	s.Pins = nil // reported, and no rule is to be compared with them
	r.fillIn(v, "target", &s.Target, defaultTarget)
	r.fitName(v, s)
}

// fillIn gives a template that was not written its default.
func (r *reader) fillIn(v value, key string, to *string, text string) {
	if r.said(v.path, key) == 0 {
		*to = text
	}
}

// fitName reports a TUF source whose places of the name do not go together: metadata of one image must not pass for that
// of another, and no word may stand for a name that is not known where it is read.
// PRODUCT: invariant 7
func (r *reader) fitName(v value, s *Source) {
	named := func(template string) bool { return strings.Contains(template, nameWord) }
	root := r.at(join(v.path, "root"))
	if s.PerName() && s.Dir != "" && s.Publish != nil {
		r.problem(r.at(join(v.path, "publish")), "only one repository can be published: tuf must be a folder without %s", nameWord)
	}
	switch known := s.TUF != nil || s.Dir != ""; {
	case s.PerName() && s.Target != "" && !named(s.Target) && s.Root != "" && !named(s.Root):
		r.problem(root, "with one root for all names, and no %s in target, whoever holds the server could pass one image's "+
			"metadata off as another's: write \"root: roots/%s.json\"", nameWord, nameWord)
	case known && !s.PerName() && named(s.Root):
		r.problem(root, "%s stands here only where tuf has it too: one repository has one root", nameWord)
	}
}
