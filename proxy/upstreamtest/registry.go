// Package upstreamtest is a registry that remembers what it was asked.
//
// It keeps everything in memory, serves the read side of the distribution API, and can be told to misbehave, to want
// tokens or passwords, and to hand out tokens. It is for tests and demonstrations: pushing is a method call.
package upstreamtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxRequests is how many requests a Registry remembers: the first ones.
const maxRequests = 10_000

// Registry is an http.Handler. The zero Registry is empty, open to everybody and ready; it must not be copied. It is safe
// for concurrent use.
type Registry struct {
	mu       sync.Mutex
	repos    map[string]*repository
	requests []Request
	faults   map[string]Fault
	auth     Auth
	tokens   map[string]string // scope by token
	issued   int
}

// repository is what one repository holds.
type repository struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
}

// manifest is a manifest as it was pushed, and what a list of referrers says of it.
type manifest struct {
	mediaType  string
	content    []byte
	subject    digest.Digest
	descriptor v1.Descriptor
}

// Request is one request that a Registry got, on whichever of its handlers.
type Request struct {
	Method, Host, Path, Query string
	// Header holds all headers; it is the reader's own.
	Header http.Header
	// Form is the body of a request for a token, as it came.
	Form string
}

// repo returns the repository with this name, made if need be. The caller holds mu.
func (r *Registry) repo(name string) *repository {
	if r.repos == nil {
		r.repos = map[string]*repository{}
	}
	if r.repos[name] == nil {
		r.repos[name] = &repository{
			blobs: map[digest.Digest][]byte{}, manifests: map[digest.Digest]manifest{}, tags: map[string]digest.Digest{},
		}
	}
	return r.repos[name]
}

// PushBlob stores content in a repository, which is named without host: "library/nginx".
func (r *Registry) PushBlob(repository string, content []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(content)
	r.repo(repository).blobs[d] = content
	return d
}

// PushManifest stores a manifest as it is, and points tag at it unless tag is empty. Nothing is checked, so that wrong
// manifests can be pushed too.
func (r *Registry) PushManifest(repository, tag, mediaType string, content []byte) digest.Digest {
	var doc struct {
		ArtifactType string
		Annotations  map[string]string
		Config       v1.Descriptor
		Subject      v1.Descriptor
	}
	_ = json.Unmarshal(content, &doc) // what is no manifest refers to nothing
	if doc.ArtifactType == "" {
		doc.ArtifactType = doc.Config.MediaType
	}
	d := digest.FromBytes(content)
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repo(repository)
	repo.manifests[d] = manifest{
		mediaType: mediaType, content: content, subject: doc.Subject.Digest,
		descriptor: v1.Descriptor{
			MediaType: mediaType, ArtifactType: doc.ArtifactType, Digest: d, Size: int64(len(content)), Annotations: doc.Annotations,
		},
	}
	if tag != "" {
		repo.tags[tag] = d
	}
	return d
}

// Delete removes a tag, or a manifest or blob by its digest, from a repository.
func (r *Registry) Delete(repository, reference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repo(repository)
	delete(repo.tags, reference)
	delete(repo.manifests, digest.Digest(reference))
	delete(repo.blobs, digest.Digest(reference))
}

// Requests returns the first 10,000 requests since the beginning, or since Forget.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count returns how many of Requests have this method and path; an empty one means any.
func (r *Registry) Count(method, path string) int {
	n := 0
	for _, q := range r.Requests() {
		if (method == "" || method == q.Method) && (path == "" || path == q.Path) {
			n++
		}
	}
	return n
}

// Forget empties the memory of requests.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// remember adds to the memory of requests.
func (r *Registry) remember(req *http.Request, form string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) < maxRequests {
		r.requests = append(r.requests, Request{
			Method: req.Method, Host: req.Host, Path: req.URL.Path, Query: req.URL.RawQuery, Header: req.Header.Clone(), Form: form,
		})
	}
}

// tagList returns the tags of a repository, sorted. The caller holds mu.
func (repo *repository) tagList() []string { return slices.Sorted(maps.Keys(repo.tags)) }
