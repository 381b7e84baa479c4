package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// A Blob is the content of one digest, in memory, on disk or on its way there. It is safe for concurrent use and needs no
// closing.
type Blob struct {
	store   *Store
	digest  digest.Digest
	path    string
	size    int64  // unless there is a fill, which knows better
	content []byte // of small content that was used; else nil
	fill    *fill  // nil if the content was complete when it was asked for
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

// Complete reports whether the content is verified and durable on disk, or was when it was read into memory.
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
// Complete content is opened as a bare *os.File, unless it is in memory, and ctx does not matter any more. Otherwise the
// reader follows the growing file: Read waits for bytes that may leave, for as long as ctx allows, and ends with io.EOF only
// after all of the content was verified. It fails as the fill fails; there is nothing to be had from it then. Seek needs no
// bytes to be there, but from io.SeekEnd it fails while the size is unknown.
//
// The error is that of a fill that has failed, ErrDisk, or ErrGone if the content has gone since; if it was complete before,
// it is fs.ErrNotExist too. A reader of content that is not kept gets ErrGone if it falls far behind others.
func (b *Blob) Open(ctx context.Context) (io.ReadSeekCloser, error) {
	if content, ok := b.recall(); ok {
		return memoryReader{bytes.NewReader(content)}, nil
	}
	size := b.size
	if b.fill != nil {
		r, err := b.fill.follow(ctx)
		if err != nil {
			return nil, err
		}
		if r != nil {
			return r, nil
		}
		size = b.fill.progress().size
	}
	file, err := b.store.open(b.digest, b.path, size)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Bytes returns the whole content, and waits for it as long as ctx allows. The caller must not change it. Small content that
// was used or filled of late is in memory, and was hashed before it got there; else it is hashed in this very call. Content
// of more than limit bytes is ErrTooLarge before any of it is read; so is content of unknown size as soon as more has
// arrived. The other errors are those of Open. Content that turns out to be damaged on disk is moved aside, reported and
// fs.ErrNotExist, so that asking for it again can fetch it again.
//
// PRODUCT: invariant 3: a manifest is hashed whole before its first byte leaves.
func (b *Blob) Bytes(ctx context.Context, limit int64) ([]byte, error) {
	if err := b.within(b.progress(), limit); err != nil {
		return nil, err
	}
	if content, ok := b.recall(); ok {
		return content, nil
	}
	r, err := b.Open(ctx) // first of all, since it keeps the content readable
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p, err := b.settle(ctx, limit)
	if err != nil {
		return nil, err
	}
	if err := b.within(p, limit); err != nil {
		return nil, err
	}
	if content, ok := b.recall(); ok {
		return content, nil
	}
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
	if p.size <= Small {
		b.store.remember(b.digest, b.path, content)
	}
	return content, nil
}

// recall returns the content if it is in memory, where only verified content is.
func (b *Blob) recall() (content []byte, ok bool) {
	if b.content == nil {
		if b = b.store.memory.get(b.digest); b == nil {
			return nil, false
		}
	}
	return b.content, true
}

// within refuses content of more than limit bytes.
func (b *Blob) within(p progress, limit int64) error {
	if size := max(p.size, p.written); size > limit {
		return fmt.Errorf("%s: %w: %d bytes or more, the limit is %d", b.digest, ErrTooLarge, size, limit)
	}
	return nil
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
