package signing

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// now is when the tests are.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// passphrase is everybody's.
func passphrase(Ask) ([]byte, error) { return []byte("correct horse"), nil }

// plainKeychain keeps keys unencrypted, to be fast.
func plainKeychain(dir string) *Keychain {
	k := OpenKeychain(dir, passphrase)
	plain := func(data, _ []byte) ([]byte, error) { return data, nil }
	k.encrypt, k.decrypt = plain, plain
	k.Now = func() time.Time { return now }
	return k
}

// A site is a repository with its owner's keychain and a clock.
type site struct {
	t    testing.TB
	dir  string
	keys *Keychain
	now  time.Time
}

func newSite(t testing.TB, o InitOptions) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "trust"), now: now}
	s.keys = plainKeychain(filepath.Join(t.TempDir(), "keys"))
	o.Dir, o.Keys, o.Now = s.dir, s.keys, s.clock
	_, err := Init(o)
	must(t, err)
	return s
}

func (s *site) clock() time.Time { return s.now }

// open returns the repository as somebody with the keychain opens it.
func (s *site) open(keys *Keychain) *Repository {
	s.t.Helper()
	r, err := OpenDirectory(s.dir, Options{Keys: keys, Now: s.clock})
	must(s.t, err)
	return r
}

// change makes a change with the owner's keys.
func (s *site) change(change func(*Edit) error) Result {
	s.t.Helper()
	res, err := s.open(s.keys).Change(context.Background(), change)
	must(s.t, err)
	return res
}

// refused makes a change that must fail.
func (s *site) refused(change func(*Edit) error) error {
	s.t.Helper()
	before := s.files()
	_, err := s.open(s.keys).Change(context.Background(), change)
	if err == nil {
		s.t.Fatal("it was done")
	}
	if after := s.files(); fmt.Sprint(after) != fmt.Sprint(before) {
		s.t.Errorf("refused, but published %v after %v", after, before)
	}
	return err
}

func (s *site) files() []string {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, metadataDir))
	must(s.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (s *site) read() *View {
	s.t.Helper()
	v, err := s.open(nil).Read(context.Background())
	must(s.t, err)
	return v
}

// root returns the first root file, which readers pin.
func (s *site) root() []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, metadataDir, "1.root.json"))
	must(s.t, err)
	return data
}

// signer makes a key and adds it as a signer.
func (s *site) signer(name string, repositories ...string) PublicKey {
	s.t.Helper()
	p, err := s.keys.Generate(name, Ed25519)
	must(s.t, err)
	s.change(func(e *Edit) error {
		return e.AddSigner(Signer{Name: name, Keys: []PublicKey{p}, Repositories: repositories})
	})
	return p
}

// entry returns an entry whose content is told by a word.
func entry(repository, tag, content string) Entry {
	return Entry{trust.Name{Repository: repository, Tag: tag}, trust.Target{
		Digest: digest.FromString(content), Size: int64(len(content)), MediaType: "application/vnd.oci.image.index.v1+json",
	}}
}

// signs makes a change that signs entries.
func signs(signer string, entries ...Entry) func(*Edit) error {
	return func(e *Edit) error {
		_, err := e.Sign(entries, signer)
		return err
	}
}

// means fails unless the tag is signed with the content.
func (s *site) means(n Entry, by ...string) {
	s.t.Helper()
	got, ok := s.read().Tag(n.Name)
	if !ok || got.Target != n.Target || fmt.Sprint(got.Signers) != fmt.Sprint(by) {
		s.t.Errorf("%s means %v, signed by %v; want %v by %v", n.Name, got.Target, got.Signers, n.Target, by)
	}
}

// inPKCS8 returns a private key in PEM as openssl writes it.
func inPKCS8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: pkcs8Block, Bytes: der})
}
