package signing

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxSignatures is how many signatures a file may carry, as a gateway reads it.
const maxSignatures = 64

// errShape is the error of a file that is not an object of "signed" and a bounded list "signatures".
var errShape = errors.New(`it has to be an object of "signed" and at most 64 "signatures"`)

// An envelope is a file as it stands, before anything in it is believed.
type envelope struct {
	signed     strict.Object
	signatures map[string]string // by the id of the key, in hex
	size       int               // of the file, in bytes
}

// vouched tells whether a file that anybody may have sent is signed, to the letter, as the published delegation to its role
// asks. go-tuf takes some fifty times a file's size in memory, so it is not shown what no key here has signed; its own
// verification, which counts keys and not their ids, follows.
//
// PRODUCT: invariant 9, what a stranger can send is bounded in what it costs.
func (v *View) vouched(role string, version int64, data []byte) error {
	a, ok := v.delegation(role)
	if !ok {
		return refuse(trust.ThresholdNotMet, "%.80q v%d: no role delegates to it", role, version)
	}
	e, err := unfold(data)
	if err != nil {
		return refuse(trust.MetadataInvalid, "%.80q: %s", role, err)
	}
	kind, _ := e.member("_type").(string)
	if n, _ := e.member("version").(int64); n != version || kind != kindOf(role) {
		return refuse(trust.MetadataInvalid, "%.80q v%d says that it is something else", role, version)
	}
	if kind == metadata.TARGETS && role != metadata.TARGETS && e.delegates() {
		return refuse(trust.MetadataInvalid, "%s v%d has delegations: only targets delegates, signers do not", role, version)
	}
	if !e.signedBy(a) {
		return unsignedFile(role, version)
	}
	return nil
}

// kindOf returns the type that files of the role have.
func kindOf(role string) string {
	if role == metadata.ROOT {
		return role
	}
	return metadata.TARGETS
}

// unsignedFile is the refusal of a file that those who may have not signed.
func unsignedFile(role string, version int64) error {
	if role == metadata.ROOT {
		return refuse(trust.RootMismatch, "root v%d is not signed by enough keys of the root before it", version)
	}
	return refuse(trust.ThresholdNotMet, "%.80q v%d is not signed by enough of its keys", role, version)
}

// delegation returns who may sign a role that is published through a gateway: as the root says, or the top-level targets
// role, and nobody else.
func (v *View) delegation(role string) (authority, bool) {
	if slices.Contains(atTop, role) {
		return v.authorities(role)[0], true
	}
	top := v.targets[metadata.TARGETS]
	for _, d := range delegated(top) {
		if d.Name == role {
			return authority{top.Signed.Delegations.Keys, d.KeyIDs, d.Threshold}, true
		}
	}
	return authority{}, false
}

// unfold reads a file into a form whose size in memory is a bounded multiple of its own.
func unfold(data []byte) (envelope, error) {
	v, err := strict.Decode(data)
	if err != nil {
		return envelope{}, err
	}
	whole, _ := v.(strict.Object)
	e := envelope{signatures: make(map[string]string), size: len(data)}
	e.signed, _ = member(whole, "signed").(strict.Object)
	list, _ := member(whole, "signatures").([]any)
	if e.signed == nil || list == nil || len(list) > maxSignatures {
		return envelope{}, errShape
	}
	for _, f := range whole {
		// The library takes a member in other letters for the same member.
		if f.Name != "signed" && f.Name != "signatures" && (strings.EqualFold(f.Name, "signed") || strings.EqualFold(f.Name, "signatures")) {
			return envelope{}, errShape
		}
	}
	for _, s := range list {
		o, _ := s.(strict.Object)
		id, _ := member(o, "keyid").(string)
		e.signatures[id], _ = member(o, "sig").(string)
	}
	return e, nil
}

// member returns the value of an object's member; nil if it has none.
func member(o strict.Object, name string) any {
	i, ok := slices.BinarySearchFunc(o, name, func(f strict.Field, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return nil
	}
	return o[i].Value
}

func (e envelope) member(name string) any { return member(e.signed, name) }

// delegates tells whether the file has delegations, in whatever letters: the library is not particular about them.
func (e envelope) delegates() bool {
	return slices.ContainsFunc(e.signed, func(f strict.Field) bool { return strings.EqualFold(f.Name, "delegations") })
}

// signedBy tells whether enough of the authority's ids have signed what stands in the file.
func (e envelope) signedBy(a authority) bool {
	var ids []string
	for _, id := range a.ids {
		if e.signatures[id] != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if a.threshold < 1 || len(ids) < a.threshold {
		return false
	}
	message := canonical(make([]byte, 0, e.size), e.signed)
	n := 0
	for _, id := range ids {
		if verifiesMessage(a.keys[id], message, e.signatures[id]) {
			n++
		}
	}
	return n >= a.threshold
}

// verifiesMessage verifies one signature as go-tuf does, whose keys may be such that it panics.
func verifiesMessage(k *metadata.Key, message []byte, sig string) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	raw, err := hex.DecodeString(sig)
	if err != nil {
		return false
	}
	public, err := k.ToPublicKey()
	if err != nil {
		return false
	}
	hash := crypto.SHA256
	if k.Scheme == metadata.KeySchemeECDSA_SHA2_P384 {
		hash = crypto.SHA384
	}
	o := []signature.LoadOption{options.WithHash(hash), options.WithRSAPSS(&rsa.PSSOptions{Hash: crypto.SHA256})}
	verifier, err := signature.LoadVerifierWithOpts(public, o...)
	return err == nil && verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(message)) == nil
}

// canonical appends a value in canonical JSON, which is what is signed: members by their bytes, no white space, nothing
// escaped but quotes and backslashes.
func canonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return quote(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(b, e)
		}
		return append(b, ']')
	case strict.Object:
		b = append(b, '{')
		for i, f := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(append(quote(b, f.Name), ':'), f.Value)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
