package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const (
	tagsPerPage = 10000
	maxPages    = 20
	maxTags     = 200_000
)

var tagPattern = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")

// Resolve returns the digest that tag means in repository to its registry, now and unsigned: what the registry says of a
// manifest of at most 4,194,304 bytes, or, if it does not say, what it sends. It takes 60 s at most.
// OCI: end-3
func (r Registries) Resolve(ctx context.Context, repository, tag string) (digest.Digest, error) {
	if !tagPattern.MatchString(tag) {
		return "", r.fail(repository, invalid("%.200q is not a tag", tag))
	}
	a, err := r.below(repository, "manifests", tag)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, documentLimit, errSlow)
	defer cancel()
	a.header.Set("Accept", manifestTypes)
	a.method = http.MethodHead
	res, err := a.get(ctx, http.StatusOK)
	if err != nil {
		return "", err
	}
	res.Body.Close()
	if header := res.Header.Get("Docker-Content-Digest"); header != "" {
		return a.served(header)
	}
	a.method = http.MethodGet
	if res, err = a.get(ctx, http.StatusOK); err != nil {
		return "", err
	}
	body, _, err := a.document(res)
	if err != nil {
		return "", err
	}
	return digest.FromBytes(body), nil
}

// served reads a Docker-Content-Digest header.
// CLIENTS: 5 row 8, sha256 and sha512 only.
func (a ask) served(header string) (digest.Digest, error) {
	d, err := digest.Parse(header)
	if err != nil || d.Algorithm() != digest.SHA256 && d.Algorithm() != digest.SHA512 {
		return "", a.client.fail(invalid("digest %.100q is not one", header))
	}
	return d, nil
}

// Tags returns the tags that repository has by the word of its registry, in its order and without those that are not
// valid: 20 pages and 200,000 tags at most, each page of at most 4,194,304 bytes. It takes 60 s at most.
// OCI: end-8a, end-8b
func (r Registries) Tags(ctx context.Context, repository string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, documentLimit, errSlow)
	defer cancel()
	var all []string
	for range maxPages {
		a, err := r.below(repository, "tags", "list")
		if err != nil {
			return nil, err
		}
		query := url.Values{"n": {strconv.Itoa(tagsPerPage)}}
		if len(all) > 0 {
			query.Set("last", all[len(all)-1])
		}
		a.url.RawQuery = query.Encode()
		page, more, err := a.page(ctx)
		if err != nil {
			return nil, err
		}
		// PRODUCT: invariant 9, a registry that never comes to an end is not listened to for ever.
		if len(all)+len(page) > maxTags {
			return nil, a.client.fail(invalid("more than %d tags", maxTags))
		}
		if more && len(page) > 0 && len(all) > 0 && page[len(page)-1] == all[len(all)-1] {
			return nil, a.client.fail(invalid("the list of tags goes in circles"))
		}
		if all = append(all, page...); !more || len(page) == 0 {
			break
		}
	}
	return all, nil
}

// page returns one page of tags, and whether there are more. Where they are is not for the registry to say.
func (a ask) page(ctx context.Context) (tags []string, more bool, err error) {
	a.header.Set("Accept", "application/json")
	res, err := a.get(ctx, http.StatusOK)
	if err != nil {
		return nil, false, err
	}
	more = res.Header.Get("Link") != ""
	body, _, err := a.document(res)
	if err != nil {
		return nil, false, err
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if json.Unmarshal(body, &list) != nil {
		return nil, false, a.client.fail(invalid("the list of tags is not what it should be"))
	}
	for _, t := range list.Tags {
		if tagPattern.MatchString(t) {
			tags = append(tags, t)
		}
	}
	return tags, more, nil
}
