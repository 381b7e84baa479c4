package route

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxN is the largest page that may be asked for. It bounds the number, not the answer.
	maxN = 1<<31 - 1
	// maxType is the most bytes of an artifact type.
	maxType = 255
)

// A parameter is one that means something to an endpoint; they are bits of a set.
type parameter uint8

const (
	namespace parameter = 1 << iota
	pageSize
	pageStart
	artifactType
)

// parseQuery reads the parameters that mean something to the endpoint, each at most once; others do not matter.
func (r *Request) parseQuery(query string) error {
	// Whether a semicolon separates parameters is told differently by different programs.
	if strings.IndexByte(query, ';') >= 0 {
		return invalidQuery("the query has a semicolon")
	}
	var seen parameter
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		key, err := unescape(key)
		if err != nil {
			return err
		}
		p := r.parameter(key)
		if p == 0 {
			continue
		}
		// PRODUCT: section 8, repeated ns is 400. So is any other, of which one would have to be ignored.
		if seen&p != 0 {
			return invalidQuery("a parameter is given more than once")
		}
		seen |= p
		if value, err = unescape(value); err != nil {
			return err
		}
		if err := r.set(p, value); err != nil {
			return err
		}
	}
	return nil
}

// parameter returns what key is to the endpoint, 0 for nothing.
func (r *Request) parameter(key string) parameter {
	switch {
	case key == "ns":
		return namespace
	case key == "n" && r.Kind == Tags:
		return pageSize
	case key == "last" && r.Kind == Tags:
		return pageStart
	case key == "artifactType" && r.Kind == Referrers:
		return artifactType
	}
	return 0
}

// set reads the value of a parameter.
func (r *Request) set(p parameter, value string) error {
	switch p {
	case namespace:
		return r.parseNamespace(value)
	case pageSize:
		return r.parseN(value)
	case pageStart:
		return r.parseLast(value)
	}
	return r.parseArtifactType(value)
}

// parseNamespace reads the registry that a client's mirror configuration stands in for.
func (r *Request) parseNamespace(s string) error {
	if !validHost(s) {
		return invalidName("ns is not a registry host")
	}
	r.Namespace = s
	return nil
}

// parseN reads the size of a page.
func (r *Request) parseN(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxN {
		return invalidQuery("n is not a number from 0 to 2147483647")
	}
	r.Paged, r.N = true, int(n)
	return nil
}

// parseLast reads the tag that a page begins after.
func (r *Request) parseLast(s string) error {
	if s != "" && !validTag(s) {
		return &Error{http.StatusBadRequest, "MANIFEST_INVALID", "last is not a tag"}
	}
	r.Last = s
	return nil
}

// parseArtifactType reads a media type. It goes to an upstream, so that it must be one line of printable text.
func (r *Request) parseArtifactType(s string) error {
	if len(s) > maxType || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return invalidQuery("artifactType is not a media type")
	}
	r.ArtifactType = s
	return nil
}

// unescape undoes the escaping of a query.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	s, err := url.QueryUnescape(s)
	if err != nil {
		return "", invalidQuery("the query has broken percent-encoding")
	}
	return s, nil
}

// invalidQuery returns the error for a parameter for which the specification has no code.
func invalidQuery(text string) *Error { return &Error{http.StatusBadRequest, "UNSUPPORTED", text} }

// URL returns the path and query that mean r, without scheme and host: the inverse of Parse.
func (r Request) URL() *url.URL {
	u := &url.URL{Path: "/v2/" + r.Path}
	switch r.Kind {
	case Blob:
		u.Path += "/blobs/" + r.Digest.String()
	case Manifest:
		u.Path += "/manifests/" + r.Tag + r.Digest.String()
	case Tags:
		u.Path += "/tags/list"
	case Referrers:
		u.Path += "/referrers/" + r.Digest.String()
	}
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("ns", r.Namespace)
	if r.Paged {
		q.Set("n", strconv.Itoa(r.N))
	}
	set("last", r.Last)
	set("artifactType", r.ArtifactType)
	u.RawQuery = q.Encode()
	return u
}
