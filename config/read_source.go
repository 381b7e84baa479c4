package config

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"

	"github.com/goccy/go-yaml/ast"
)

var (
	sourceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	gunForm    = regexp.MustCompile(`^[a-z0-9._:/-]*$`)
	keyForm    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// sources reads the sources by name.
func (r *reader) sources(v value, all map[string]Source) {
	r.entries(v, func(name string, at place, val value) {
		if !sourceForm.MatchString(name) {
			r.problem(at, "%.80q is no source name: up to 63 lower-case letters, digits and . _ -, beginning with a letter or digit", name)
		}
		s := defaultSource()
		r.fitKind(val, &s, r.fields(val, "source", r.sourceFields(&s)))
		if s.Refresh > s.MaxStale && s.MaxStale > 0 {
			r.problem(r.at(join(val.path, "max_stale"), join(val.path, "refresh")), "%v is shorter than refresh, %v", s.MaxStale, s.Refresh)
		}
		r.overTLS(val, cmp.Or(s.Notary, s.TUF), s.Credentials)
		all[name] = s
	})
}

func (r *reader) sourceFields(s *Source) []field {
	return []field{
		{"notary", set(&s.Notary, r.addressWithPath)},
		{"gun", set(&s.GUN, r.gun)},
		{"pins", set(&s.Pins, r.pins)},
		{"tuf", func(v value) { s.TUF, s.Dir = r.tuf(v) }},
		{"root", set(&s.Root, r.root)},
		{"target", set(&s.Target, r.target)},
		{"publish", func(v value) {
			s.Publish = new(Publish)
			r.required(v, "publish", r.publishFields(s.Publish), "passphrase_file")
		}},
		{"ca", set(&s.CA, r.existing)},
		{"credentials", set(&s.Credentials, r.credentials)},
		{"token_realms", set(&s.TokenRealms, r.distinct(r.host))},
		{"redirect_hosts", set(&s.RedirectHosts, r.distinct(r.host))},
		{"refresh", set(&s.Refresh, r.duration("500ms", "24h"))},
		{"max_stale", set(&s.MaxStale, r.duration("500ms", "90d"))},
		{"grace", set(&s.Grace, r.duration("0s", "30d"))},
	}
}

// gun reads a template that keeps different names different: the name once, fixed text around it.
// PRODUCT: invariant 7
func (r *reader) gun(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	rest := strings.Replace(text, nameWord, "", 1)
	if !strings.Contains(text, nameWord) || !gunForm.MatchString(rest) {
		r.problem(v.place, "%.80q is no template: %s exactly once, around it only lower-case letters, digits and . _ : / -", text, nameWord)
		return ""
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == "" || part == "." || part == ".." {
			r.problem(v.place, "%.80q has a component that is empty or only dots", text)
			return ""
		}
	}
	return text
}

// pins reads which root may speak for which names.
func (r *reader) pins(v value) []Pin {
	var all []Pin
	lines := make(map[names.Match]int)
	r.entries(v, func(key string, at place, val value) {
		p := Pin{Match: r.match(at, key)}
		if line, dup := lines[p.Match]; dup && p.Match != (names.Match{}) {
			r.problem(at, "the match %s is already on line %d", p.Match, line)
		}
		lines[p.Match] = at.line
		r.pin(val, &p)
		all = append(all, p)
	})
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) == 0 {
		r.problem(v.place, "there are none: say which root key may speak for which names")
	}
	return all
}

// pin reads the one kind of root that an entry under pins names.
func (r *reader) pin(v value, p *Pin) {
	if !r.fields(v, "pin", r.pinFields(p)) {
		return
	}
	if r.said(v.path, "keys", "ca", "tofu") != 1 {
		r.problem(v.place, "needs exactly one of keys, ca and tofu")
	}
}

func (r *reader) pinFields(p *Pin) []field {
	return []field{
		{"keys", set(&p.Keys, r.keys)},
		{"ca", set(&p.CA, r.existing)},
		{"tofu", set(&p.TOFU, r.tofu)},
	}
}

// keys reads root key ids.
func (r *reader) keys(v value) []string {
	ids := r.distinct(r.word(keyForm, "a key id: 64 lower-case hexadecimal digits"))(v)
	if l, ok := v.node.(*ast.SequenceNode); ok && len(l.Values) == 0 {
		r.problem(v.place, "no key is listed: nothing would ever be trusted")
	}
	return ids
}

// tofu reads the word true.
func (r *reader) tofu(v value) bool {
	b, ok := v.node.(*ast.BoolNode)
	if !ok {
		r.mistyped(v, "true")
		return false
	}
	if !b.Value {
		r.problem(v.place, "only true has a meaning here: name keys or a ca instead")
	}
	return b.Value
}
