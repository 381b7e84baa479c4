package proxy

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

const (
	// maxIndexes is how deep indexes are followed: one, and those that it lists.
	maxIndexes = 2
	// maxChildren is how many manifests of one image are fetched ahead, beside the first.
	maxChildren = 64
	// maxLayers is how many layers one of them may have.
	maxLayers = 256
)

// An errand is one image that is fetched ahead.
type errand struct {
	h          *Handler
	repository string
	room       int64 // how many more bytes it may have
	children   int
	seen       map[digest.Digest]bool
	blobs      []link
}

// fetchAhead brings all of what a decision admits into the cache, and marks it as what goes last. It takes the way of a
// request, with all of its checks.
func (h *Handler) fetchAhead(ctx context.Context, d trust.Decision) error {
	target, _ := d.Admit()
	m, err := h.content(ctx, "", d.Name.Repository, target.Digest)
	d = h.judge(d, target, m, err)
	m.release()
	if _, ok := d.Admit(); !ok {
		return fmt.Errorf("%s: %w", d.Reason, d.Err)
	}
	e := errand{h: h, repository: d.Name.Repository, room: h.o.CacheSize / 4, seen: make(map[digest.Digest]bool)}
	if h.o.CacheSize == 0 {
		e.room = math.MaxInt64
	}
	if err := e.spend(target.Digest, m.size); err != nil {
		return err
	}
	if err := e.manifest(ctx, target.Digest, m.size, 0); err != nil {
		return err
	}
	// All manifests come before the first layer: what is too large is known by then.
	for _, l := range e.blobs {
		if err := e.blob(ctx, l); err != nil {
			return fmt.Errorf("blob %s: %w", l.digest, err)
		}
	}
	h.o.Log.Info("fetched ahead", zap.Stringer("name", d.Name), zap.String("digest", target.Digest.String()),
		zap.Int("manifests", 1+e.children), zap.Int("blobs", len(e.blobs)))
	return nil
}

// spend takes from the room what is about to be fetched, before any of it is.
// PRODUCT: invariant 9, every count has a limit; what is so large would push out what is in use.
func (e *errand) spend(d digest.Digest, size int64) error {
	if size > e.room {
		return fmt.Errorf("the image is larger than a quarter of the cache: %s has %d bytes, and %d are left for it", d, size, e.room)
	}
	e.seen[d] = true
	e.room -= size
	return nil
}

// manifest brings a manifest of the size that was spent for it and those that it lists, and notes which blobs they name.
// Depth is the number of indexes around it.
func (e *errand) manifest(ctx context.Context, d digest.Digest, size int64, depth int) error {
	m, err := e.h.content(ctx, "", e.repository, d)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	if m.size != size {
		m.release()
		return fmt.Errorf("manifest %s has %d bytes, where %d are said of it", d, m.size, size)
	}
	all, err := e.h.linksOf(ctx, m)
	m.release()
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	if err := e.h.o.Cache.Keep(d); err != nil {
		return fmt.Errorf("manifest %s is not kept: %w", d, err)
	}
	layers := 0
	for _, l := range all {
		if l.kind == route.Manifest && !wanted(e.h.o.Platforms, l.platform) {
			continue
		}
		if layers++; l.kind == route.Blob && layers > 1+maxLayers {
			return fmt.Errorf("manifest %s has more than %d layers", d, maxLayers)
		}
		if e.seen[l.digest] {
			continue
		}
		if err := e.spend(l.digest, l.size); err != nil {
			return err
		}
		if err := e.follow(ctx, l, depth); err != nil {
			return err
		}
	}
	return nil
}

// follow brings the manifest that an index lists, or notes the blob that an image names.
func (e *errand) follow(ctx context.Context, l link, depth int) error {
	if l.kind == route.Blob {
		e.blobs = append(e.blobs, l)
		return nil
	}
	if e.children++; e.children > maxChildren {
		return fmt.Errorf("more than %d manifests are listed for the platforms that are wanted: name fewer under cache.platforms", maxChildren)
	}
	if depth == maxIndexes {
		return fmt.Errorf("manifest %s is within more than %d indexes", l.digest, maxIndexes)
	}
	return e.manifest(ctx, l.digest, l.size, depth+1)
}

// blob brings a blob of the size that its manifest says, and waits until all of it is there.
func (e *errand) blob(ctx context.Context, l link) error {
	o := e.h.blobOrigin("", e.repository, l.digest)
	ask := o.ask
	o.ask = func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		body, _, err := ask(ctx, offset)
		return body, l.size, err // whatever the registry says: the cache takes nothing that is longer
	}
	mine, err := e.h.bring(ctx, l.digest, o, func(b *cache.Blob) error {
		if err := whole(ctx, b); err != nil || b.Size() == l.size {
			return err
		}
		return fmt.Errorf("has %d bytes, where its manifest says %d", b.Size(), l.size) // it was there already
	})
	e.h.accuse(mine, route.Blob, err)
	if err != nil {
		return err
	}
	if err := e.h.o.Cache.Keep(l.digest); err != nil {
		return fmt.Errorf("not kept: %w", err)
	}
	return nil
}

// whole waits until all of b is there and verified. Of its content it reads no more than it must.
func whole(ctx context.Context, b *cache.Blob) error {
	if b.Complete() {
		return nil
	}
	content, err := b.Open(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	if size := b.Size(); size > 0 {
		if _, err := content.Seek(size-1, io.SeekStart); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, content)
	return err
}
