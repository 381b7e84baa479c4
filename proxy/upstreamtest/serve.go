package upstreamtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// answer is what a request gets, unless a fault changes it.
type answer struct {
	status  int
	header  http.Header
	content []byte
}

// ServeHTTP serves the read side of the distribution API, and remembers the request.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.remember(req, "")
	if a, ok := r.admit(req); !ok {
		a.write(w, req)
		return
	}
	if f, ok := r.fault(req.URL.Path); ok {
		f.write(w, req, r.answer(req))
		return
	}
	r.answer(req).write(w, req)
}

// answer looks up what req asks for.
func (r *Registry) answer(req *http.Request) answer {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if ok && path == "" {
		return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, content: []byte("{}")}
	}
	parts := strings.Split(path, "/")
	if !ok || len(parts) < 3 {
		return refuse(http.StatusNotFound, "NAME_UNKNOWN")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := strings.Join(parts[:len(parts)-2], "/")
	repo := r.repos[name]
	if repo == nil {
		return refuse(http.StatusNotFound, "NAME_UNKNOWN")
	}
	reference := parts[len(parts)-1]
	switch parts[len(parts)-2] {
	case "manifests":
		return repo.manifest(reference)
	case "blobs":
		return repo.blob(digest.Digest(reference))
	case "referrers":
		return repo.referrers(digest.Digest(reference), req.URL.Query().Get("artifactType"))
	case "tags":
		return repo.list(name, req.URL.Query())
	}
	return refuse(http.StatusNotFound, "NAME_UNKNOWN")
}

// manifest answers for a manifest, by tag or digest.
func (repo *repository) manifest(reference string) answer {
	d, ok := repo.tags[reference]
	if !ok {
		d = digest.Digest(reference)
	}
	m, ok := repo.manifests[d]
	if !ok {
		return refuse(http.StatusNotFound, "MANIFEST_UNKNOWN")
	}
	return found(d, m.mediaType, m.content)
}

// blob answers for a blob.
func (repo *repository) blob(d digest.Digest) answer {
	content, ok := repo.blobs[d]
	if !ok {
		return refuse(http.StatusNotFound, "BLOB_UNKNOWN")
	}
	return found(d, "application/octet-stream", content)
}

// found answers with content that has a digest.
func found(d digest.Digest, mediaType string, content []byte) answer {
	h := http.Header{"Content-Type": {mediaType}, "Docker-Content-Digest": {d.String()}}
	return answer{status: http.StatusOK, header: h, content: content}
}

// referrers answers with the index of what refers to d.
func (repo *repository) referrers(d digest.Digest, artifactType string) answer {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	for _, m := range repo.manifests {
		if m.subject == d && (artifactType == "" || artifactType == m.descriptor.ArtifactType) {
			index.Manifests = append(index.Manifests, m.descriptor)
		}
	}
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	h := http.Header{"Content-Type": {v1.MediaTypeImageIndex}}
	if artifactType != "" {
		h.Set("OCI-Filters-Applied", "artifactType")
	}
	return answer{status: http.StatusOK, header: h, content: encode(index)}
}

// list answers with a page of tags.
func (repo *repository) list(name string, q url.Values) answer {
	tags := slices.DeleteFunc(repo.tagList(), func(t string) bool { return t <= q.Get("last") && q.Has("last") })
	h := http.Header{"Content-Type": {"application/json"}}
	if n, err := strconv.Atoi(q.Get("n")); err == nil && n >= 0 && n < len(tags) {
		tags = tags[:n]
		if n > 0 {
			h.Set("Link", fmt.Sprintf(`</v2/%s/tags/list?last=%s&n=%d>; rel="next"`, name, tags[n-1], n))
		}
	}
	return answer{status: http.StatusOK, header: h, content: encode(map[string]any{"name": name, "tags": tags})}
}

// refuse answers with an error.
func refuse(status int, code string) answer {
	body := map[string]any{"errors": []any{map[string]string{"code": code, "message": "no " + code + " here"}}}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, content: encode(body)}
}

// write sends a, or the range of it that is asked for.
func (a answer) write(w http.ResponseWriter, req *http.Request) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status == http.StatusOK {
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(a.content))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.content)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.content) // a client that left is no concern
}

// encode is json.Marshal for values that have a JSON form.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
