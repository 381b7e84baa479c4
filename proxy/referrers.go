package proxy

import (
	"context"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
	"go.uber.org/zap"
)

// noReferrers is the index of nothing.
const noReferrers = `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[]}`

// referrersOf answers with the index of what refers to a digest. What it lists is served by digest only, so that it need
// not be true.
// OCI: end-12a, end-12b
func (h *Handler) referrersOf(w http.ResponseWriter, r *http.Request, q route.Request) error {
	d, err := h.decide(r, q)
	if err != nil {
		return err
	}
	target, ok := d.Admit()
	if !ok {
		return denied(d)
	}
	index, filtered := h.askReferrers(r.Context(), d.Name.Repository, target.Digest, q.ArtifactType)
	head := w.Header()
	if filtered {
		head.Set("OCI-Filters-Applied", "artifactType")
	}
	head["Content-Type"] = []string{ociIndex}
	head["Cache-Control"] = noStore
	h.write(w, r, http.StatusOK, index)
	return nil
}

// askReferrers asks the registry.
// PRODUCT: section 4, always 200: a registry that fails has no referrers.
func (h *Handler) askReferrers(ctx context.Context, repository string, d digest.Digest, artifactType string) (index []byte, filtered bool) {
	release, err := h.referrers.acquire(ctx, repository)
	if err == nil {
		index, filtered, err = h.o.Upstream.Referrers(ctx, repository, d, artifactType)
		release()
	}
	if err == nil && index == nil {
		return []byte(noReferrers), artifactType != ""
	}
	if err == nil {
		var k kind
		if k, err = kindOf(index); err == nil && k.mediaType != ociIndex {
			err = fmt.Errorf("the index is of media type %q", k.mediaType)
		}
	}
	if err != nil {
		h.o.Log.Warn("referrers not served", zap.String("name", repository), zap.String("digest", d.String()), zap.Error(err))
		return []byte(noReferrers), artifactType != ""
	}
	return index, filtered
}
