// Package route names the registry endpoints a request can mean.
//
// Parse is pure: it looks at the method and the URL and nothing else, and whatever is not exactly a request of the
// distribution specification is an *Error before anybody was asked anything. What parses prints back, through Request.URL,
// to a URL of the same meaning.
package route

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Kind is an endpoint. The zero value is none of them, and must not be served.
type Kind uint8

// The endpoints that exist, each with the distribution specification's id for it.
const (
	None      Kind = iota
	Version        // end-1: /v2/
	Blob           // end-2: /v2/<name>/blobs/<digest>
	Manifest       // end-3: /v2/<name>/manifests/<reference>
	Tags           // end-8a, end-8b: /v2/<name>/tags/list
	Referrers      // end-12a, end-12b: /v2/<name>/referrers/<digest>
)

// String returns a word for labels and logs.
func (k Kind) String() string {
	switch k {
	case Version:
		return "version"
	case Blob:
		return "blob"
	case Manifest:
		return "manifest"
	case Tags:
		return "tags"
	case Referrers:
		return "referrers"
	}
	return "none"
}

// A Request is what a client asks for. Parse makes it; all its parts are valid by the grammar of the specification.
type Request struct {
	Kind Kind
	// Path is the name as the client gave it: all between /v2/ and the endpoint. Its first component may be a registry,
	// with a port even.
	Path string
	// Tag is what a Manifest was asked for by, unless that is Digest.
	Tag string
	// Digest, sha256 or sha512 in lower-case hex, is what a Manifest, a Blob or Referrers were asked for by.
	Digest digest.Digest
	// Namespace is the registry that the query parameter ns names, as the client spelt it; empty without one.
	Namespace string
	// Paged tells that N is the most tags that may be listed. Only for Tags.
	Paged bool
	N     int
	// Last is the tag after which the list begins; empty for its beginning. Only for Tags.
	Last string
	// ArtifactType is the only type of Referrers that is wanted; empty for all.
	ArtifactType string
}

// An Error says why a request means nothing, and how to answer it.
type Error struct {
	Status int    // 400, 404, 405 or 414
	Code   string // of the distribution specification: NAME_INVALID
	Text   string // one line that repeats nothing a client sent
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// maxBeside is the most bytes of a URL beside its path. What clients ask for has less than half of that.
const maxBeside = 1024

// Parse says what a request means. Errors are *Error.
func Parse(method string, u *url.URL) (Request, error) {
	if method != http.MethodGet && method != http.MethodHead {
		return Request{}, &Error{http.StatusMethodNotAllowed, "UNSUPPORTED", "only GET and HEAD are supported: nothing can be pushed or deleted here"}
	}
	// Once: there is one spelling of a path, and it has no escapes.
	path, ok := strings.CutPrefix(u.EscapedPath(), "/v2")
	if !ok || path != "" && path[0] != '/' {
		return Request{}, notFound("only paths below /v2/ exist here")
	}
	r, err := parsePath(strings.TrimPrefix(path, "/"))
	if err != nil {
		return Request{}, err
	}
	// PRODUCT: invariant 9. What is remembered of a request may hold on to the whole of its first line.
	if len(u.Scheme)+len(u.Host)+len(u.RawQuery) > maxBeside || u.User != nil {
		return Request{}, &Error{http.StatusRequestURITooLong, "UNSUPPORTED", "the URL has more than 1024 bytes beside its path, or a user"}
	}
	if err := r.parseQuery(u.RawQuery); err != nil {
		return Request{}, err
	}
	return r, nil
}

// parsePath reads what follows /v2/. The endpoint is named by the last components, so that a name may contain its word.
func parsePath(path string) (Request, error) {
	switch {
	case path == "":
		return Request{Kind: Version}, nil
	case path == "_catalog":
		return Request{}, notFound("the catalog is not supported")
	case strings.IndexByte(path, '%') >= 0:
		return Request{}, invalidName("the path has percent-encoding or characters that need it")
	case strings.Contains(path, "//") || path[0] == '/' || path[len(path)-1] == '/':
		return Request{}, invalidName("the path has an empty component")
	}
	head, reference, _ := cutLast(path)
	name, word, ok := cutLast(head)
	if !ok {
		return Request{}, notFound("there is no such endpoint")
	}
	r := Request{Path: name}
	var err error
	switch word {
	case "manifests":
		r.Kind = Manifest
		err = r.parseReference(reference)
	case "blobs":
		r.Kind = Blob
		err = r.parseDigest(reference)
	case "referrers":
		r.Kind = Referrers
		err = r.parseDigest(reference)
	case "tags":
		r.Kind = Tags
		if reference != "list" {
			return Request{}, notFound("there is no such endpoint")
		}
	default:
		return Request{}, notFound("there is no such endpoint")
	}
	if !validPath(name) {
		return Request{}, invalidName("the name is invalid: up to 255 lower-case letters, digits and . _ - between slashes")
	}
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// cutLast parts s at its last slash.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// parseReference reads the reference of a manifest.
// What has a colon is a digest or nothing.
func (r *Request) parseReference(s string) error {
	if strings.IndexByte(s, ':') >= 0 {
		return r.parseDigest(s)
	}
	if !validTag(s) {
		return &Error{http.StatusBadRequest, "MANIFEST_INVALID", "the tag is invalid: up to 128 letters, digits and . _ -, beginning with a letter, a digit or _"}
	}
	r.Tag = s
	return nil
}

// parseDigest reads a digest.
func (r *Request) parseDigest(s string) error {
	if !validDigest(s) {
		return &Error{http.StatusBadRequest, "DIGEST_INVALID", "the digest is invalid: sha256 or sha512, a colon and 64 or 128 lower-case hex digits"}
	}
	r.Digest = digest.Digest(s)
	return nil
}

// notFound returns the error for what no endpoint is.
func notFound(text string) *Error { return &Error{http.StatusNotFound, "UNSUPPORTED", text} }

// invalidName returns the error for a name outside the grammar.
func invalidName(text string) *Error { return &Error{http.StatusBadRequest, "NAME_INVALID", text} }
