package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// An Algorithm is a kind of key.
type Algorithm uint8

// The kinds of keys. The zero value is Ed25519.
const (
	Ed25519 Algorithm = iota
	// ECDSA is ECDSA over P-256 with SHA-256.
	ECDSA
)

// generate returns a fresh private key.
func (a Algorithm) generate() (crypto.Signer, error) {
	switch a {
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("key algorithm %d does not exist", a)
}

// A PublicKey is a key that signatures are verified with.
type PublicKey struct {
	// ID is the key's id in TUF metadata: 64 hex digits.
	ID string
	// Role is what the file that it came from calls it; often empty.
	Role string

	key *metadata.Key
	// starter is an empty targets file that the key has signed, for whoever adds it as a signer and does not have it.
	starter []byte
}

// publicKey returns the key as metadata spells it.
func publicKey(p crypto.PublicKey, role string) (PublicKey, error) {
	if err := supported(p); err != nil {
		return PublicKey{}, err
	}
	k, err := metadata.KeyFromPublicKey(p)
	if err != nil {
		return PublicKey{}, err
	}
	id, err := k.ID()
	return PublicKey{ID: id, Role: role, key: k}, err
}

// canonicalID returns the id that a key in metadata has in a keychain, whatever id and spelling another tool gave it
// there; "" for a key of a kind that no keychain holds.
func canonicalID(k *metadata.Key) string {
	if k == nil {
		return ""
	}
	p, err := k.ToPublicKey()
	if err != nil {
		return ""
	}
	public, err := publicKey(p, "")
	if err != nil {
		return ""
	}
	return public.ID
}

// supported tells which keys sign and verify the same everywhere.
// TUF: keys on P-384 get a label that other implementations read otherwise, RSA signatures have two paddings.
func supported(key any) error {
	switch k := key.(type) {
	case ed25519.PublicKey, ed25519.PrivateKey:
		return nil
	case *ecdsa.PublicKey:
		return onP256(k.Curve)
	case *ecdsa.PrivateKey:
		return onP256(k.Curve)
	case *rsa.PublicKey, *rsa.PrivateKey:
		return errors.New("RSA keys are not supported, use ed25519 or ECDSA P-256")
	}
	return fmt.Errorf("keys of type %T are not supported, use ed25519 or ECDSA P-256", key)
}

func onP256(c elliptic.Curve) error {
	if c != elliptic.P256() {
		return fmt.Errorf("ECDSA keys on %s are not supported, use ed25519 or ECDSA P-256", c.Params().Name)
	}
	return nil
}

// maxKeyFile is the most bytes that a key file may have.
const maxKeyFile = 64 << 10

// What PEM calls a public key, and the empty file that it may bring along.
const (
	publicBlock  = "PUBLIC KEY"
	starterBlock = "TAGWARDEN EMPTY ROLE"
)

// ParsePublicKey reads a public key in PEM: PKIX, as openssl, cosign, docker and PublicKey.PEM write it.
// RSA, P-384 and other kinds are refused by name. Nothing vouches for a file like this one: compare ID with its owner.
func ParsePublicKey(data []byte) (PublicKey, error) {
	if len(data) > maxKeyFile {
		return PublicKey{}, fmt.Errorf("public key: larger than %d bytes", maxKeyFile)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return PublicKey{}, errors.New("public key: not PEM")
	}
	if block.Type != publicBlock {
		return PublicKey{}, fmt.Errorf("public key: the file holds %.60q, not %q", block.Type, publicBlock)
	}
	p, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, errors.New("public key: damaged, or of a kind that is not supported, use ed25519 or ECDSA P-256")
	}
	k, err := publicKey(p, block.Headers["role"])
	if err != nil {
		return PublicKey{}, fmt.Errorf("public key: %w", err)
	}
	if extra, _ := pem.Decode(rest); extra != nil && extra.Type == starterBlock {
		k.starter = extra.Bytes
	}
	return k, nil
}

// PEM returns the key as ParsePublicKey reads it.
func (p PublicKey) PEM() ([]byte, error) {
	if p.key == nil {
		return nil, errors.New("public key: empty")
	}
	public, err := p.key.ToPublicKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	block := &pem.Block{Type: publicBlock, Bytes: der}
	if p.Role != "" {
		block.Headers = map[string]string{"role": p.Role}
	}
	out := pem.EncodeToMemory(block)
	if p.starter != nil {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: starterBlock, Bytes: p.starter})...)
	}
	return out, nil
}

// sign returns the signature of a private key that supported takes, over the message itself.
func sign(k crypto.Signer, message []byte) ([]byte, error) {
	if _, ok := k.(ed25519.PrivateKey); ok {
		return k.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return k.Sign(rand.Reader, sum[:], crypto.SHA256)
}
