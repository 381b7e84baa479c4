package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

const (
	// maxManifest is the most bytes that a target may have.
	maxManifest = 4 << 20
	// maxMediaType is the most bytes that a signed media type may have.
	maxMediaType = 255
	// maxPatterns bounds the paths that one file gives away, and those that one signer's files give away together. A path that
	// begins with a wildcard counts as looseWeight, since every name has to be tried by it.
	maxPatterns = 4096
	looseWeight = 4
)

// A role is one file of targets or of a delegated role, in a form that takes little memory. All but its last field, which
// only an update needs, is immutable once the update returns it.
type role struct {
	name    string
	raw     string // the file
	version int64
	expires time.Time

	// paths are the names of which the file speaks, sorted, and claims what it says of each.
	paths  []string
	claims []trust.Claim
	// spoilt are the names whose entries cannot be used.
	spoilt map[string]*trust.Refusal
	// delegations are in the order of the file; those of bins are written out.
	delegations []metadata.DelegatedRole
	keys        map[string]*metadata.Key
	bins        *metadata.SuccinctRoles
	index       index
	// weight is what its paths count against maxPatterns.
	weight int

	md *metadata.Metadata[metadata.TargetsType]
}

// newRole reads a targets file without believing it.
func newRole(name string, raw []byte) (*role, error) {
	md, err := parse[metadata.TargetsType](name, raw)
	if err != nil {
		return nil, err
	}
	r := &role{name: name, raw: string(raw), md: md}
	r.version, r.expires = md.Signed.Version, md.Signed.Expires.UTC()
	if err := positive(name, r.version); err != nil {
		return nil, err
	}
	if d := md.Signed.Delegations; d != nil {
		if err := r.delegate(d); err != nil {
			return nil, invalid(name, err)
		}
	}
	r.read(md.Signed.Targets)
	return r, nil
}

// parsed returns the library's form of the file, which update.run drops in the end.
func (r *role) parsed() (*metadata.Metadata[metadata.TargetsType], error) {
	if r.md != nil {
		return r.md, nil
	}
	md, err := parse[metadata.TargetsType](r.name, []byte(r.raw))
	if err == nil {
		r.md = md
	}
	return md, err
}

// read takes in the entries. There may be very many: what they have in common is shared, names are parts of the file
// itself where they stand there as they are, and digests are parts of one string.
func (r *role) read(entries map[string]*metadata.TargetFiles) {
	r.paths = slices.Sorted(maps.Keys(entries))
	r.claims = make([]trust.Claim, len(r.paths))
	types := make(map[string]string)
	var digests strings.Builder
	for i, path := range r.paths {
		target, err := readEntry(entries[path])
		if err != nil {
			if r.spoilt == nil {
				r.spoilt = make(map[string]*trust.Refusal)
			}
			r.spoilt[path] = &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("%s v%d signs what cannot be used for %.128q", label(r.name), r.version, path), Err: err}
		}
		if _, ok := types[target.MediaType]; !ok {
			types[target.MediaType] = target.MediaType
		}
		target.MediaType = types[target.MediaType]
		digests.WriteString(string(target.Digest))
		r.claims[i] = trust.Claim{Target: target, Role: r.name, Released: true, Expires: r.expires}
	}
	all := digests.String()
	for i := range r.claims {
		d := &r.claims[i].Target.Digest
		*d, all = digest.Digest(all[:len(*d)]), all[len(*d):]
	}
	share(r.paths, r.raw)
}

// share replaces sorted strings by the parts of text that are the same, as far as they stand there in their order and in
// quotes. One that is written with escapes stays what it is: the text has other bytes for it.
func share(sorted []string, text string) {
	for i, s := range sorted {
		quoted := strconv.Quote(s)
		if len(quoted) != len(s)+len(`""`) {
			continue
		}
		at := strings.Index(text, quoted)
		if at < 0 {
			return
		}
		text = text[at+1:]
		sorted[i] = text[:len(s)]
	}
}

