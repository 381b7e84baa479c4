package config

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tagwarden/tagwarden/trust/names"
)

// componentForm is one component of an image name, without the dot that would make it a registry's.
var componentForm = regexp.MustCompile(`^[a-z0-9]+((_|__|-+)[a-z0-9]+)*$`)

// registries reads the entries of registries into known, by the full form of their names.
func (r *reader) registries(v value, known map[string]Registry) {
	lines, paths := make(map[string]int), make(map[string]int)
	r.entries(v, func(key string, at place, val value) {
		var g Registry
		r.fields(val, "registry", r.registryFields(&g))
		name, err := names.Host(key)
		if err != nil {
			r.problem(at, "%v", err)
			return
		}
		if line, dup := lines[name]; dup {
			r.problem(at, "the registry %s is already on line %d", name, line)
			return
		}
		lines[name] = at.line
		if line, dup := paths[g.Path]; dup {
			r.problem(r.at(join(val.path, "path")), "%q is already the path of the registry on line %d", g.Path, line)
		}
		if g.Path != "" {
			paths[g.Path] = at.line
		}
		if r.said(val.path, "url") == 0 {
			g.URL = defaultURL(name)
		}
		r.overTLS(val, g.URL, g.Credentials)
		known[name] = g
	})
}

func (r *reader) registryFields(g *Registry) []field {
	return []field{
		{"url", set(&g.URL, r.address)},
		{"path", set(&g.Path, r.component)},
		{"ca", set(&g.CA, r.existing)},
		{"credentials", set(&g.Credentials, r.credentials)},
		{"token_realms", set(&g.TokenRealms, r.distinct(r.host))},
		{"redirect_hosts", set(&g.RedirectHosts, r.distinct(r.host))},
	}
}

// component reads a first path component that no client could take for a registry's name.
func (r *reader) component(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	if len(text) > names.MaxLength || !componentForm.MatchString(text) || names.LooksLikeHost(text) {
		r.problem(v.place, "%.80q is no path component: lower-case letters and digits, with _ or - between them, no dot or colon", text)
		return ""
	}
	return text
}

// registryName reads the name of a registry in any spelling.
func (r *reader) registryName(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	name, err := names.Host(text)
	if err != nil {
		r.problem(v.place, "%v", err)
	}
	return name
}

// credentials reads how the gateway shows who it is.
func (r *reader) credentials(v value) *Credentials {
	c := new(Credentials)
	if !r.fields(v, "credentials", r.credentialsFields(c)) {
		return c
	}
	switch own, docker := r.said(v.path, "username", "password_file"), r.said(v.path, "docker_config"); {
	case own > 0 && docker > 0:
		r.problem(v.place, "either username and password_file, or docker_config, not both")
	case own < 2 && docker == 0:
		r.problem(v.place, "needs username and password_file, or docker_config")
	}
	return c
}

func (r *reader) credentialsFields(c *Credentials) []field {
	return []field{
		{"username", set(&c.Username, r.username)},
		{"password_file", set(&c.PasswordFile, r.existing)},
		{"docker_config", set(&c.DockerConfig, r.existing)},
	}
}

// username reads a user name that basic authentication can carry. A wrong one is not shown: what follows a colon may
// be a password.
func (r *reader) username(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	odd := func(c rune) bool { return c == ':' || !unicode.IsPrint(c) }
	if utf8.RuneCountInString(text) > maxString || strings.ContainsFunc(text, odd) {
		r.problem(v.place, "no user name: up to %d printable characters without a colon", maxString)
		return ""
	}
	return text
}

// overTLS reports credentials that would cross a network in the clear.
// PRODUCT: invariant 8
func (r *reader) overTLS(v value, u *url.URL, c *Credentials) {
	if c != nil && u != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		r.problem(r.at(join(v.path, "credentials")), "credentials go only over TLS: make the address %s://%s%s begin with https", u.Scheme, u.Host, u.Path)
	}
}
