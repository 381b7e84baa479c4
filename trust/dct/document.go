package dct

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/strict"
)

// Limits on what a source may send. The sizes are in bytes.
const (
	maxRoot       = 512 << 10
	maxTimestamp  = 64 << 10
	maxSnapshot   = 4 << 20
	maxTargets    = 16 << 20
	maxMembers    = 64
	maxSignatures = 64
	maxKeys       = 256
	maxRoles      = 256
	maxNesting    = 8
	maxPaths      = 256
	maxHashes     = 8
	maxEntries    = 200_000
)

// A document is one signed file. Nothing in it is trusted before verify has accepted it.
type document struct {
	role    string
	raw     []byte
	sum     [sha256.Size]byte // of the canonical signed part
	version int64
	expires time.Time

	message    []byte
	signed     node
	signatures []signature
	// signers are the canonical ids of the keys that verify counted.
	signers []string
}

type signature struct {
	keyid, method string
	sig           []byte
}

// invalid makes the refusal of a document that is not what it must be.
func invalid(role string, err error) error {
	return &trust.Refusal{Reason: trust.MetadataInvalid, Text: role, Err: err}
}

// parse reads the envelope and the members that all roles share. wantType is the exact _type.
func parse(role, wantType string, raw []byte) (*document, error) {
	v, err := strict.Decode(raw)
	if err != nil {
		return nil, invalid(role, err)
	}
	var bad error
	top := node{v, nil, role, &bad}
	d := &document{role: role, raw: raw}
	for name, m := range top.members(maxMembers) {
		// DCT: W9, nothing may stand beside what is signed.
		if name != "signed" && name != "signatures" {
			m.fail("unexpected member")
		}
	}
	// The content is read from the very values whose canonical form the signatures cover.
	d.signed = node{top.get("signed").v, nil, role, &bad}
	d.message = canonical(nil, d.signed.v)
	d.sum = sha256.Sum256(d.message)
	for n := range top.get("signatures").list(maxSignatures) {
		s := signature{keyid: n.get("keyid").str(), method: strings.ToLower(n.get("method").str())}
		if s.sig, err = base64.StdEncoding.DecodeString(n.get("sig").str()); err != nil {
			n.fail("signature is not base64")
		}
		d.signatures = append(d.signatures, s)
	}
	if typ := d.signed.get("_type").str(); typ != wantType {
		d.signed.fail("_type is %.40q, not %q", typ, wantType)
	}
	d.version = d.signed.get("version").integer(1)
	d.expires = d.signed.get("expires").time()
	if bad != nil {
		return nil, invalid(role, bad)
	}
	return d, nil
}

// finish ends the reading of the signed part: the values are dropped, the first fault is returned.
func (d *document) finish() error {
	err := *d.signed.bad
	d.signed = node{}
	if err != nil {
		return invalid(d.role, err)
	}
	return nil
}

// An authority is who may sign a role: a set of keys and how many of them must.
type authority struct {
	keys      map[string]*key
	threshold int
}

// parseAuthority reads keyids and threshold of a role.
func parseAuthority(n node, keys map[string]*key) authority {
	a := authority{keys: make(map[string]*key)}
	for id := range n.get("keyids").list(maxKeys) {
		k, ok := keys[id.str()]
		if !ok {
			id.fail("key is not in keys")
			continue
		}
		a.keys[k.id] = k
	}
	a.threshold = int(n.get("threshold").integer(1))
	return a
}

// verify checks that enough of the authority's keys signed the document, and notes which did.
//
// DCT: section 2.4, W8: distinct public keys are counted, not ids.
func (a authority) verify(d *document) error {
	counted := make(map[string]bool)
	d.signers = nil
	broken := 0
	for _, s := range d.signatures {
		k, ok := a.keys[s.keyid]
		if !ok || counted[k.canonical] {
			continue
		}
		if !k.verifies(s.method, d.message, s.sig) {
			broken++
			continue
		}
		counted[k.canonical] = true
		d.signers = append(d.signers, k.canonical)
	}
	if len(counted) >= a.threshold && a.threshold > 0 {
		return nil
	}
	r := &trust.Refusal{Reason: trust.ThresholdNotMet, Text: fmt.Sprintf("%s v%d: %d of %d required signatures", d.role, d.version, len(counted), a.threshold)}
	if broken > 0 {
		r.Reason, r.Text = trust.SignatureInvalid, fmt.Sprintf("%s v%d: signature of an authorised key does not verify", d.role, d.version)
	}
	return r
}

// A fileinfo is what a verified file says about the bytes of another.
type fileinfo struct {
	length int64
	hashes map[string][]byte
}

// parseFileinfo reads length and hashes. Unknown algorithms are kept and ignored; known ones must have their size.
func parseFileinfo(n node) fileinfo {
	f := fileinfo{length: n.get("length").integer(0), hashes: make(map[string][]byte)}
	for name, h := range n.get("hashes").members(maxHashes) {
		sum, err := base64.StdEncoding.DecodeString(h.str())
		if size, known := hashSizes[name]; err != nil || known && len(sum) != size {
			h.fail("not a %.20q hash", name)
		}
		f.hashes[name] = sum
	}
	return f
}

var hashSizes = map[string]int{"sha256": sha256.Size, "sha512": sha512.Size}

// name returns the name under which the file of a role is published by its hash.
func (f fileinfo) name(role string) string {
	return role + "." + hex.EncodeToString(f.hashes["sha256"]) + ".json"
}

// check tells whether raw is the file.
//
// DCT: section 3.4, every known hash must match; W10, so must the length; sha256 is mandatory.
func (f fileinfo) check(role string, raw []byte) error {
	s256, s512 := sha256.Sum256(raw), sha512.Sum512(raw)
	switch {
	case int64(len(raw)) != f.length:
		return invalid(role, fmt.Errorf("%d bytes, not the %d that were signed", len(raw), f.length))
	case string(f.hashes["sha256"]) != string(s256[:]):
		return invalid(role, fmt.Errorf("sha256 is not the one that was signed"))
	case f.hashes["sha512"] != nil && string(f.hashes["sha512"]) != string(s512[:]):
		return invalid(role, fmt.Errorf("sha512 is not the one that was signed"))
	}
	return nil
}

var rolePattern = regexp.MustCompile(`^targets(/[-a-z0-9_]+)+$`)

// delegation tells whether s is a name that a delegated role can have. It is checked before the name goes into a URL.
func delegation(s string) bool {
	return len(s) < 256 && rolePattern.MatchString(s) && path.Clean(s) == s
}
