package signing

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/youmark/pkcs8"
)

// The blocks that a private key may come in. sigstoreBlock is what a keychain writes: PKCS#8 inside scrypt and secretbox,
// which cosign reads too.
const (
	sigstoreBlock  = "ENCRYPTED SIGSTORE PRIVATE KEY"
	cosignBlock    = "ENCRYPTED COSIGN PRIVATE KEY"
	encryptedBlock = "ENCRYPTED PRIVATE KEY"
	pkcs8Block     = "PRIVATE KEY"
	sec1Block      = "EC PRIVATE KEY"
)

// parsePrivateKey reads a private key in PEM. pass is called for an encrypted one, once.
func parsePrivateKey(data []byte, pass func() ([]byte, error)) (crypto.Signer, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("larger than %d bytes", maxKeyFile)
	}
	block, rest := pem.Decode(data)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes it first
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("damaged, or not PEM")
	}
	return signerOf(decodePrivateKey(block, pass))
}

// signerOf returns the key if it is of a kind that signs the same everywhere.
func signerOf(key any, err error) (crypto.Signer, error) {
	if err != nil {
		return nil, err
	}
	if err := supported(key); err != nil {
		return nil, err
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign", key)
	}
	return s, nil
}

func decodePrivateKey(block *pem.Block, pass func() ([]byte, error)) (any, error) {
	switch block.Type {
	case pkcs8Block:
		return damaged(x509.ParsePKCS8PrivateKey(block.Bytes))
	case sec1Block:
		if block.Headers["DEK-Info"] != "" {
			return nil, errors.New(`encrypted in a way that openssl has given up: convert it with "openssl pkcs8 -topk8 -in FILE -out NEW"`)
		}
		return damaged(x509.ParseECPrivateKey(block.Bytes))
	case encryptedBlock:
		p, err := pass()
		if err != nil {
			return nil, err
		}
		key, _, err := pkcs8.ParsePrivateKey(block.Bytes, p)
		if err != nil {
			return nil, fmt.Errorf("%w, or a damaged file", ErrPassphrase)
		}
		return key, nil
	case sigstoreBlock, cosignBlock:
		p, err := pass()
		if err != nil {
			return nil, err
		}
		der, err := encrypted.Decrypt(block.Bytes, p)
		if err != nil {
			return nil, fmt.Errorf("%w, or a damaged file", ErrPassphrase)
		}
		return damaged(x509.ParsePKCS8PrivateKey(der))
	case "RSA PRIVATE KEY":
		return nil, errors.New("RSA keys are not supported, use ed25519 or ECDSA P-256")
	}
	return nil, fmt.Errorf("a file with %.60q cannot be loaded, bring it into PKCS#8", block.Type)
}

// damaged hides what the parser says about bytes that are secret.
func damaged[K any](key K, err error) (any, error) {
	if err != nil {
		return nil, errors.New("damaged, or of a kind that is not supported, use ed25519 or ECDSA P-256")
	}
	return key, nil
}
