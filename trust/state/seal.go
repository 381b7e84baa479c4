package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// maxSealed is the most bytes of a sealed line.
const maxSealed = 256

// seal returns the line with a checksum, which covers what it is about too.
func seal(about, text string) []byte {
	return fmt.Appendf(nil, "%s %x\n", text, sha256.Sum256([]byte(about+"\n"+text)))
}

// readSealed reads a line back that was sealed about the same.
func readSealed(file, about string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSealed+1))
	if err != nil {
		return "", err
	}
	text := string(data[:max(0, bytes.LastIndexByte(data, ' '))])
	// PRODUCT: invariant 6, a damaged file is never trusted.
	if !bytes.Equal(data, seal(about, text)) {
		return "", fmt.Errorf("%w: checksum differs", errDamaged)
	}
	return text, nil
}
