package cache

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"

	"github.com/opencontainers/go-digest"
)

// split takes a digest apart. It is the only way from a digest to anything that becomes a path: what it returns without an
// error is sha256 or sha512 and the right number of lower-case hex digits.
func split(d digest.Digest) (algorithm, hex string, err error) {
	algorithm, hex, found := strings.Cut(string(d), ":")
	length := 0
	switch digest.Algorithm(algorithm) {
	case digest.SHA256:
		length = 2 * sha256.Size
	case digest.SHA512:
		length = 2 * sha512.Size
	}
	switch {
	case !found:
		err = digest.ErrDigestInvalidFormat
	case length == 0:
		err = digest.ErrDigestUnsupported
	case len(hex) != length:
		err = digest.ErrDigestInvalidLength
	case strings.Trim(hex, "0123456789abcdef") != "":
		err = digest.ErrDigestInvalidFormat
	}
	if err != nil {
		return "", "", fmt.Errorf("digest %.160q: %w", string(d), err)
	}
	return algorithm, hex, nil
}

// path returns where the content of digest d is or would be, or why d cannot name content.
func (s *Store) path(d digest.Digest) (string, error) {
	algorithm, hex, err := split(d)
	if err != nil {
		return "", err
	}
	return s.dir + "/" + algorithm + "/" + hex[:2] + "/" + hex, nil
}

// newHash returns the hash that a valid digest is made with.
func newHash(d digest.Digest) hash.Hash {
	if d.Algorithm() == digest.SHA512 {
		return sha512.New()
	}
	return sha256.New()
}

// sum returns the digest of all that was written to h, in the algorithm of the valid digest d.
func sum(d digest.Digest, h hash.Hash) digest.Digest {
	return digest.NewDigest(d.Algorithm(), h)
}
