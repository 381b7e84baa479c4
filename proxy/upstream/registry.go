package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxDocument   = 4 << 20 // bytes of a manifest, and of a list of referrers
	documentLimit = 60 * time.Second
)

// manifestTypes is the Accept header of every request for a manifest, so that no client's can change what is answered.
var manifestTypes = strings.Join([]string{
	v1.MediaTypeImageIndex,
	v1.MediaTypeImageManifest,
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"*/*",
}, ", ")

// Registry is one registry behind the gateway.
type Registry struct {
	name   string
	client *Client
}

// NewRegistry returns the registry that c reaches. The name is the host by which images name it, such as "docker.io".
func NewRegistry(name string, c *Client) *Registry { return &Registry{name: name, client: c} }

// Registries asks the registry that a full repository name begins with. It is safe for concurrent use. All its errors
// are *Error.
type Registries struct{ byName map[string]*Registry }

// NewRegistries returns the given registries, found by their names.
func NewRegistries(list ...*Registry) Registries {
	byName := make(map[string]*Registry, len(list))
	for _, r := range list {
		byName[r.name] = r
	}
	return Registries{byName}
}

// Manifest returns the manifest that repository has under d, as it came: at most 4,194,304 bytes, within 60 s, and not
// hashed. The media type is upstream's Content-Type without parameters, in lower case; empty if there was none.
// OCI: end-3
func (r Registries) Manifest(ctx context.Context, repository string, d digest.Digest) (body []byte, mediaType string, err error) {
	a, err := r.ask(repository, "manifests", d)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, documentLimit, errSlow)
	defer cancel()
	a.header.Set("Accept", manifestTypes)
	res, err := a.get(ctx, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	return a.document(res)
}

// Blob returns the content that repository has under d, from offset on, and the size in bytes of the whole content, -1 if
// upstream does not tell. Nothing is hashed. The caller closes the body, which may be read for as long as bytes come: it
// fails after 60 s without one, and when ctx ends. An offset above 0 is answered exactly or is an error.
// OCI: end-2
func (r Registries) Blob(ctx context.Context, repository string, d digest.Digest, offset int64) (body io.ReadCloser, size int64, err error) {
	a, err := r.ask(repository, "blobs", d)
	if err != nil {
		return nil, 0, err
	}
	if offset < 0 {
		return nil, 0, a.client.fail(invalid("offset %d is negative", offset))
	}
	a.header.Set("Accept", "*/*")
	if offset == 0 {
		res, err := a.get(ctx, http.StatusOK)
		if err != nil {
			return nil, 0, err
		}
		return res.Body, res.ContentLength, nil
	}
	a.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	res, err := a.get(ctx, http.StatusPartialContent)
	if err != nil {
		return nil, 0, err
	}
	size, err = rest(res, offset)
	if err != nil {
		res.Body.Close()
		return nil, 0, a.client.fail(err)
	}
	return res.Body, size, nil
}

// Referrers returns the index of what refers to d in repository: upstream's first page, at most 4,194,304 bytes, within
// 60 s, and nil if upstream has none or does not know the endpoint. If artifactType is not empty, upstream is asked for
// that type only; filtered tells whether it listened.
// OCI: end-12a, end-12b
func (r Registries) Referrers(ctx context.Context, repository string, d digest.Digest, artifactType string) (body []byte, filtered bool, err error) {
	a, err := r.ask(repository, "referrers", d)
	if err != nil {
		return nil, false, err
	}
	if artifactType != "" {
		a.url.RawQuery = url.Values{"artifactType": {artifactType}}.Encode()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, documentLimit, errSlow)
	defer cancel()
	a.header.Set("Accept", v1.MediaTypeImageIndex)
	res, err := a.get(ctx, http.StatusOK)
	var e *Error
	if errors.As(err, &e) && e.Kind == NotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	filters := strings.Join(res.Header.Values("OCI-Filters-Applied"), ",")
	body, mediaType, err := a.document(res)
	if err != nil {
		return nil, false, err
	}
	if err := index(body, mediaType); err != nil {
		return nil, false, a.client.fail(err)
	}
	for _, f := range strings.Split(filters, ",") {
		filtered = filtered || strings.TrimSpace(f) == "artifactType"
	}
	return body, filtered && artifactType != "", nil
}

