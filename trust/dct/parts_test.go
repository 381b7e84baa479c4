package dct

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestFileinfo: every hash that is known must match, and so must the length.
func TestFileinfo(t *testing.T) {
	raw := []byte("content")
	s256, s512 := sha256.Sum256(raw), sha512.Sum512(raw)
	other := sha256.Sum256([]byte("CONTENT"))
	for name, c := range map[string]struct {
		f  fileinfo
		ok bool
	}{
		"both":             {fileinfo{7, map[string][]byte{"sha256": s256[:], "sha512": s512[:]}}, true},
		"sha256":           {fileinfo{7, map[string][]byte{"sha256": s256[:]}}, true},
		"unknown as well":  {fileinfo{7, map[string][]byte{"sha256": s256[:], "md5": {1}}}, true},
		"other sha256":     {fileinfo{7, map[string][]byte{"sha256": other[:], "sha512": s512[:]}}, false},
		"other sha512":     {fileinfo{7, map[string][]byte{"sha256": s256[:], "sha512": make([]byte, 64)}}, false},
		"sha512 alone":     {fileinfo{7, map[string][]byte{"sha512": s512[:]}}, false},
		"none":             {fileinfo{7, nil}, false},
		"too long by one":  {fileinfo{6, map[string][]byte{"sha256": s256[:]}}, false},
		"too short by one": {fileinfo{8, map[string][]byte{"sha256": s256[:]}}, false},
	} {
		if err := c.f.check("role", raw); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// raw returns a signature by the private key over the message, as r and s side by side.
func rawECDSA(t *testing.T, k *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	octets := (k.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, octets)), s.FillBytes(make([]byte, octets))...)
}

// TestCurves: which elliptic curves verify, with signatures of exactly their length.
func TestCurves(t *testing.T) {
	message := []byte("message")
	for _, c := range []struct {
		curve elliptic.Curve
		ok    bool
	}{{elliptic.P224(), false}, {elliptic.P256(), true}, {elliptic.P384(), true}, {elliptic.P521(), true}} {
		private, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public := trusttest.NewBareKey("ecdsa", private, "ecdsa").Public
		k := &key{}
		if err := k.parse("ecdsa", public); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.curve.Params().Name, err)
		}
		if !c.ok {
			continue
		}
		sig := rawECDSA(t, private, message)
		for name, got := range map[string]bool{
			"right": !k.verifies("ecdsa", message, sig), "another message": k.verifies("ecdsa", []byte("massage"), sig),
			"another method": k.verifies("rsapss", message, sig), "no method": k.verifies("", message, sig),
			"short": k.verifies("ecdsa", message, sig[1:]), "long": k.verifies("ecdsa", message, append(sig, 0)), "nothing": k.verifies("ecdsa", message, nil),
		} {
			if got {
				t.Errorf("%s: %s", c.curve.Params().Name, name)
			}
		}
	}
}

func TestEd25519(t *testing.T) {
	n := trusttest.NewNotary(gun, fixtureTime)
	n.Timestamp.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
	n.Publish()
	d, err := parse("timestamp", "Timestamp", n.Files()["timestamp.json"])
	if err != nil {
		t.Fatal(err)
	}
	k := &key{}
	if err := k.parse("ed25519", n.Timestamp.Keys[0].Public); err != nil {
		t.Fatal(err)
	}
	sig := d.signatures[0].sig
	spoilt := append([]byte{sig[0] ^ 1}, sig[1:]...)
	if !k.verifies("eddsa", d.message, sig) || k.verifies("ecdsa", d.message, sig) || k.verifies("eddsa", d.message, spoilt) || k.verifies("eddsa", append(d.message, ' '), sig) {
		t.Error("ed25519 signatures are not told apart")
	}
	if err := (&key{}).parse("ed25519", base64.StdEncoding.EncodeToString(make([]byte, 31))); err == nil {
		t.Error("an ed25519 key of 31 bytes")
	}
}

// TestWeakKeys: keys that verify nothing.
func TestWeakKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec := trusttest.NewKey(trusttest.ECDSA)
	for name, c := range map[string]struct{ typ, public string }{
		"RSA of 1024 bits":          {"rsa", trusttest.NewBareKey("rsa", weak, "rsapss").Public},
		"EC key said to be RSA":     {"rsa", ec.Public},
		"RSA key said to be EC":     {"ecdsa", trusttest.NewKey(trusttest.RSA).Public},
		"certificate of a weak key": {"rsa-x509", trusttest.NewBareKey("rsa", weak, "rsapss").Certify(trusttest.Template("a", fixtureTime), nil, nil).Public},
		"bare key with certificate": {"ecdsa-x509", ec.Public},
		"certificate as bare key":   {"ecdsa", ec.Certify(trusttest.Template("a", fixtureTime), nil, nil).Public},
		"nothing":                   {"ecdsa", ""},
		"nothing certified":         {"ecdsa-x509", ""},
		"not base64":                {"ecdsa", "!"},
		"too large":                 {"ecdsa", strings.Repeat("A", maxKey+4)},
		"pycrypto":                  {"pycrypto", ec.Public},
	} {
		if err := (&key{}).parse(c.typ, c.public); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestCertifies: DCT W7.
func TestCertifies(t *testing.T) {
	for _, c := range []struct {
		cn, gun string
		ok      bool
	}{
		{"r.io/ns/app", "r.io/ns/app", true}, {"r.io/ns/app", "r.io/ns/apple", false}, {"r.io/ns/app", "r.io/ns", false}, {"", "r.io/a", false},
		{"r.io/ns/*", "r.io/ns/app", true}, {"r.io/ns/*", "r.io/ns/a/b", true}, {"r.io/ns/*", "r.io/nsx/app", false}, {"r.io/ns/*", "r.io/ns", true},
		{"r.io/ns/app*", "r.io/ns/app", true}, {"r.io/ns/app*", "r.io/ns/app/x", true}, {"r.io/ns/app*", "r.io/ns/apple", false},
		{"r.io*", "r.io.evil/app", false}, {"r.io*", "r.io/app", true}, {"*", "r.io/app", false}, {"/*", "r.io/app", false}, {"**", "r.io/app", false},
	} {
		if got := certifies(c.cn, c.gun); got != c.ok {
			t.Errorf("certificate for %q, name %q: %v", c.cn, c.gun, got)
		}
	}
}

// TestDelegationNames: they go into URLs.
func TestDelegationNames(t *testing.T) {
	for s, want := range map[string]bool{
		"targets/bob": true, "targets/a/b/c": true, "targets/a-b_c9": true, "targets/" + strings.Repeat("a", 247): true,
		"targets": false, "targets/": false, "targets//a": false, "targets/a/": false, "targets/../a": false, "targets/a.b": false, "targets/A": false,
		"targets/a b": false, "targets/a%2fb": false, "root": false, "xtargets/a": false, "targets/a\n": false, "targets/" + strings.Repeat("a", 248): false,
	} {
		if got := delegation(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// TestPrivateKeyInPublicFile: nobody publishes one; a file that does is broken.
func TestPrivateKeyInPublicFile(t *testing.T) {
	n := newRepo()
	n.Root.Edit = func(m map[string]any) {
		for _, k := range m["keys"].(map[string]any) {
			k.(map[string]any)["keyval"].(map[string]any)["private"] = "secret"
			return
		}
	}
	n.Publish()
	if _, err := parseRoot(gun, n.Files()["root.json"]); err == nil {
		t.Error("a root with a private key was read")
	}
}
