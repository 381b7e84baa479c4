package tuf

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Bounds on RSA keys, in bits: weaker ones verify nothing, larger ones take long to.
const (
	minRSA = 2048
	maxRSA = 8192
)

// An authority is who may sign a role: some keys, and how many of them must.
type authority struct {
	keys      map[string]*metadata.Key
	ids       []string
	threshold int
}

// rootAuthority returns who may sign a top-level role.
func rootAuthority(root *metadata.Metadata[metadata.RootType], role string) authority {
	r := root.Signed.Roles[role]
	return authority{root.Signed.Keys, r.KeyIDs, r.Threshold}
}

// verify checks that enough of the authority's keys signed the file, and returns the ids of those that did. Role and
// version are for messages; signatures are those of md.
//
// TUF: section 4.2.1 and 5.4.2: distinct keys are counted, which the library does by what the keys are.
func (a authority) verify(role string, version int64, md any, signatures []metadata.Signature) ([]string, error) {
	if a.threshold < 1 {
		return nil, invalid(role, fmt.Errorf("threshold %d is less than 1", a.threshold))
	}
	var signed []string
	for _, s := range signatures {
		// A key that cannot verify anything, or did not sign, need not spoil what others signed.
		if slices.Contains(a.ids, s.KeyID) && usable(a.keys[s.KeyID]) {
			signed = append(signed, s.KeyID)
		}
	}
	short := &trust.Refusal{Reason: trust.ThresholdNotMet, Text: fmt.Sprintf("%s v%d: fewer than the %d required signatures of its keys", label(role), version, a.threshold)}
	if len(signed) < a.threshold {
		return nil, short
	}
	err := a.delegate(role, md, signed, a.threshold)
	switch {
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return nil, short
	case err != nil:
		return nil, refusal(role, err)
	}
	if len(signed) > a.threshold {
		signed = slices.DeleteFunc(signed, func(id string) bool { return a.delegate(role, md, []string{id}, 1) != nil })
	}
	slices.Sort(signed)
	return signed, nil
}

// delegate has the library verify the file by some of the authority's keys.
func (a authority) delegate(role string, md any, ids []string, threshold int) error {
	by := &metadata.Metadata[metadata.TargetsType]{Signed: metadata.TargetsType{Delegations: &metadata.Delegations{
		Keys: a.keys, Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: ids, Threshold: threshold}},
	}}}
	return guard(role, func() error { return by.VerifyDelegate(role, md) })
}

// sum tells authorities apart: by their keys, not by the ids alone, which a file may give as it likes.
func (a authority) sum() [sha256.Size]byte {
	h := sha256.New()
	ids := slices.Sorted(slices.Values(a.ids))
	for _, id := range ids {
		if k := a.keys[id]; k != nil {
			fmt.Fprintf(h, "%q %q %q %q\n", id, k.Type, k.Scheme, k.Value.PublicKey)
		}
	}
	fmt.Fprintf(h, "%d", a.threshold)
	return [sha256.Size]byte(h.Sum(nil))
}

// usable tells whether the key can verify a signature: it is of a type that the library knows, and not a weak one.
func usable(k *metadata.Key) bool {
	if k == nil {
		return false
	}
	public, err := k.ToPublicKey()
	if err != nil {
		return false
	}
	switch p := public.(type) {
	case ed25519.PublicKey:
		return len(p) == ed25519.PublicKeySize
	case *rsa.PublicKey:
		return p.N.BitLen() >= minRSA && p.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return p.Params().BitSize >= 256
	}
	return false
}

// refusal returns the reason that an error of the library stands for. Its text is not for print, as it may hold bytes of
// the file.
func refusal(role string, err error) *trust.Refusal {
	var r *trust.Refusal
	if errors.As(err, &r) {
		return r
	}
	reason := trust.MetadataInvalid
	switch {
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		reason = trust.ThresholdNotMet
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		reason = trust.MetadataExpired
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		reason = trust.MetadataRollback
	}
	return &trust.Refusal{Reason: reason, Text: label(role), Err: quoted(err)}
}
