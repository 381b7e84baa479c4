package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	// maxManifest is the most bytes of a manifest.
	maxManifest = 4 << 20
	// maxSmall is the most bytes of a manifest that is not large. There is room for one in every request.
	maxSmall = 32 << 10
	// maxLarge is how many bytes of large manifests are in memory at a time.
	maxLarge = 32 << 20
	// roomTime is how long a large manifest waits to be read.
	roomTime = 10 * time.Second
	// turnTime is how long a question waits for its turn.
	turnTime = 30 * time.Second
	// maxQuestions is how many questions of a kind a registry is asked at a time whose answers are held in memory.
	maxQuestions = 8
)

// A manifest is one that was hashed and inspected: its bytes, or, if it is large, its content on disk, so that a client that
// takes its time holds no memory. Release must be called when it is not needed any more.
type manifest struct {
	*label
	body    []byte
	content io.ReadSeekCloser
	size    int64
}

// A label is what the headers of answers say of a manifest that was inspected. Nobody changes it.
type label struct {
	mediaType                         string
	contentType, length, digest, etag []string
}

func (m manifest) release() {
	if m.content != nil {
		m.content.Close()
	}
}

// content returns the manifest with digest d, from the cache or from the registry of the repository. The error is
// fs.ErrNotExist when the registry does not have it; failure says what others mean.
// PRODUCT: invariant 3, a manifest is hashed whole before its first byte leaves.
func (h *Handler) content(ctx context.Context, who, repository string, d digest.Digest) (manifest, error) {
	var m manifest
	// Mostly it is in memory, and nothing has to be made ready to ask for it.
	if b, err := h.o.Cache.Get(d); err == nil && b.Size() <= maxSmall {
		if m, err = h.small(ctx, b); err == nil {
			if who != "" {
				h.looked(route.Manifest, true)
			}
			return m, nil
		}
	}
	ask := func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		if offset != 0 {
			return nil, 0, fs.ErrInvalid // a manifest comes whole
		}
		return h.askManifest(ctx, repository, d)
	}
	mine, err := h.bring(ctx, d, origin{route.Manifest, repository, who, ask}, func(b *cache.Blob) (err error) {
		size := b.Size()
		switch {
		case size > maxManifest:
			return mismatch("has %d bytes, more than the 4 MiB that are taken", size)
		case size >= 0 && size <= maxSmall:
			m, err = h.small(ctx, b)
		default:
			m, err = h.big(ctx, b)
		}
		return err
	})
	h.accuse(mine, route.Manifest, err)
	return m, err
}

// small returns a manifest that is held in memory.
func (h *Handler) small(ctx context.Context, b *cache.Blob) (manifest, error) {
	body, err := b.Bytes(ctx, maxManifest)
	if err != nil {
		return manifest{}, err
	}
	l, err := h.inspect(b.Digest(), body)
	return manifest{label: l, body: body, size: int64(len(body))}, err
}

// big returns a manifest of which nothing is held in memory but while it is hashed and inspected. That comes when all of it
// is there, so that nobody who waits for a registry holds any.
// PRODUCT: section 8, hostile manifests keep memory bounded.
func (h *Handler) big(ctx context.Context, b *cache.Blob) (m manifest, err error) {
	content, err := b.Open(ctx)
	if err != nil {
		return manifest{}, err
	}
	defer func() {
		if err != nil {
			content.Close()
		}
	}()
	if _, complete := content.(*os.File); !complete {
		if _, err := io.CopyN(io.Discard, content, maxManifest+1); err == nil {
			return manifest{}, mismatch("has more than the 4 MiB that are taken")
		} else if err != io.EOF {
			return manifest{}, err
		}
	}
	m, err = h.look(ctx, b)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		return manifest{}, err
	}
	m.content = content
	return m, nil
}

// look hashes and inspects a large manifest, and lets go of its bytes.
func (h *Handler) look(ctx context.Context, b *cache.Blob) (manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	if err := h.large.Acquire(ctx, maxManifest); err != nil {
		return manifest{}, &trust.Refusal{Reason: trust.StateUnavailable, Text: "too many large manifests are read at the same time", Err: err}
	}
	defer h.large.Release(maxManifest)
	m, err := h.small(ctx, b)
	m.body = nil
	return m, err
}

// inspect returns the label of a manifest whose bytes have digest d. It is asked for every manifest that is served, so that
// it does not matter who put the bytes into the cache.
func (h *Handler) inspect(d digest.Digest, body []byte) (*label, error) {
	if l, ok := h.labels.Get(d); ok {
		return l, nil
	}
	k, err := kindOf(body)
	if err != nil {
		return nil, err
	}
	d = digest.Digest(strings.Clone(string(d))) // lest a whole request be held
	l := &label{
		mediaType: k.mediaType, contentType: []string{k.mediaType}, length: []string{strconv.Itoa(len(body))},
		digest: []string{d.String()}, etag: []string{quoted(d)},
	}
	h.labels.Add(d, l)
	return l, nil
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

// errBusy is the error of a question that never got its turn.
var errBusy = errors.New("registry answers slowly, and too many questions wait for it")

// slots bound how many questions each registry is asked at a time.
type slots map[string]chan struct{}

// newSlots returns so many slots for each registry that can be asked.
func newSlots(n Names, many int) slots {
	s := make(slots, len(n.Registries))
	for registry := range n.Registries {
		s[registry] = make(chan struct{}, many)
	}
	return s
}

// acquire waits for a slot of the repository's registry, and returns how to give it back, which more than once does nothing.
func (s slots) acquire(ctx context.Context, repository string) (release func(), err error) {
	registry, _ := names.Split(repository)
	slot := s[registry]
	late := time.NewTimer(turnTime)
	defer late.Stop()
	select {
	case slot <- struct{}{}:
		return sync.OnceFunc(func() { <-slot }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-late.C:
		return nil, errBusy
	}
}
