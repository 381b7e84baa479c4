package signing

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrPassphrase is returned for a key file that the passphrase does not open.
var ErrPassphrase = errors.New("wrong passphrase")

// ErrNoKey is returned when too few private keys are at hand for a role that must be signed.
var ErrNoKey = errors.New("private key is not in the keychain")

// An Ask says what a passphrase is needed for.
type Ask struct {
	// Role is whose key it is: "root", "targets", "snapshot", "timestamp", or a signer's name.
	Role string
	// KeyID is the key's id; empty for a file that was not loaded before.
	KeyID string
	// New tells that a passphrase is chosen, not checked.
	New bool
}

// A Passphrase returns the passphrase for a key. It may ask a person. An empty passphrase is an error.
type Passphrase func(Ask) ([]byte, error)

// A Keychain is a folder of encrypted private keys. A key that was opened once stays open in memory. It is safe for
// concurrent use.
type Keychain struct {
	// Now is the clock; nil: time.Now. It may be set before the first use.
	Now func() time.Time

	dir string
	ask Passphrase
	// encrypt and decrypt are scrypt and secretbox, but for tests, to which a second per key is long.
	encrypt, decrypt func(data, passphrase []byte) ([]byte, error)

	mu   sync.Mutex
	open map[string]crypto.Signer // by id
}

// OpenKeychain returns the keychain in dir, which is created, with mode 0700, when the first key is written. ask may be
// nil where no key will be opened or written.
func OpenKeychain(dir string, ask Passphrase) *Keychain {
	return &Keychain{dir: dir, ask: ask, encrypt: encrypted.Encrypt, decrypt: encrypted.Decrypt, open: make(map[string]crypto.Signer)}
}

// at returns a keychain in another folder.
func (k *Keychain) at(dir string, ask Passphrase) *Keychain {
	o := OpenKeychain(dir, ask)
	o.Now, o.encrypt, o.decrypt = k.Now, k.encrypt, k.decrypt
	return o
}

// Dir returns the folder.
func (k *Keychain) Dir() string { return k.dir }

// File returns the path of the file in which the private key with the id is, or would be.
func (k *Keychain) File(id string) string { return filepath.Join(k.dir, id+".key") }

// Has tells whether the private key with the id is there.
func (k *Keychain) Has(id string) bool {
	if k == nil || id == "" {
		return false
	}
	info, err := os.Lstat(k.File(id))
	return err == nil && info.Mode().IsRegular()
}

// Generate writes a fresh private key for a role, encrypted, with mode 0600.
func (k *Keychain) Generate(role string, a Algorithm) (PublicKey, error) {
	private, err := a.generate()
	if err != nil {
		return PublicKey{}, err
	}
	return k.keep(private, role)
}

// Load takes a private key in PEM into the keychain, for a role: PKCS#8, SEC 1, or encrypted as docker, openssl and
// cosign write it, ed25519 or ECDSA P-256. The passphrase of an encrypted one is asked for first, then, New, the one to
// keep it under. RSA, P-384 and other kinds are refused by name.
func (k *Keychain) Load(data []byte, role string) (PublicKey, error) {
	private, err := parsePrivateKey(data, func() ([]byte, error) { return k.passphrase(Ask{Role: role}) })
	if err != nil {
		return PublicKey{}, fmt.Errorf("private key: %w", err)
	}
	return k.keep(private, role)
}

// keep writes the private key.
func (k *Keychain) keep(private crypto.Signer, role string) (PublicKey, error) {
	if err := checkRole(role); err != nil {
		return PublicKey{}, err
	}
	p, err := publicKey(private.Public(), role)
	if err != nil {
		return PublicKey{}, err
	}
	pass, err := k.passphrase(Ask{Role: role, KeyID: p.ID, New: true})
	if err != nil {
		return PublicKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return PublicKey{}, err
	}
	body, err := k.encrypt(der, pass)
	if err != nil {
		return PublicKey{}, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: sigstoreBlock, Bytes: body, Headers: map[string]string{"role": role, "sha256": sum(body)}})
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return PublicKey{}, fmt.Errorf("keychain: %w", err)
	}
	if err := write(k.dir, filepath.Base(k.File(p.ID)), data, 0o600); err != nil {
		return PublicKey{}, fmt.Errorf("keychain: %w", err)
	}
	if p.starter, err = starter(p, private, clock(k.Now)().Add(Expiry{}.of(role))); err != nil {
		return PublicKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open[p.ID] = private
	return p, nil
}

// starter returns an empty targets file, signed by the key.
func starter(p PublicKey, private crypto.Signer, expires time.Time) ([]byte, error) {
	t := metadata.Targets(expires.UTC().Truncate(time.Second))
	message, err := cjson.EncodeCanonical(t.Signed)
	if err != nil {
		return nil, err
	}
	s, err := sign(private, message)
	if err != nil {
		return nil, err
	}
	t.Signatures = []metadata.Signature{{KeyID: p.ID, Signature: s}}
	return t.ToBytes(false)
}

// sum tells a damaged file from a wrong passphrase, which the cipher cannot.
func sum(body []byte) string {
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:])
}

// signer returns the private key with the id, for a role, and opens it if that was not done before. The error matches
// ErrNoKey if it is not there, and ErrPassphrase if it does not open.
func (k *Keychain) signer(id, role string) (crypto.Signer, error) {
	if k == nil {
		return nil, fmt.Errorf("%s key %s: %w", role, id, ErrNoKey)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.open[id]; ok {
		return s, nil
	}
	data, err := read(k.File(id), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s key %s: %w %s", role, id, ErrNoKey, k.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("keychain: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != sigstoreBlock || block.Headers["sha256"] != sum(block.Bytes) {
		return nil, fmt.Errorf("key file %s is damaged: restore it from its back-up", k.File(id))
	}
	s, err := k.unseal(block.Bytes, Ask{Role: role, KeyID: id})
	switch {
	case err != nil:
		return nil, fmt.Errorf("key file %s of %s: %w", k.File(id), role, err)
	case !belongs(s, id):
		return nil, fmt.Errorf("key file %s holds another key than its name says: restore it from its back-up", k.File(id))
	}
	k.open[id] = s
	return s, nil
}

// unseal opens the body of a key file.
func (k *Keychain) unseal(body []byte, a Ask) (crypto.Signer, error) {
	pass, err := k.passphrase(a)
	if err != nil {
		return nil, err
	}
	der, err := k.decrypt(body, pass)
	if err != nil {
		return nil, ErrPassphrase
	}
	return signerOf(x509.ParsePKCS8PrivateKey(der))
}

// belongs tells whether the private key is the one with the id.
func belongs(s crypto.Signer, id string) bool {
	p, err := publicKey(s.Public(), "")
	return err == nil && p.ID == id
}

// passphrase asks, and refuses what would leave a key open to everybody.
func (k *Keychain) passphrase(a Ask) ([]byte, error) {
	if k.ask == nil {
		return nil, fmt.Errorf("%s key: there is no passphrase", a.Role)
	}
	p, err := k.ask(a)
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("%s key: the passphrase is empty", a.Role)
	}
	return p, nil
}
