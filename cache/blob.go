package cache

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// A Blob is the content of one digest, on disk or on its way there. It is safe for concurrent use and needs no closing.
type Blob struct {
	store  *Store
	digest digest.Digest
	path   string
	size   int64 // unless there is a fill, which knows better
	fill   *fill // nil if the content was complete when it was asked for
}

// Digest returns the digest the content was asked for by.
func (b *Blob) Digest() digest.Digest {
	return b.digest
}

// Size returns the size of the whole content in bytes, or -1 while that is unknown. Before the content is verified it is
// what the origin claims; content of another size does not complete.
func (b *Blob) Size() int64 {
	return b.progress().size
}

// Complete reports whether the content is verified and durable on disk.
func (b *Blob) Complete() bool {
	return b.progress().stage == complete
}

// progress returns how far the content is.
func (b *Blob) progress() progress {
	if b.fill == nil {
		return progress{stage: complete, size: b.size, written: b.size}
	}
	return b.fill.progress()
}

// Open returns a reader of the content, at its beginning. The caller closes it; only Close may be called while another of
// its methods runs.
//
// Complete content is opened as a bare *os.File, and ctx does not matter any more. Otherwise the reader follows the growing
// file: Read waits for bytes that may leave, for as long as ctx allows, and ends with io.EOF only after all of the content
// was verified. It fails as the fill fails; there is nothing to be had from it then. Seek needs no bytes to be there, but
// from io.SeekEnd it fails while the size is unknown.
//
// The error is that of a fill that has failed, ErrDisk, or fs.ErrNotExist if complete content has gone since.
func (b *Blob) Open(ctx context.Context) (io.ReadSeekCloser, error) {
	size := b.size
	if b.fill != nil {
		p, file, err := b.fill.use()
		if err != nil {
			return nil, err
		}
		if file != nil {
			return newFollower(ctx, b.fill, file), nil
		}
		size = p.size
	}
	file, err := b.store.open(b.digest, b.path, size)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Bytes returns the whole content, hashed in this very call, and waits for it as long as ctx allows. Content of more than
// limit bytes is ErrTooLarge before any of it is read; so is content of unknown size as soon as more has arrived. The other
// errors are those of Open. Content that turns out to be damaged on disk is taken away, reported and fs.ErrNotExist, so
// that asking for it again can fetch it again.
//
// PRODUCT: invariant 3: a manifest is hashed whole before its first byte leaves.
func (b *Blob) Bytes(ctx context.Context, limit int64) ([]byte, error) {
	p, err := b.settle(ctx, limit)
	if err != nil {
		return nil, err
	}
	if size := max(p.size, p.written); size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes or more, the limit is %d", b.digest, ErrTooLarge, size, limit)
	}
	r, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, p.size)
	if _, err := io.ReadFull(r, content); err != nil {
		if _, bare := r.(*os.File); bare {
			err = diskError(b.digest, err)
		}
		return nil, err
	}
	if b.digest.Algorithm().FromBytes(content) != b.digest {
		b.store.damaged(b.digest, b.path, p.size, "other bytes than were verified")
		return nil, missing(b.digest)
	}
	return content, nil
}

// settle waits until the content is verified or known to be larger than limit.
func (b *Blob) settle(ctx context.Context, limit int64) (progress, error) {
	if b.fill == nil {
		return b.progress(), nil
	}
	return b.fill.until(ctx, func(p progress) bool {
		return p.stage >= verified || max(p.size, p.written) > limit
	})
}
