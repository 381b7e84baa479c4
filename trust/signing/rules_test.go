package signing

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
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

// TestWalk: each role is asked once, in the order of the delegations, and nobody after a terminating one.
//
// TUF: 5.6.7.
func TestWalk(t *testing.T) {
	file := func(roles ...metadata.DelegatedRole) *targetsFile {
		m := metadata.Targets(now)
		m.Signed.Delegations = &metadata.Delegations{Roles: roles}
		return m
	}
	to := func(name string, terminating bool, paths ...string) metadata.DelegatedRole {
		return metadata.DelegatedRole{Name: name, Paths: paths, Terminating: terminating}
	}
	v := &View{targets: map[string]*targetsFile{
		"targets": file(to("a", false, "r/x:*"), to("b", false, "r/*:*"), to("a", false, "r/*:*"), to("c", true, "r/x:*"), to("d", false, "r/*:*")),
		"a":       file(to("targets", false, "r/*:*"), to("b", false, "r/*:*")),
		"b":       file(to("a", false, "r/*:*"), to("e", false, "r/y:*")),
	}}
	for path, want := range map[string]string{
		"r/x:1": "[targets a b c]", "r/y:1": "[targets b a e d]", "s/x:1": "[targets]",
	} {
		if got := fmt.Sprint(v.walk(path)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestVouched: what a file says of itself is looked at before its signatures; and a root has no delegations, whatever
// stands in it.
func TestVouched(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	v := s.read()
	later := s.resign("alice", func(m *metadata.TargetsType) { m.Version = 7 })
	for version, ok := range map[int64]bool{2: false, 7: true} {
		if err := v.vouched("alice", version, later); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "something else") {
			t.Errorf("v%d: %v", version, err)
		}
	}
	root, err := clone(v.root)
	must(t, err)
	root.Signed.UnrecognizedFields = map[string]any{"delegations": map[string]any{}}
	data, err := seal(s.keys, metadata.ROOT, root, v.authorities(metadata.ROOT), nil)
	must(t, err)
	must(t, v.vouched(metadata.ROOT, root.Signed.Version, data))
}
