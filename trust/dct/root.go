package dct

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// A root is a parsed root file: who signs the four top-level roles.
type root struct {
	*document
	roles map[string]authority
	// gun is the name that the certificates of the root keys must be for.
	gun string
	// from and until are the span in which the root holds, its certificates included. They are set when it is accepted.
	from, until time.Time
}

// parseRoot reads a root file without believing it.
func parseRoot(gun string, raw []byte) (*root, error) {
	d, err := parse("root", "Root", raw)
	if err != nil {
		return nil, err
	}
	r := &root{document: d, roles: make(map[string]authority), gun: gun}
	keys := parseKeys(d.signed.get("keys"))
	roles := d.signed.get("roles")
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		n := roles.get(role)
		a := parseAuthority(n, keys)
		// DCT: W11. A delegation with too few keys is only unusable: "docker trust signer remove" of the last one leaves such.
		if a.threshold > len(a.keys) {
			n.fail("threshold %d of %d keys", a.threshold, len(a.keys))
		}
		r.roles[role] = a
	}
	return r, d.finish()
}

// leafs returns the root keys that may speak for the name: those with a bundle of one leaf certificate, first, made out
// to the name.
//
// DCT: section 3.1 steps 2 and 3. The leaf's expiry is part of the root's, see ends.
func (r *root) leafs() map[string]*key {
	found := make(map[string]*key)
	for id, k := range r.roles["root"].keys {
		if len(k.certs) == 0 || k.certs[0].IsCA {
			continue
		}
		others := slices.IndexFunc(k.certs[1:], func(c *x509.Certificate) bool { return !c.IsCA })
		if others < 0 && certifies(k.certs[0].Subject.CommonName, r.gun) {
			found[id] = k
		}
	}
	return found
}

// certifies tells whether a certificate's common name is for the name, directly or by a trailing star.
//
// DCT: W7, a star holds only at component boundaries; a bare star is refused.
func certifies(cn, gun string) bool {
	prefix, wild := strings.CutSuffix(cn, "*")
	if !wild {
		return cn == gun
	}
	prefix = strings.TrimSuffix(prefix, "/")
	return prefix != "" && (gun == prefix || strings.HasPrefix(gun, prefix+"/"))
}

// vouch checks that the keys, and as many of them as the root's own threshold says, signed the root.
func (r *root) vouch(keys map[string]*key) error {
	return authority{keys, r.roles["root"].threshold}.verify(r.document)
}

// selfSigned checks the root by the keys that it names itself. That alone makes nobody trust it.
func (r *root) selfSigned() error {
	leafs := r.leafs()
	if len(leafs) == 0 {
		return &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("root v%d has no key with a certificate for %s", r.version, r.gun)}
	}
	return r.vouch(leafs)
}

// follows checks that r, which is of the version after prev's, is signed by prev's keys and by its own.
//
// DCT: section 3.1 steps 4 and 6, W5: both thresholds.
func (r *root) follows(prev *root) error {
	old := authority{prev.leafs(), prev.roles["root"].threshold}
	if err := old.verify(r.document); err != nil {
		return &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("root v%d is not signed by the keys of the trusted root v%d", r.version, prev.version), Err: err}
	}
	return r.selfSigned()
}

// span returns from when to when the root holds: to its own expiry, or less, since as many of the certificates that signed
// it must be valid as its threshold says.
//
// DCT: section 3.1 step 3, W14: with the root's certificates ends the trust in it; a day of a clock behind is forgiven.
func (r *root) span() (from, until time.Time) {
	var begins, ends []time.Time
	for _, k := range r.leafs() {
		if slices.Contains(r.signers, k.canonical) {
			begins, ends = append(begins, k.certs[0].NotBefore), append(ends, k.certs[0].NotAfter)
		}
	}
	threshold := r.roles["root"].threshold
	if len(begins) < threshold {
		return r.expires, time.Unix(0, 0) // nobody has accepted such a root
	}
	slices.SortFunc(begins, time.Time.Compare)
	slices.SortFunc(ends, time.Time.Compare)
	from, until = begins[threshold-1].Add(-24*time.Hour), ends[len(ends)-threshold].UTC()
	if r.expires.Before(until) {
		until = r.expires
	}
	return from, until
}

// A Pin says which root may speak for a name. Exactly one of its fields is set.
type Pin struct {
	// Keys are ids of root keys, either of the certificate as the root file lists it or of the bare public key. A root
	// matches when enough of them, by its own threshold, signed it. Later roots need only follow it.
	Keys []string
	// CA holds the certificates to which the root's certificate must chain. Later roots must chain to them too.
	CA *x509.CertPool
	// TOFU trusts the first root that is seen, for ever.
	TOFU bool
}

// errPin is what a root that does not match its pin lacks.
var errPin = errors.New("none of its keys is pinned")

// matches checks a root against the pin, at the given time for certificates, without regard to any earlier root.
//
// DCT: section 3.1 steps 5 and 6.
func (p Pin) matches(r *root, now time.Time) error {
	leafs := r.leafs()
	for id, k := range leafs {
		if !p.allows(k, now) {
			delete(leafs, id)
		}
	}
	if len(leafs) == 0 {
		return errPin
	}
	return r.vouch(leafs)
}

func (p Pin) allows(k *key, now time.Time) bool {
	switch {
	case p.TOFU:
		return true
	case p.CA != nil:
		return p.chains(k, now)
	}
	return slices.Contains(p.Keys, k.id) || slices.Contains(p.Keys, k.canonical)
}

// chains tells whether the leaf chains to the pinned certificates. One that has ended is judged at its own end: whether
// an ended certificate is enough is for ends to say.
func (p Pin) chains(k *key, now time.Time) bool {
	leaf := k.certs[0]
	at := now
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	if at.Before(leaf.NotBefore) {
		at = leaf.NotBefore
	}
	between := x509.NewCertPool()
	for _, c := range k.certs[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.CA, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil && usage(leaf)
}

// usage tells whether the certificate may sign roots: it says nothing of its use, or names code signing or servers.
//
// DCT: W7, Notary's own certificates are for code signing, which its default check refuses.
func usage(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageAny || u == x509.ExtKeyUsageCodeSigning || u == x509.ExtKeyUsageServerAuth
	})
}

// String names the pin in messages.
func (p Pin) String() string {
	switch {
	case p.TOFU:
		return "trust on first use"
	case p.CA != nil:
		return "the pinned CA"
	}
	short := make([]string, 0, len(p.Keys))
	for _, id := range p.Keys {
		short = append(short, id[:min(12, len(id))])
	}
	return "pinned keys " + strings.Join(short, ", ")
}
