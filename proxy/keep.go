package proxy

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

const (
	// maxSigned is of how many digests it is known that manifests of signed tags name them.
	maxSigned = 16 << 10
	// maxKeeping is of how many manifests it is noted at a time what they name.
	maxKeeping = 8
	// relinkAfter is how old such a note may be, since parts of it are forgotten when there are too many.
	relinkAfter = time.Hour
	// linkTime is how long it may take to note what a manifest names.
	linkTime = 30 * time.Second
)

// inUse notes that a client was served a signed tag, with the manifest m.
func (h *Handler) inUse(d trust.Decision, served digest.Digest, m manifest) {
	if h.o.Prefetch != nil && d.Prefetch {
		h.o.Prefetch.served(d, served)
	}
	h.keep(d.Name.Repository, served, m)
}

// keep marks the content of a manifest as what goes last: it is that of a signed tag, or named by one. What it names is
// marked if it is in the cache; otherwise it is noted, and marked when a client has asked for it by digest. Nobody waits
// for more than the mark of the manifest itself.
func (h *Handler) keep(repository string, d digest.Digest, m manifest) {
	h.mark(d)
	if at, ok := h.linked.Get(d); ok && h.o.Now().Sub(at) < relinkAfter {
		return
	}
	select {
	case h.keeping <- struct{}{}:
	default:
		return // the next request will do
	}
	h.linked.Add(d, h.o.Now())
	body := m.body // the rest of m is the answer's
	h.o.Go(func() {
		defer func() { <-h.keeping }()
		if err := h.note(repository, d, body); err != nil {
			h.linked.Remove(d)
		}
	})
}

// note notes and marks what a manifest names. A large one, of which there is no body, is read again.
func (h *Handler) note(repository string, d digest.Digest, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), linkTime)
	defer cancel()
	m := manifest{body: body}
	if body == nil {
		var err error
		if m, err = h.content(ctx, "", repository, d); err != nil {
			return err
		}
		defer m.release()
	}
	all, err := h.linksOf(ctx, m)
	for _, l := range all {
		// First the note, so that nothing is served unseen between the two.
		h.signed.Add(l.digest, struct{}{})
		h.mark(l.digest)
	}
	return err
}

// markSigned marks content as what goes last if a manifest of a signed tag names it.
func (h *Handler) markSigned(d digest.Digest) {
	if h.signed.Contains(d) {
		h.mark(d)
	}
}

// mark marks content as what goes last. It may be gone, or never have been kept: then there is nothing to mark.
func (h *Handler) mark(d digest.Digest) { _ = h.o.Cache.Keep(d) }
