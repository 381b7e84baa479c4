package route

import (
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
)

// The grammars below are those of package names, by hand: a warm answer takes a few microseconds in all, and a regular
// expression one of them. That both say the same is fuzzed.

// maxTag is the most bytes a tag may have.
const maxTag = 128

// validPath tells whether s is a name as a path carries it: components of the specification's grammar between slashes, the
// first of several perhaps with a port.
// OCI: <name>, [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func validPath(s string) bool {
	if len(s) > names.MaxLength {
		return false
	}
	if first, rest, ok := strings.Cut(s, "/"); ok {
		if host, port, ok := strings.Cut(first, ":"); ok {
			return validPort(port) && validComponent(host) && validComponents(rest)
		}
	}
	return validComponents(s)
}

// validComponents tells whether s is one or more components between slashes.
func validComponents(s string) bool {
	for {
		c, rest, more := strings.Cut(s, "/")
		if !validComponent(c) {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// validComponent tells whether s is runs of letters and digits with one separator between each two: a dot, one or two
// underscores, or any number of hyphens.
func validComponent(s string) bool {
	for {
		n := 0
		for n < len(s) && isAlnum(s[n]) {
			n++
		}
		if n == 0 {
			return false
		}
		if n == len(s) {
			return true
		}
		s = s[n:]
		n = separator(s)
		if n == 0 {
			return false
		}
		s = s[n:]
	}
}

// separator returns the length of the separator that s begins with, 0 for none.
func separator(s string) int {
	switch s[0] {
	case '.':
		return 1
	case '_':
		if len(s) > 1 && s[1] == '_' {
			return 2
		}
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

// validTag tells whether s is a tag.
// OCI: <reference>, [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && !isUpper(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// validDigest tells whether s is a digest of an algorithm that content is served by.
// Sha256 and sha512 and nothing else.
func validDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	if (algorithm != "sha256" || len(hex) != 64) && (algorithm != "sha512" || len(hex) != 128) {
		return false
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validHost tells whether s may be a registry host: labels of letters, digits and inner hyphens between dots, or an IPv6
// address in brackets, perhaps with a port.
func validHost(s string) bool {
	if s == "" || len(s) > names.MaxLength {
		return false
	}
	if s[0] == '[' {
		address, port, ok := strings.Cut(s[1:], "]")
		return ok && address != "" && strings.Trim(address, "0123456789abcdefABCDEF:") == "" &&
			(port == "" || port[0] == ':' && validPort(port[1:]))
	}
	host, port, ok := strings.Cut(s, ":")
	if ok && !validPort(port) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && !isUpper(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

// validPort tells whether s is the digits of a port.
func validPort(s string) bool {
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

// isUpper tells whether c is an upper-case letter.
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

// isAlnum tells whether c is a lower-case letter or a digit.
func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
