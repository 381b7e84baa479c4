package main

import (
	"fmt"
	"net/http"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

const (
	repositories = 100
	smallSize    = 10_000
	mib          = 1 << 20
	tagsEach     = 20 // signed tags of each repository, of which one is asked for
)

// A catalogue is everything that the origin has and the clients ask for.
type catalogue struct {
	paths  map[string]*content                   // by the path of a request
	signed map[string]map[string]trusttest.Entry // by repository and tag

	byDigest, byTag, refused, small []request // one of each in every repository
	medium, large                   []request // the blob of 64 MB, and the one of 1 GB
	cold                            []pull    // as many as there are rows that ask for one
	herds                           []request // blobs, likewise
	coldTag                         request
}

// A pull is an image that is asked for by digest: its manifest, and its one layer.
type pull struct{ manifest, layer request }

// sizes are those of the blobs, in bytes.
type sizes struct{ medium, large, cold, herd int64 }

// newCatalogue generates images. It hashes all of them, which takes a second or two.
func newCatalogue(s sizes) *catalogue {
	c := &catalogue{paths: make(map[string]*content), signed: make(map[string]map[string]trusttest.Entry)}
	block := newBlock()
	layer := newBlob(block, "layer", smallSize)
	for i := range repositories {
		repository := fmt.Sprintf("team/app-%03d", i)
		config := newBlob(block, repository, smallSize)
		m := newManifest(config, layer)
		c.byDigest = append(c.byDigest, c.add(repository, "manifests", m.digest.String(), m))
		c.byTag = append(c.byTag, c.add(repository, "manifests", "1.0", m))
		c.small = append(c.small, c.add(repository, "blobs", config.digest.String(), config))
		c.refused = append(c.refused, request{path: "/v2/" + repository + "/manifests/unsigned", status: http.StatusForbidden, length: -1})
		c.paths["/v2/"+repository+"/manifests/unsigned"] = m
		c.sign(repository, m)
	}
	c.medium = []request{c.blob(newBlob(block, "medium", s.medium))}
	c.large = []request{c.blob(newBlob(block, "large", s.large))}
	for i := range 2 {
		layer := newBlob(block, fmt.Sprint("cold", i), s.cold)
		m := newManifest(layer, layer)
		c.cold = append(c.cold, pull{c.add("team/app-000", "manifests", m.digest.String(), m), c.blob(layer)})
		c.herds = append(c.herds, c.blob(newBlob(block, fmt.Sprint("herd", i), s.herd)))
	}
	m := newManifest(layer, layer)
	c.coldTag = c.add("team/app-000", "manifests", "cold", m)
	c.signed["team/app-000"]["cold"] = trusttest.Entry{Digest: m.digest, Length: m.size}
	return c
}

// sign has the tag 1.0 of the repository, and some more, mean m.
func (c *catalogue) sign(repository string, m *content) {
	tags := make(map[string]trusttest.Entry, tagsEach+1)
	for i := range tagsEach {
		tags[fmt.Sprintf("1.%d", i)] = trusttest.Entry{Digest: m.digest, Length: m.size}
	}
	c.signed[repository] = tags
}

// blob adds a blob to the first repository.
func (c *catalogue) blob(b *content) request {
	return c.add("team/app-000", "blobs", b.digest.String(), b)
}

// add puts content where a request for it looks, and returns that request. A manifest is there by its digest too, as
// targets that resolve the tag ask for it.
func (c *catalogue) add(repository, kind, name string, what *content) request {
	path := "/v2/" + repository + "/" + kind + "/"
	c.paths[path+name] = what
	c.paths[path+what.digest.String()] = what
	return request{path: path + name, status: http.StatusOK, length: what.size, digest: what.digest}
}
