package proxy

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
)

// maxLinks is how many links of one manifest are looked at. No index and no image has so many.
const maxLinks = 1024

// A link is content that a manifest names: an image of an index, or the config or a layer of an image.
type link struct {
	kind     route.Kind // Manifest or Blob
	digest   digest.Digest
	size     int64  // bytes, by the word of the manifest
	platform string // os/architecture or os/architecture/variant; "" where the index does not say
}

// linksOf returns the links of a manifest, which it reads to its end.
// PRODUCT: section 8, hostile manifests keep memory bounded.
func (h *Handler) linksOf(ctx context.Context, m manifest) ([]link, error) {
	if m.content == nil {
		return links(m.body)
	}
	ctx, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	if err := h.large.Acquire(ctx, maxManifest); err != nil {
		return nil, err
	}
	defer h.large.Release(maxManifest)
	body, err := io.ReadAll(io.LimitReader(m.content, maxManifest))
	if err != nil {
		return nil, err
	}
	return links(body)
}

// links returns the links of a manifest that was inspected: it is valid JSON, and has each of these members once at most.
// Layers that registries are not meant to have are none.
func links(body []byte) (all []link, err error) {
	s := scanner{rest: body}
	if !s.next('{') {
		return nil, mismatch("is not a JSON object")
	}
	for !s.next('}') {
		name, err := text(s.value())
		if err != nil {
			return nil, err
		}
		s.next(':')
		value := s.value()
		s.next(',')
		switch name {
		case "manifests":
			all, err = appendLinks(all, route.Manifest, value)
		case "layers":
			all, err = appendLinks(all, route.Blob, value)
		case "config":
			all, err = appendLink(all, route.Blob, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// appendLinks appends what a list names.
func appendLinks(all []link, k route.Kind, list []byte) ([]link, error) {
	s := scanner{rest: list}
	if !s.next('[') {
		return nil, mismatch("has something else where a list belongs")
	}
	for !s.next(']') {
		// PRODUCT: invariant 9, every count has a limit.
		if len(all) == maxLinks {
			return nil, mismatch("names more than %d things", maxLinks)
		}
		var err error
		if all, err = appendLink(all, k, s.value()); err != nil {
			return nil, err
		}
		s.next(',')
	}
	return all, nil
}

// appendLink appends what one descriptor names.
func appendLink(all []link, k route.Kind, raw []byte) ([]link, error) {
	var d struct {
		MediaType string
		Digest    digest.Digest
		Size      int64
		Platform  struct{ OS, Architecture, Variant string }
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, mismatch("has a descriptor that is none: %v", err)
	}
	if err := d.Digest.Validate(); err != nil || d.Size < 0 {
		return nil, mismatch("names %.100q with a size of %d bytes, which nothing has", d.Digest, d.Size)
	}
	if k == route.Blob && elsewhere(d.MediaType) {
		return all, nil
	}
	l := link{kind: k, digest: d.Digest, size: d.Size}
	if p := d.Platform; p.OS != "" {
		l.platform = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	return append(all, l), nil
}

// elsewhere tells whether layers of a media type are not for registries to have, but for clients to get where their
// makers have them.
// OCI: image-spec, non-distributable layers
func elsewhere(mediaType string) bool {
	return strings.Contains(mediaType, ".nondistributable.") || strings.Contains(mediaType, ".foreign.")
}

// wanted tells whether the images of a platform are among those for the platforms, none of which means all. What does not
// say its platform may be for any, and a variant that only one side names is no difference.
func wanted(platforms []string, platform string) bool {
	if len(platforms) == 0 || platform == "" {
		return true
	}
	for _, p := range platforms {
		if p == platform || strings.HasPrefix(platform, p+"/") || strings.HasPrefix(p, platform+"/") {
			return true
		}
	}
	return false
}
