package signing

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxDepth is how many components below its prefix a match with "/**" reaches. A pattern of TUF reaches one depth.
const maxDepth = 8

var signerPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// atTop are the roles at the top, in the order in which they are shown.
var atTop = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// checkRole tells whether a key can be for the role.
func checkRole(role string) error {
	if slices.Contains(atTop, role) {
		return nil
	}
	return checkSigner(role)
}

// checkSigner tells whether a signer can have the name.
func checkSigner(name string) error {
	if slices.Contains(atTop, name) {
		return fmt.Errorf("signer name %q is the name of a role at the top, choose another", name)
	}
	if !signerPattern.MatchString(name) {
		return fmt.Errorf("signer name %.80q: up to 63 of a-z, 0-9, _ and -, beginning with a letter or a digit", name)
	}
	return nil
}

// escape keeps the brackets of an IPv6 host from being read as a set of characters.
var escape = strings.NewReplacer("[", `\[`, "]", `\]`)

// unescape is the inverse of escape.
var unescape = strings.NewReplacer(`\[`, "[", `\]`, "]")

// patterns returns the match in full form, and the path patterns of a role that select the tags of the names it selects.
//
// TUF: a star does not match a slash, and "app*" would match another repository too: a star is a whole component here.
func patterns(match string) (full string, paths []string, err error) {
	m, err := names.ParseMatch(match)
	if err != nil {
		return "", nil, err
	}
	full = m.String()
	if full == "**" {
		return full, deep("*"), nil
	}
	if p, ok := strings.CutSuffix(full, "/**"); ok {
		return full, deep(escape.Replace(p)), nil
	}
	return full, []string{escape.Replace(full) + ":*"}, nil
}

// deep returns the patterns for the names at every depth below prefix.
func deep(prefix string) []string {
	var paths []string
	for range maxDepth {
		prefix += "/*"
		paths = append(paths, prefix+":*")
	}
	return paths
}

// matches is the inverse of patterns over many of them: it returns the matches that have the paths. A path that no match
// has is returned as it is.
func matches(paths []string) []string {
	var all []string
	for _, p := range paths {
		prefix := strings.TrimSuffix(p, ":*")
		for strings.HasSuffix(prefix, "/*") {
			prefix = strings.TrimSuffix(prefix, "/*")
		}
		whole := prefix != "" && subset(deep(prefix), paths)
		switch {
		case whole && prefix == "*":
			p = "**"
		case whole && slices.Contains(deep(prefix), p):
			p = unescape.Replace(prefix) + "/**"
		case strings.HasSuffix(p, ":*"):
			p = unescape.Replace(strings.TrimSuffix(p, ":*"))
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// subset tells whether all of a are in b.
func subset(a, b []string) bool {
	for _, s := range a {
		if !slices.Contains(b, s) {
			return false
		}
	}
	return true
}

// covers tells whether the role is asked about a target.
func covers(r metadata.DelegatedRole, path string) bool {
	ok, err := r.IsDelegatedPath(path)
	return ok && err == nil
}
