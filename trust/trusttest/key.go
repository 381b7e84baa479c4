package trusttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// KeyType is a kind of key.
type KeyType string

// The kinds of keys.
const (
	ECDSA   KeyType = "ecdsa"
	Ed25519 KeyType = "ed25519"
	RSA     KeyType = "rsa"
)

// A Key signs.
type Key struct {
	Type    string // as the key object has it
	Public  string // in base64
	Private crypto.Signer
	// Method is what signatures say; the genuine one unless a test changes it.
	Method string
}

// NewKey returns a fresh bare key.
func NewKey(t KeyType) *Key {
	switch t {
	case Ed25519:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		return &Key{Type: "ed25519", Public: base64.StdEncoding.EncodeToString(public), Private: private, Method: "eddsa"}
	case RSA:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		return NewBareKey("rsa", private, "rsapss")
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return NewBareKey("ecdsa", private, "ecdsa")
}

// NewBareKey returns a key object of the given private key.
func NewBareKey(typ string, private crypto.Signer, method string) *Key {
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	must(err)
	return &Key{Type: typ, Public: base64.StdEncoding.EncodeToString(der), Private: private, Method: method}
}

// NewCertKey returns a fresh key with a certificate of ten years that it signs itself.
func NewCertKey(t KeyType, cn string, now time.Time) *Key {
	k := NewKey(t)
	return k.Certify(Template(cn, now), nil, nil)
}

// Template is a leaf certificate as Notary makes it.
func Template(cn string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
}

// Certify returns the key with a certificate, signed by the CA's key or, without a CA, by itself.
func (k *Key) Certify(template, ca *x509.Certificate, by crypto.Signer) *Key {
	if ca == nil {
		ca, by = template, k.Private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, k.Private.Public(), by)
	must(err)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	typ := "ecdsa-x509"
	if _, ok := k.Private.(*rsa.PrivateKey); ok {
		typ = "rsa-x509"
	}
	return &Key{Type: typ, Public: base64.StdEncoding.EncodeToString(block), Private: k.Private, Method: k.Method}
}

// ID returns the id under which a file lists the key.
func (k *Key) ID() string {
	raw, err := cjson.EncodeCanonical(k.object())
	must(err)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Canonical returns the id of the bare public key.
func (k *Key) Canonical() string {
	if _, ok := k.Private.(ed25519.PrivateKey); ok {
		return k.ID()
	}
	typ := "ecdsa"
	if _, ok := k.Private.(*rsa.PrivateKey); ok {
		typ = "rsa"
	}
	return NewBareKey(typ, k.Private, "").ID()
}

func (k *Key) object() map[string]any {
	return map[string]any{"keytype": k.Type, "keyval": map[string]any{"private": nil, "public": k.Public}}
}

// signature returns the signature object for a message.
func (k *Key) signature(message []byte) string {
	var sig []byte
	sum := sha256.Sum256(message)
	switch private := k.Private.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(private, message)
	case *rsa.PrivateKey:
		var err error
		if k.Method == "rsapss" {
			sig, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
		}
		must(err)
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		must(err)
		octets := (private.Params().BitSize + 7) / 8
		sig = append(r.FillBytes(make([]byte, octets)), s.FillBytes(make([]byte, octets))...)
	}
	var out bytes.Buffer
	must(json.NewEncoder(&out).Encode(map[string]any{"keyid": k.ID(), "method": k.Method, "sig": sig}))
	return string(bytes.TrimSpace(out.Bytes()))
}

// TUFID returns the id under which a file of a TUF repository lists the key.
func (k *Key) TUFID() string {
	raw, err := cjson.EncodeCanonical(k.tufObject())
	must(err)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (k *Key) tufObject() map[string]any {
	public, scheme := "", "ecdsa-sha2-nistp256"
	if private, ok := k.Private.(ed25519.PrivateKey); ok {
		public, scheme = hex.EncodeToString(private.Public().(ed25519.PublicKey)), "ed25519"
	} else {
		der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
		must(err)
		public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	if _, ok := k.Private.(*rsa.PrivateKey); ok {
		scheme = "rsassa-pss-sha256"
	}
	return map[string]any{"keytype": k.Type, "scheme": scheme, "keyval": map[string]any{"public": public}}
}

// tufSignature returns the signature object for a message. One key always signs one message the same, but for RSA.
func (k *Key) tufSignature(message []byte) string {
	var sig []byte
	var err error
	sum := sha256.Sum256(message)
	switch private := k.Private.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(private, message)
	case *rsa.PrivateKey:
		sig, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: sha256.Size})
	default:
		sig, err = private.Sign(nil, sum[:], crypto.SHA256)
	}
	must(err)
	return fmt.Sprintf(`{"keyid":%q,"sig":%q}`, k.TUFID(), hex.EncodeToString(sig))
}

// must ends the test run: nothing here fails but for want of randomness.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
