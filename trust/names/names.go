// Package names spells image names in the one form that policy, trust data, cache and messages use.
//
// A full name is a registry host and a path: "docker.io/library/nginx". Whatever a client, a shell or a config file
// wrote becomes that form here, once, so that no two spellings of a name can be judged differently.
package names

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// MaxLength is the most bytes a full name may have, host included. Most clients cut there.
const MaxLength = 255

// DockerHub is the host under which images of Docker's public registry are named.
const DockerHub = "docker.io"

var (
	hostPattern = regexp.MustCompile("^" + reference.DomainRegexp.String() + "$")
	tagPattern  = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")
)

// aliases are the other hosts that mean DockerHub.
var aliases = map[string]string{
	"index.docker.io":      DockerHub,
	"registry-1.docker.io": DockerHub,
}

// LooksLikeHost tells whether the first component of a name can only be a registry: it has a dot or a port, or is
// localhost. Anything else is read as part of a path, as every client reads it.
func LooksLikeHost(component string) bool {
	return strings.ContainsAny(component, ".:") || component == "localhost"
}

// Host returns the full form of a registry host: lower case, without the https port, aliases folded. The error says
// what is wrong with s.
func Host(s string) (string, error) {
	// As it came: what two ports or a letter beyond ASCII become is a host that nobody wrote.
	if !hostPattern.MatchString(s) {
		return "", fmt.Errorf("%.80q is not a registry host", s)
	}
	h := strings.TrimSuffix(strings.ToLower(s), ":443")
	if !LooksLikeHost(h) {
		return "", fmt.Errorf("registry host %.80q needs a dot or a port", s)
	}
	if a, ok := aliases[h]; ok {
		return a, nil
	}
	return h, nil
}

// Repository returns the full form of an image name that begins with its registry host: "docker.io/nginx" becomes
// "docker.io/library/nginx". A tag or digest is an error.
func Repository(s string) (string, error) {
	host, path, ok := strings.Cut(s, "/")
	if !ok {
		return "", fmt.Errorf(`%.80q has no registry host: write it in full, as "docker.io/library/nginx"`, s)
	}
	host, err := Host(host)
	if err != nil {
		return "", err
	}
	if host == DockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return join(host, path)
}

// join returns host and path as one name after the path was checked against the grammar.
// OCI: the <name> grammar of the distribution specification, which distribution/reference implements.
func join(host, path string) (string, error) {
	full := host + "/" + path
	if len(full) > MaxLength {
		return "", fmt.Errorf("name %.80q... is longer than %d bytes", full, MaxLength)
	}
	named, err := reference.WithName(full)
	if err != nil {
		return "", fmt.Errorf("%.80q is not an image name: lower-case letters, digits and . _ - between slashes", full)
	}
	if reference.Domain(named) != host {
		return "", fmt.Errorf("%.80q is not an image name below registry %s", full, host)
	}
	return full, nil
}

// Split parts a full name into registry host and path.
func Split(repository string) (host, path string) {
	host, path, _ = strings.Cut(repository, "/")
	return host, path
}

// ErrTag is returned by Tag.
var ErrTag = errors.New("not a tag: up to 128 letters, digits and . _ -, beginning with a letter, a digit or _")

// Tag checks a tag against the grammar of the distribution specification.
func Tag(s string) error {
	if !tagPattern.MatchString(s) {
		return ErrTag
	}
	return nil
}
