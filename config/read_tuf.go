package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
)

// The words of templates.
const (
	nameWord      = "{name}" // what a full image name takes the place of
	tagWord       = "{tag}"  // what a tag takes the place of
	defaultTarget = nameWord + ":" + tagWord
)

var (
	schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	targetForm = regexp.MustCompile(`^[A-Za-z0-9._:/-]{0,255}$`)
)

// tuf reads where the metadata of a TUF repository is: an address or a folder. What could be either is refused, and not
// shown, as it may hold a password.
func (r *reader) tuf(v value) (*url.URL, string) {
	text, ok := r.text(v)
	if !ok {
		return nil, ""
	}
	if !schemeForm.MatchString(text) {
		if first, _, _ := strings.Cut(text, "/"); names.LooksLikeHost(first) && !strings.HasPrefix(first, ".") {
			r.problem(v.place, `could be a host or a folder: write "https://HOST/PATH" or "./FOLDER"`)
			return nil, ""
		}
		return nil, r.pathAround(v)
	}
	_, rest, _ := strings.Cut(text, "://")
	if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, nameWord) {
		r.problem(v.place, "%s stands in the path of an address, not in its host", nameWord)
		return nil, ""
	}
	return r.addressAround(v, nameWord), ""
}

// root reads the path of a root file, or the template of one for each image.
func (r *reader) root(v value) string {
	path := r.pathAround(v)
	if path == "" || strings.Contains(path, nameWord) {
		return path
	}
	return r.made(v)
}

// pathAround reads a path that may hold the name of an image, once, and still does when it was joined to the folder of
// the config: different names make different paths.
// PRODUCT: invariant 7
func (r *reader) pathAround(v value) string {
	path := r.path(v)
	if path == "" {
		return ""
	}
	text, _ := r.text(v)
	n := strings.Count(text, nameWord)
	switch {
	case strings.ContainsAny(strings.Replace(text, nameWord, "", 1), "{}"):
		r.problem(v.place, "%.80q is no template: %s at most once, and no other braces", text, nameWord)
		return ""
	case strings.Count(path, nameWord) != n:
		r.problem(v.place, "%.80q comes out as %.200q: %s must stand there as it is written here", text, path, nameWord)
		return ""
	}
	return path
}

// target reads a template that keeps different tags different, and different names where it has them. A tag holds
// neither of the marks that must stand before it, so the last of them ends the name.
// PRODUCT: invariant 7
func (r *reader) target(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	before, after, tagged := strings.Cut(text, tagWord)
	first, between, named := strings.Cut(before, nameWord)
	switch {
	case !tagged || !targetForm.MatchString(first+between+after):
		r.problem(v.place, "%.80q is no template: %s exactly once, %s at most once and before it, "+
			"around them up to 255 letters, digits and . _ : / -", text, tagWord, nameWord)
		return ""
	case named && !strings.ContainsAny(between, ":/"):
		r.problem(v.place, "%.80q makes one target of different images: put : or / between %s and %s", text, nameWord, tagWord)
		return ""
	}
	return text
}

func (r *reader) publishFields(p *Publish) []field {
	return []field{{"passphrase_file", set(&p.PassphraseFile, r.made)}}
}
