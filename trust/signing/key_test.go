package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dockerKey is what "docker trust key generate alice" writes, its passphrase is "passphrase1"; dockerPublic is its other half.
const (
	dockerKey = `-----BEGIN ENCRYPTED PRIVATE KEY-----
role: alice

MIHuMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAhXOaefkb/xDAICCAAw
HQYJYIZIAWUDBAEqBBAwTS534kTaWtJMOO0PPfHxBIGgUacYWwIRu/FT1IJilKst
YQOQ8qlp8jQzPgS1rS2Mk0M+d8oaIh09Cqa+PhC8o+lFKe7dSrBIq7l8JBRf4GlJ
79FQGTEK8OJrvoKBuMBW43v480J4TwGe3l+DMbZ3bKrH5qiSkdA5sE39Z1hcsnvk
hH75P+u8a2MQVdUTNNHnVJd7sG2pIqrG8AXpe+uQIdQvI6pe/48UCwFPUCPMoZrC
4A==
-----END ENCRYPTED PRIVATE KEY-----
`
	dockerPublic = `-----BEGIN PUBLIC KEY-----
role: alice

MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE14Ubh9nfK0eVotpHI14daRjIVDHl
rU3js//ER5M+5I2/wkdBRvo/FdSWH/lAz3ZeBMeEchsCrbNjyTJP79ENzw==
-----END PUBLIC KEY-----
`
)

// TestKeychain: the one test that pays for scrypt. A key that docker wrote is kept, found again, and opened by its
// passphrase only.
func TestKeychain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tagwarden", "keys")
	k := OpenKeychain(dir, func(a Ask) ([]byte, error) {
		if a.New {
			return []byte("fresh"), nil
		}
		return []byte("passphrase1"), nil
	})
	p, err := k.Load([]byte(dockerKey), "alice")
	must(t, err)
	public, err := ParsePublicKey([]byte(dockerPublic))
	must(t, err)
	if p.ID != public.ID || public.Role != "alice" || !k.Has(p.ID) || k.Has("") || k.Has("../"+filepath.Base(dir)+"/"+p.ID[1:]) {
		t.Errorf("loaded %s, which is %s", p.ID, public.ID)
	}
	for path, want := range map[string]os.FileMode{k.File(p.ID): 0o600, dir: 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	for pass, want := range map[string]error{"fresh": nil, "wrong": ErrPassphrase} {
		again := OpenKeychain(dir, func(a Ask) ([]byte, error) {
			if a.KeyID != p.ID || a.Role != "alice" || a.New {
				t.Errorf("asked for %+v", a)
			}
			return []byte(pass), nil
		})
		if _, err := again.signer(p.ID, "alice"); !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), k.File(p.ID)+" of alice: wrong passphrase") {
			t.Errorf("%s: %v", pass, err)
		}
	}
}

// TestDamagedKey: a key file that is not what was written is told from a wrong passphrase, and says what to do.
func TestDamagedKey(t *testing.T) {
	k := plainKeychain(t.TempDir())
	p, err := k.Generate("alice", Ed25519)
	must(t, err)
	other, err := k.Generate("bob", Ed25519)
	must(t, err)
	good, err := os.ReadFile(k.File(p.ID))
	must(t, err)
	foreign, err := os.ReadFile(k.File(other.ID))
	must(t, err)
	flipped := bytes.Replace(good, []byte("MC4C"), []byte("MC4D"), 1)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"as written":   {good, ""},
		"flipped":      {flipped, "is damaged: restore it"},
		"truncated":    {good[:len(good)/2], "is damaged: restore it"},
		"empty":        {nil, "is damaged: restore it"},
		"another key":  {foreign, "holds another key than its name says"},
		"another kind": {inPKCS8(t, ed25519.NewKeyFromSeed(make([]byte, 32))), "is damaged"},
		"too large":    {bytes.Repeat([]byte("x"), maxKeyFile+1), "is larger than"},
	} {
		must(t, os.WriteFile(k.File(p.ID), c.data, 0o600))
		_, err := plainKeychain(k.dir).signer(p.ID, "alice")
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), k.File(p.ID))) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if errors.Is(err, ErrPassphrase) {
			t.Errorf("%s counts as a wrong passphrase", name)
		}
	}
	must(t, os.Remove(k.File(p.ID)))
	if _, err := plainKeychain(k.dir).signer(p.ID, "alice"); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	if _, err := OpenKeychain(k.dir, nil).signer(other.ID, "bob"); err == nil || !strings.Contains(err.Error(), "there is no passphrase") {
		t.Error(err)
	}
	if _, err := OpenKeychain(k.dir, func(Ask) ([]byte, error) { return nil, nil }).Generate("x", Ed25519); err == nil || !strings.Contains(err.Error(), "passphrase is empty") {
		t.Error(err)
	}
	if _, err := k.Generate("Not a role", Ed25519); err == nil {
		t.Error("took a name that no role has")
	}
	if _, err := k.Generate("alice", 7); err == nil {
		t.Error("took an algorithm that does not exist")
	}
}

// block returns one block of PEM.
func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestLoad(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	sec1, err := x509.MarshalECPrivateKey(p256)
	must(t, err)
	old, _ := pem.Decode(block(sec1Block, sec1))
	old.Headers = map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}
	public, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	must(t, err)
	k := plainKeychain(t.TempDir())
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"ed25519":         {inPKCS8(t, ed), ""},
		"P-256":           {inPKCS8(t, p256), ""},
		"SEC 1":           {block(sec1Block, sec1), ""},
		"with parameters": {append(block("EC PARAMETERS", []byte{6, 8}), block(sec1Block, sec1)...), ""},
		"P-384":           {inPKCS8(t, p384), "ECDSA keys on P-384 are not supported"},
		"RSA":             {inPKCS8(t, big), "RSA keys are not supported"},
		"old RSA":         {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(big)), "RSA keys are not supported"},
		"old encryption":  {pem.EncodeToMemory(old), "openssl pkcs8 -topk8"},
		"openssh":         {block("OPENSSH PRIVATE KEY", []byte("x")), "bring it into PKCS#8"},
		"public":          {block(publicBlock, public), `"PUBLIC KEY" cannot be loaded`},
		"wrong pass":      {[]byte(dockerKey), "wrong passphrase, or a damaged file"},
		"nonsense":        {block(pkcs8Block, []byte("nonsense")), "damaged"},
		"no PEM":          {[]byte("hello"), "damaged, or not PEM"},
		"too large":       {bytes.Repeat([]byte("x"), maxKeyFile+1), "larger than"},
	} {
		p, err := k.Load(c.data, "alice")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err == nil && !k.Has(p.ID) {
			t.Errorf("%s is not kept", name)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"docker's": {[]byte(dockerPublic), ""},
		"P-384":    {block(publicBlock, public), "ECDSA keys on P-384 are not supported"},
		"private":  {[]byte(dockerKey), `not "PUBLIC KEY"`},
		"nonsense": {block(publicBlock, []byte("nonsense")), "damaged"},
		"no PEM":   {[]byte("hello"), "not PEM"},
	} {
		p, err := ParsePublicKey(c.data)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err == nil {
			text, err := p.PEM()
			must(t, err)
			if again, err := ParsePublicKey(text); err != nil || again.ID != p.ID || again.Role != p.Role {
				t.Errorf("%s prints as %s: %v", name, text, err)
			}
		}
	}
}
