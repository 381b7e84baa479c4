package proxy

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	// maxManifest is the most bytes of a manifest.
	maxManifest = 4 << 20
	// maxSmall is the most bytes of a manifest that is not large. There is room for one in every request.
	maxSmall = 32 << 10
	// maxLarge is how many bytes of large manifests are in memory at a time.
	maxLarge = 32 << 20
	// maxQuestions is how many questions of a kind a registry is asked at a time whose answers are held in memory.
	maxQuestions = 8
)

// A manifest is one that was hashed and inspected. Release must be called when it is not needed any more.
type manifest struct {
	body      []byte
	mediaType string
	release   func()
}

// content returns the manifest with digest d, from the cache or from the registry of the repository. The error is
// fs.ErrNotExist when the registry does not have it; failure says what others mean.
// PRODUCT: invariant 3, a manifest is hashed whole before its first byte leaves.
func (h *Handler) content(ctx context.Context, repository string, d digest.Digest) (manifest, error) {
	m := manifest{release: func() {}}
	ask := func(ctx context.Context, _ int64) (io.ReadCloser, int64, error) {
		return h.askManifest(ctx, repository, d)
	}
	mine, err := h.bring(ctx, d, origin{route.Manifest, repository, ask}, func(b *cache.Blob) error {
		size := b.Size()
		if size > maxManifest {
			return mismatch("has %d bytes, more than the 4 MiB that are taken", size)
		}
		release, err := h.room(ctx, size)
		if err != nil {
			return err
		}
		if m.body, err = b.Bytes(ctx, maxManifest); err != nil {
			release()
			return err
		}
		m.release = release
		return nil
	})
	h.accuse(mine, route.Manifest, err)
	if err == nil {
		m.mediaType, err = h.inspect(d, m.body)
	}
	if err != nil {
		m.release()
		return manifest{release: func() {}}, err
	}
	return m, nil
}

// room waits for memory for a manifest of size bytes, -1 if that is unknown, and returns how to give it back.
// PRODUCT: section 8, hostile manifests keep memory bounded.
func (h *Handler) room(ctx context.Context, size int64) (release func(), err error) {
	if size >= 0 && size <= maxSmall {
		return func() {}, nil
	}
	if size < 0 {
		size = maxManifest
	}
	if err := h.large.Acquire(ctx, size); err != nil {
		return nil, err
	}
	return func() { h.large.Release(size) }, nil
}

// inspect returns the media type of a manifest whose bytes have digest d. It is asked for every manifest that is served,
// so that it does not matter who put the bytes into the cache.
func (h *Handler) inspect(d digest.Digest, body []byte) (string, error) {
	if t, ok := h.types.Get(d); ok {
		return t, nil
	}
	k, err := kindOf(body)
	if err != nil {
		return "", err
	}
	h.types.Add(d, k.mediaType)
	return k.mediaType, nil
}

// askManifest asks the registry, and refuses what must not be served before it gets into the cache. Bytes that are not
// those of the digest are left for the cache to refuse. The answer takes its slot until it is read and closed.
func (h *Handler) askManifest(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, int64, error) {
	release, err := h.manifests.acquire(ctx, repository)
	if err != nil {
		return nil, 0, err
	}
	body, sent, err := h.o.Upstream.Manifest(ctx, repository, d)
	if err == nil && d.Algorithm().FromBytes(body) == d {
		err = checkSent(body, sent)
	}
	if err != nil {
		release()
		return nil, 0, err
	}
	return held{bytes.NewReader(body), release}, int64(len(body)), nil
}

// checkSent tells why a manifest that was sent under a media type must not be served.
func checkSent(body []byte, sent string) error {
	k, err := kindOf(body)
	if err != nil {
		return err
	}
	return k.cameAs(sent)
}

// held is bytes in memory, until they are closed.
type held struct {
	io.Reader
	release func()
}

// Close implements io.Closer.
func (b held) Close() error {
	b.release()
	return nil
}

// slots bound how many questions each registry is asked at a time.
type slots map[string]chan struct{}

// newSlots returns the slots of all registries that can be asked.
func newSlots(n Names) slots {
	s := make(slots, len(n.Registries))
	for registry := range n.Registries {
		s[registry] = make(chan struct{}, maxQuestions)
	}
	return s
}

// acquire waits for a slot of the repository's registry, and returns how to give it back, which more than once does nothing.
func (s slots) acquire(ctx context.Context, repository string) (release func(), err error) {
	registry, _ := names.Split(repository)
	slot := s[registry]
	select {
	case slot <- struct{}{}:
		return sync.OnceFunc(func() { <-slot }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
