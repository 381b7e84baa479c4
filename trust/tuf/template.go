package tuf

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

// The words of a template.
const (
	nameWord = "{name}"
	tagWord  = "{tag}"
)

// literalForm is what may stand around them.
var literalForm = regexp.MustCompile(`^[A-Za-z0-9._:/-]*$`)

// A template makes the target path of an image: before, the name, between, the tag, after.
type template struct {
	named                  bool
	before, between, after string
}

// parseTemplate reads a template, which keeps different images different.
//
// PRODUCT: invariant 7, one image's signature never speaks for another. A tag has neither colon nor slash, so the last of
// these in a target is the one that stands between.
func parseTemplate(s string) (template, error) {
	t, err := cutTemplate(s)
	switch {
	case err != nil:
	case !literalForm.MatchString(t.before + t.between + t.after):
		err = errors.New("only letters, digits and . _ - : / may stand around {name} and {tag}")
	case t.named && !strings.ContainsAny(t.between, ":/"):
		err = errors.New("a : or / must stand between {name} and {tag}")
	}
	if err != nil {
		return t, fmt.Errorf("target %.80q: %w", s, err)
	}
	return t, nil
}

func cutTemplate(s string) (template, error) {
	var t template
	head, after, ok := strings.Cut(s, tagWord)
	if !ok || strings.Contains(after, tagWord) {
		return t, errors.New("{tag} must stand in it once")
	}
	if strings.Contains(after, nameWord) {
		return t, errors.New("{name} must stand before {tag}")
	}
	t.before, t.after = head, after
	if before, between, ok := strings.Cut(head, nameWord); ok {
		t.named, t.before, t.between = true, before, between
	}
	return t, nil
}

// target returns the target path of an image.
func (t template) target(n trust.Name) string {
	if !t.named {
		return t.before + n.Tag + t.after
	}
	return t.before + n.Repository + t.between + n.Tag + t.after
}

// image is the inverse of target. The name is empty where the template has none. It reports false for what no image has.
func (t template) image(target string) (trust.Name, bool) {
	rest, ok := strings.CutPrefix(target, t.before)
	if !ok {
		return trust.Name{}, false
	}
	if rest, ok = strings.CutSuffix(rest, t.after); !ok {
		return trust.Name{}, false
	}
	n := trust.Name{Tag: rest}
	if t.named {
		i := strings.LastIndex(rest, t.between)
		if i < 1 {
			return trust.Name{}, false
		}
		n.Repository, n.Tag = rest[:i], rest[i+len(t.between):]
	}
	return n, names.Tag(n.Tag) == nil
}
