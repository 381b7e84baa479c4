package signing

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"os"
	"strings"
	"testing"
)

// TestKeysThatDoNotSign: a key that is no signing key is refused by what it is.
func TestKeysThatDoNotSign(t *testing.T) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(t, err)
	public, err := x509.MarshalPKIXPublicKey(private.PublicKey())
	must(t, err)
	_, err = plainKeychain(t.TempDir()).Load(inPKCS8(t, private), "alice")
	if err == nil || !strings.Contains(err.Error(), "keys of type *ecdh.PrivateKey are not supported") {
		t.Error(err)
	}
	_, err = ParsePublicKey(block(publicBlock, public))
	if err == nil || !strings.Contains(err.Error(), "keys of type *ecdh.PublicKey are not supported") {
		t.Error(err)
	}
}

// TestSignWithDamagedKey: a key file that cannot be opened is an error that names it, and nothing is published.
func TestSignWithDamagedKey(t *testing.T) {
	s := newSite(t, InitOptions{})
	alice := s.signer("alice", "ghcr.io/team/*")
	must(t, os.WriteFile(s.keys.File(alice.ID), []byte("x"), 0o600))
	s.keys = plainKeychain(s.keys.Dir())
	err := s.refused(signs("alice", entry("ghcr.io/team/app", "v1", "one")))
	if !strings.Contains(err.Error(), s.keys.File(alice.ID)+" is damaged") {
		t.Error(err)
	}
}
