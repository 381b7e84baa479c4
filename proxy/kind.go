package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
)

// The media types of manifests.
const (
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociArtifact    = "application/vnd.oci.artifact.manifest.v1+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerV2       = "application/vnd.docker.distribution.manifest.v2+json"
	dockerV1       = "application/vnd.docker.distribution.manifest.v1+json"
	dockerV1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// maxType is the most bytes of a media type.
const maxType = 255

// A kind is the media type of a manifest.
type kind struct {
	mediaType string
	stated    bool // by the bytes, and not only concluded from them
}

// kindOf returns the one media type that the bytes of a manifest are of, so that a digest is served under the same type
// whoever fetched it from wherever. Bytes that two clients could take for two things are of none: the error is a *Refusal
// with MediaTypeMismatch.
//
// Its memory does not depend on what the bytes hold: nesting is bounded, and nothing is decoded but the names of members
// and one string.
func kindOf(body []byte) (kind, error) {
	if !json.Valid(body) {
		return kind{}, mismatch("is not JSON")
	}
	found, err := members(body)
	if err != nil {
		return kind{}, err
	}
	index, image := found.has("manifests"), found.has("layers") || found.has("config")
	// PRODUCT: section 8, schema 1 manifests.
	if found.has("fslayers") || isSchema1(found.mediaType) {
		return kind{}, mismatch("is of schema 1, whose digest does not cover all of it: push it again with a current client")
	}
	// CVE-2021-41190: a document that is an index to one client and an image to another.
	if index && image {
		return kind{}, mismatch("is an index and an image at once")
	}
	if index && isImage(found.mediaType) || image && isIndex(found.mediaType) {
		return kind{}, mismatch("is not what its mediaType %q says", found.mediaType)
	}
	switch {
	case found.mediaType != "":
		return kind{found.mediaType, true}, nil
	case index:
		return kind{ociIndex, false}, nil
	case found.has("layers"):
		// A config alone does not make an image: the configuration file of an image has a member of that name too.
		return kind{ociManifest, false}, nil
	}
	return kind{}, mismatch("is neither an index nor an image, and has no mediaType")
}

// cameAs tells why a manifest of this kind must not have been sent under a media type; nil if it may have. Types that are
// not those of manifests say nothing.
func (k kind) cameAs(sent string) error {
	if !isImage(sent) && !isIndex(sent) && !isSchema1(sent) || k.mediaType == sent {
		return nil
	}
	// What was only concluded may be a different type of the same nature.
	if !k.stated && (isIndex(k.mediaType) && isIndex(sent) || isImage(k.mediaType) && isImage(sent)) {
		return nil
	}
	return mismatch("is of media type %q, but its registry sent it as %q", k.mediaType, sent)
}

func isIndex(t string) bool   { return t == ociIndex || t == dockerList }
func isImage(t string) bool   { return t == ociManifest || t == dockerV2 || t == ociArtifact }
func isSchema1(t string) bool { return t == dockerV1 || t == dockerV1Signed }

// mismatch returns the refusal of a manifest.
func mismatch(format string, args ...any) error {
	return &trust.Refusal{Reason: trust.MediaTypeMismatch, Text: "the manifest " + fmt.Sprintf(format, args...)}
}

// A document is what decides about the type of a manifest.
type document struct {
	names     []string // which of decisive are there, in lower case
	mediaType string   // "" for none
}

func (d document) has(name string) bool {
	for _, n := range d.names {
		if n == name {
			return true
		}
	}
	return false
}

// decisive are the members that decide, in lower case.
var decisive = [...]string{"mediatype", "manifests", "layers", "config", "fslayers"}

// members reads the decisive members of valid JSON. Each must be there once and be spelt as specified: some clients do not
// look at the case of a name, some take the first of two, and some the last.
func members(body []byte) (document, error) {
	var d document
	s := scanner{rest: body}
	if !s.next('{') {
		return d, mismatch("is not a JSON object")
	}
	for !s.next('}') {
		name, err := text(s.value())
		if err != nil {
			return d, err
		}
		s.next(':')
		value := s.value()
		s.next(',')
		folded, ok := fold(name)
		if !ok {
			continue
		}
		if d.has(folded) {
			return d, mismatch("has two members %q", folded)
		}
		if name != exact(folded) {
			return d, mismatch("has a member %+.20q", name)
		}
		d.names = append(d.names, folded)
		if folded == "mediatype" {
			if d.mediaType, err = text(value); err != nil || !validType(d.mediaType) {
				return d, mismatch("has a mediaType that is none")
			}
		}
	}
	return d, nil
}

// fold returns which of the decisive members a decoder could take name for, all kinds of case folding considered.
func fold(name string) (string, bool) {
	for _, n := range decisive {
		if strings.EqualFold(n, name) {
			return n, true
		}
	}
	return "", false
}

// exact returns the specified spelling of a decisive member.
func exact(folded string) string {
	switch folded {
	case "mediatype":
		return "mediaType"
	case "fslayers":
		return "fsLayers"
	}
	return folded
}

// validType tells whether t can be the media type of a manifest, and stand in a header; "" can, as no type at all. All that
// registries hold as manifests is JSON of a vendor's tree. Anything else, "text/html" first of all, would make a page of it
// for whoever opens it in a browser.
func validType(t string) bool {
	if t == "" || t == dockerV1Signed { // which is refused by its own name
		return true
	}
	sub, ok := strings.CutPrefix(t, "application/")
	return ok && len(t) <= maxType && isToken(sub) && strings.HasPrefix(sub, "vnd.") && strings.HasSuffix(sub, "+json")
}

// isToken tells whether s is a name by which RFC 6838 allows to register.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+") == ""
}

// text decodes a JSON string.
func text(raw []byte) (string, error) {
	if len(raw) >= 2 && bytes.IndexByte(raw, '\\') < 0 && isASCII(raw) && raw[0] == '"' {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", mismatch("has something else where a string belongs")
	}
	return *s, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
