package dct

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/tagwarden/tagwarden/trust/strict"
)

// Limits on keys: bytes of one in base64, certificates of one, bits of one of RSA.
const (
	maxKey   = 32 << 10
	maxCerts = 8
	maxRSA   = 8192
)

// A key is one public key of a keys object. One that cannot verify anything, because its type is unknown or its
// algorithm is weak, has a nil public key: it is kept, counts for nothing, and does not spoil the document.
type key struct {
	id string
	// canonical is the id of the bare public key: two certificates of one key share it.
	canonical string
	public    crypto.PublicKey
	// certs is the bundle of an x509 key, leaf first.
	certs []*x509.Certificate
}

// keyID returns the id of a key: the hash of its canonical JSON, with a literal null for the private half.
func keyID(keytype, public string) string {
	sum := sha256.Sum256(canonical(nil, strict.Object{
		{Name: "keytype", Value: keytype},
		{Name: "keyval", Value: strict.Object{{Name: "private"}, {Name: "public", Value: public}}},
	}))
	return hex.EncodeToString(sum[:])
}

// parseKeys reads a keys object.
func parseKeys(n node) map[string]*key {
	keys := make(map[string]*key)
	for name, m := range n.members(maxKeys) {
		keytype, keyval := m.get("keytype").str(), m.get("keyval")
		public := keyval.get("public").str()
		if keyval.get("private").v != nil {
			keyval.fail("holds a private key")
		}
		// DCT: section 2.4, a key under another key's id is an attack or a broken document.
		if id := keyID(keytype, public); id != name {
			m.fail("key has id %s", id)
		}
		k := &key{id: name, canonical: name}
		if err := k.parse(keytype, public); err != nil {
			k.public, k.certs = nil, nil
		}
		keys[name] = k
	}
	return keys
}

// parse sets the public key.
//
// DCT: W8, the algorithm follows from the key's type; weak keys verify nothing.
func (k *key) parse(keytype, public string) error {
	if len(public) > maxKey {
		return errors.New("key is too large")
	}
	data, err := base64.StdEncoding.DecodeString(public)
	if err != nil {
		return err
	}
	base, certified := strings.CutSuffix(keytype, "-x509")
	switch {
	case certified && (base == "ecdsa" || base == "rsa"):
		if k.certs, err = parseBundle(data); err != nil {
			return err
		}
		spki := k.certs[0].RawSubjectPublicKeyInfo
		k.public, k.canonical = k.certs[0].PublicKey, keyID(base, base64.StdEncoding.EncodeToString(spki))
	case keytype == "ed25519":
		if len(data) != ed25519.PublicKeySize {
			return errors.New("ed25519 key of wrong length")
		}
		k.public = ed25519.PublicKey(data)
		return nil
	case keytype == "ecdsa" || keytype == "rsa":
		if k.public, err = x509.ParsePKIXPublicKey(data); err != nil {
			return err
		}
	default:
		return fmt.Errorf("key type %.40q", keytype)
	}
	return strong(base, k.public)
}

// strong checks that the public key is of the type it is said to be, and not a weak one.
func strong(base string, public crypto.PublicKey) error {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if base == "ecdsa" && (p.Curve == elliptic.P256() || p.Curve == elliptic.P384() || p.Curve == elliptic.P521()) {
			return nil
		}
	case *rsa.PublicKey:
		if base == "rsa" && p.N.BitLen() >= 2048 && p.N.BitLen() <= maxRSA {
			return nil
		}
	}
	return errors.New("weak key, or not of its type")
}

// parseBundle reads a leaf certificate and intermediates. Signatures made with SHA-1 are refused, and so are keys so large
// that a check of one signature would take long.
func parseBundle(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for data = bytes.TrimSpace(data); len(data) > 0; data = bytes.TrimSpace(data) {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil || block.Type != "CERTIFICATE" || len(certs) == maxCerts {
			return nil, fmt.Errorf("not a PEM certificate, or more than %d", maxCerts)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		switch c.SignatureAlgorithm {
		case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
			return nil, fmt.Errorf("certificate signed with %s", c.SignatureAlgorithm)
		}
		if p, ok := c.PublicKey.(*rsa.PublicKey); ok && p.N.BitLen() > maxRSA {
			return nil, errors.New("certificate with an RSA key that is too large")
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate")
	}
	return certs, nil
}

// verifies tells whether sig is this key's signature of message by a method that fits the key.
//
// DCT: section 2.3 and W8, the method is only accepted, never followed.
func (k *key) verifies(method string, message, sig []byte) bool {
	sum := sha256.Sum256(message)
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		return method == "eddsa" && ed25519.Verify(p, message, sig)
	case *ecdsa.PublicKey:
		octets := (p.Params().BitSize + 7) / 8
		if method != "ecdsa" || len(sig) != 2*octets {
			return false
		}
		r, s := new(big.Int).SetBytes(sig[:octets]), new(big.Int).SetBytes(sig[octets:])
		return ecdsa.Verify(p, sum[:], r, s)
	case *rsa.PublicKey:
		switch method {
		case "rsapss":
			return rsa.VerifyPSS(p, crypto.SHA256, sum[:], sig, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}) == nil
		case "rsapkcs1v15":
			return rsa.VerifyPKCS1v15(p, crypto.SHA256, sum[:], sig) == nil
		}
	}
	return false
}
