package main

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"
)

const (
	blockSize    = 1 << 20
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	blobType     = "application/octet-stream"
)

// Content is something the origin has: one block of bytes over and over, up to its size, with its own first bytes.
type content struct {
	mediaType string
	digest    digest.Digest
	size      int64
	head      []byte // not longer than a block
	block     []byte // nil when head is all
}

// newBlock returns random bytes, the same ones each time.
func newBlock() []byte {
	block := make([]byte, blockSize)
	rand.NewChaCha8([32]byte{1}).Read(block)
	return block
}

// newBlob returns content of that size that only this name has.
func newBlob(block []byte, name string, size int64) *content {
	c := &content{mediaType: blobType, size: size, head: fmt.Appendf(nil, "%-64s", name), block: block}
	h := sha256.New()
	for piece := range c.pieces() {
		h.Write(piece)
	}
	c.digest = digest.NewDigest(digest.SHA256, h)
	return c
}

// newManifest returns an image of one configuration and one layer, which need not exist.
func newManifest(config, layer *content) *content {
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}]}`,
		manifestType, config.digest, config.size, layer.digest, layer.size)
	return &content{mediaType: manifestType, digest: digest.FromBytes(raw), size: int64(len(raw)), head: raw}
}

// pieces are the bytes in order.
func (c *content) pieces() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		head := c.head[:min(int64(len(c.head)), c.size)]
		at := int64(len(head))
		if !yield(head) {
			return
		}
		for at < c.size {
			from := at % blockSize
			to := min(blockSize, from+c.size-at)
			if !yield(c.block[from:to]) {
				return
			}
			at += to - from
		}
	}
}