// readEntry returns what an entry means. What a signer wrote that cannot be used spoils the entry, not the file.
func readEntry(f *metadata.TargetFiles) (trust.Target, error) {
	sha256sum, sha512sum := f.Hashes["sha256"], f.Hashes["sha512"]
	switch {
	case len(sha256sum) != sha256.Size:
		return trust.Target{}, errors.New("no sha256 of 32 bytes")
	case f.Length < 1 || f.Length > maxManifest:
		return trust.Target{}, fmt.Errorf("length %d is not between 1 and %d", f.Length, maxManifest)
	case sha512sum != nil && len(sha512sum) != 64:
		return trust.Target{}, errors.New("sha512 is not of 64 bytes")
	}
	t := trust.Target{Digest: digest.NewDigestFromBytes(digest.SHA256, sha256sum), Size: f.Length, Exact: true, SHA512: hex.EncodeToString(sha512sum)}
	if f.Custom == nil {
		return t, nil
	}
	// Whatever else a publisher keeps there is not for us.
	var custom map[string]json.RawMessage
	if json.Unmarshal(*f.Custom, &custom) != nil || custom["mediaType"] == nil {
		return t, nil
	}
	if err := json.Unmarshal(custom["mediaType"], &t.MediaType); err != nil || t.MediaType == "" || len(t.MediaType) > maxMediaType {
		return trust.Target{}, errors.New("mediaType is not a media type")
	}
	return t, nil
}

// find returns what the role says of the target, as a slice of one; nil if it says nothing.
func (r *role) find(target string) []trust.Claim {
	i, ok := slices.BinarySearch(r.paths, target)
	if !ok {
		return nil
	}
	return r.claims[i : i+1 : i+1]
}

// delegate takes in the delegations.
func (r *role) delegate(d *metadata.Delegations) error {
	if err := wholeKeys(d.Keys); err != nil {
		return err
	}
	if d.Roles != nil && d.SuccinctRoles != nil {
		return errors.New("delegates to roles and to succinct_roles")
	}
	r.keys, r.delegations = d.Keys, d.Roles
	if s := d.SuccinctRoles; s != nil {
		// PRODUCT: invariant 9, each bin is a file to be fetched.
		if s.BitLength > maxBits {
			return fmt.Errorf("succinct_roles of %d bits, more than %d", s.BitLength, maxBits)
		}
		r.bins = s
		for _, name := range s.GetRoles() {
			r.delegations = append(r.delegations, metadata.DelegatedRole{Name: name, KeyIDs: s.KeyIDs, Threshold: s.Threshold, Terminating: true})
		}
		return nil
	}
	if len(d.Roles) > maxEdges {
		return fmt.Errorf("delegates to more than %d roles", maxEdges)
	}
	// PRODUCT: invariant 9, each path is tried for names that others choose.
	for _, d := range d.Roles {
		if r.weight += weight(d); r.weight > maxPatterns {
			return fmt.Errorf("delegates by more than %d paths, where one that begins with a wildcard counts as %d", maxPatterns, looseWeight)
		}
	}
	r.index = newIndex(d.Roles)
	return nil
}

// covering returns the delegations, by their number, that are for the target, in order. It adds to work how many paths it
// tried.
func (r *role) covering(target string, work *int64) []int {
	if r.bins == nil {
		return r.index.covering(target, work)
	}
	// The name of a bin ends in its number.
	name := r.bins.GetRolesForTarget(target)[0].Name
	n, err := strconv.ParseUint(strings.TrimPrefix(name, r.bins.NamePrefix+"-"), 16, maxBits)
	if err != nil {
		return nil
	}
	return []int{int(n)}
}

// authority returns who may sign the role of a delegation, by its number.
func (r *role) authority(i int) authority {
	return authority{r.keys, r.delegations[i].KeyIDs, r.delegations[i].Threshold}
}

// sign notes who signed the file, on most ways to it: claims of which that is true are shared.
func (r *role) sign(signer string, keys []string) {
	for i := range r.claims {
		r.claims[i].Signer, r.claims[i].Keys = signer, keys
	}
}