// ask is one question to a registry.
type ask struct {
	client *Client
	method string
	url    *url.URL
	scope  string
	header http.Header
}

// ask prepares a question for what repository has of a kind under d. Names and digests are checked again, although the
// door did: nothing else can become part of a URL.
func (r Registries) ask(repository, kind string, d digest.Digest) (ask, error) {
	if err := d.Validate(); err != nil {
		return ask{}, r.fail(repository, invalid("%.200q is not a digest", d))
	}
	return r.below(repository, kind, d.String())
}

// below prepares a question for a path below repository, made of parts that were checked.
func (r Registries) below(repository string, parts ...string) (ask, error) {
	host, path, _ := strings.Cut(repository, "/")
	registry, ok := r.byName[host]
	if !ok {
		return ask{}, &Error{Registry: cut(host, maxQuote), Err: errors.New("not configured")}
	}
	c := registry.client
	if named, err := reference.WithName(repository); err != nil || reference.Path(named) != path {
		return ask{}, c.fail(invalid("%.200q is not a repository", repository))
	}
	return ask{
		client: c,
		method: http.MethodGet,
		url:    c.base.JoinPath(append([]string{"v2", path}, parts...)...),
		scope:  "repository:" + path + ":pull",
		header: http.Header{},
	}, nil
}

// fail returns err as that of the repository's registry.
func (r Registries) fail(repository string, err error) error {
	host, _, _ := strings.Cut(repository, "/")
	if registry, ok := r.byName[host]; ok {
		return registry.client.fail(err)
	}
	return &Error{Registry: cut(host, maxQuote), Err: errors.New("not configured")}
}

// get asks, and returns the answer if it has the one status that is wanted.
func (a ask) get(ctx context.Context, want int) (*http.Response, error) {
	req := (&http.Request{Method: a.method, URL: a.url, Header: a.header}).WithContext(ctx)
	res, err := a.client.Scoped(a.scope).Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 && res.StatusCode != want {
		res.Body.Close()
		return nil, a.client.fail(&Error{Status: res.StatusCode, Kind: Invalid, Err: fmt.Errorf("where %d was to come", want)})
	}
	if res.StatusCode != want {
		return nil, a.client.fail(statusError(res, ""))
	}
	return res, nil
}

// document reads the whole body of an answer, and its media type.
func (a ask) document(res *http.Response) (body []byte, mediaType string, err error) {
	defer res.Body.Close()
	mediaType, err = contentType(res.Header.Get("Content-Type"))
	if err != nil {
		return nil, "", a.client.fail(err)
	}
	if res.ContentLength > maxDocument {
		return nil, "", a.client.fail(invalid("answer of %d bytes, at most %d are taken", res.ContentLength, maxDocument))
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, "", err
	}
	if len(body) > maxDocument {
		return nil, "", a.client.fail(invalid("answer of more than %d bytes", maxDocument))
	}
	return body, mediaType, nil
}

// contentType returns the media type of a Content-Type header, without its parameters.
func contentType(header string) (string, error) {
	if header == "" {
		return "", nil
	}
	t, _, err := mime.ParseMediaType(header)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", invalid("content type %.80q is not one", header)
	}
	return t, nil
}

// rest checks that an answer of 206 is what follows offset, all of it, and returns the size of the whole.
// HTTP: RFC 9110 14.4, Content-Range = "bytes" SP first "-" last "/" complete-length.
func rest(res *http.Response, offset int64) (size int64, err error) {
	header := res.Header.Get("Content-Range")
	_, whole, _ := strings.Cut(header, "/")
	size, err = strconv.ParseInt(whole, 10, 64)
	if err != nil || header != fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size) {
		return 0, invalid("content range %.80q is not what follows offset %d", header, offset)
	}
	if n := res.ContentLength; size <= offset || n >= 0 && n != size-offset {
		return 0, invalid("content range %.80q with a body of %d bytes", header, n)
	}
	return size, nil
}

// index checks that a list of referrers is an index.
func index(body []byte, contentType string) error {
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return invalid("the list of referrers is not a JSON object")
	}
	if doc.MediaType == "" {
		doc.MediaType = contentType
	}
	if doc.MediaType != v1.MediaTypeImageIndex {
		return invalid("the list of referrers has media type %.80q, not that of an index", doc.MediaType)
	}
	return nil
}
