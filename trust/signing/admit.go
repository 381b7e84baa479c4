package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// admit reads the next file of a role, and takes it if it is signed as the published delegation asks and holds nothing that a
// gateway would refuse. It costs what the file's size allows, and needs no lock.
func admit(v *View, role string, version int64, data []byte, now time.Time) (*batch, error) {
	if err := v.vouched(role, version, data); err != nil {
		return nil, err
	}
	b := &batch{base: v}
	var err error
	if role == metadata.ROOT {
		b.newRoot = data
		b.root, err = admitRoot(version, data, now)
	} else {
		var m *targetsFile
		m, err = admitTargets(role, version, data, now)
		b.targets, b.files = map[string]*targetsFile{role: m}, map[string][]byte{role: data}
	}
	if err == nil && !v.lets(role, b) {
		err = unsignedFile(role, version)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// lets tells whether a role's file in the batch is signed as the published delegation to the role asks.
//
// TUF: 5.3.4, a root as the root before it asks.
func (v *View) lets(role string, b *batch) bool {
	switch role {
	case metadata.ROOT:
		return verifies(v.root, role, b.root)
	case metadata.TARGETS:
		return verifies(v.root, role, b.targets[role])
	}
	return verifies(v.targets[metadata.TARGETS], role, b.targets[role])
}

// admitRoot reads the next root, which must be signed as it asks itself. That what is published verifies by it, and that the
// publisher has the keys it asks for, is proved before it appears.
func admitRoot(version int64, data []byte, now time.Time) (*rootFile, error) {
	m, err := admissible[metadata.RootType](metadata.ROOT, data)
	if err != nil {
		return nil, err
	}
	for _, role := range atTop {
		if m.Signed.Roles[role] == nil {
			return nil, refuse(trust.MetadataInvalid, "root v%d does not say who signs %s", version, role)
		}
	}
	switch {
	case m.Signed.Type != metadata.ROOT || m.Signed.Version != version:
		return nil, refuse(trust.MetadataInvalid, "root v%d says that it is something else", version)
	case !m.Signed.ConsistentSnapshot:
		return nil, refuse(trust.MetadataInvalid, "root v%d gives up consistent snapshots", version)
	case m.Signed.IsExpired(now):
		return nil, refuse(trust.MetadataExpired, "root v%d has expired", version)
	// TUF: 5.3.4, signed as it asks itself.
	case !verifies(m, metadata.ROOT, m):
		return nil, refuse(trust.RootMismatch, "root v%d is not signed by enough of its own keys", version)
	}
	return m, nil
}

// admitTargets reads the next file of a targets role.
func admitTargets(role string, version int64, data []byte, now time.Time) (*targetsFile, error) {
	m, err := admissible[metadata.TargetsType](role, data)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Signed.Type != metadata.TARGETS || m.Signed.Version != version:
		return nil, refuse(trust.MetadataInvalid, "%s v%d says that it is something else", role, version)
	case m.Signed.IsExpired(now):
		return nil, refuse(trust.MetadataExpired, "%s v%d has expired", role, version)
	}
	if err := delegationsFormed(m.Signed.Delegations); err != nil {
		return nil, refuse(trust.MetadataInvalid, "%s v%d %s", role, version, err)
	}
	for path, entry := range m.Signed.Targets {
		if err := wellFormed(entry); err != nil {
			return nil, refuse(trust.MetadataInvalid, "%s v%d: entry %.400q: %s", role, version, path, err)
		}
	}
	return m, nil
}

// maxDelegations is how many signers a repository may have that is published through a gateway.
const maxDelegations = 1024

// delegationsFormed tells whether the delegations of the top-level targets role are such as this package writes: each to a
// signer of its own name, so that nobody speaks in the name of somebody else, and few enough to be asked one after the other.
func delegationsFormed(all *metadata.Delegations) error {
	if all == nil {
		return nil
	}
	if all.SuccinctRoles != nil {
		return errors.New("delegates to succinct_roles, which are not supported")
	}
	if len(all.Roles) > maxDelegations {
		return fmt.Errorf("has %d delegations, more than %d", len(all.Roles), maxDelegations)
	}
	seen := make(map[string]bool)
	for _, d := range all.Roles {
		if err := checkSigner(d.Name); err != nil {
			return fmt.Errorf("delegates to what is no signer: %w", err)
		}
		if d.PathHashPrefixes != nil {
			return fmt.Errorf("delegates to %s by path_hash_prefixes, which are not supported", d.Name)
		}
		if seen[d.Name] {
			return fmt.Errorf("delegates to %s twice", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// admissible reads what anybody may have sent.
func admissible[T metadata.Roles](role string, data []byte) (*metadata.Metadata[T], error) {
	if err := strict.Check(data, "custom"); err != nil {
		return nil, refuse(trust.MetadataInvalid, "%.80q: %s", role, err)
	}
	m, err := parse[T](data)
	if err != nil {
		return nil, refuse(trust.MetadataInvalid, "%.80q: %.200q", role, err.Error())
	}
	return m, nil
}

// wellFormed tells whether a gateway would take the entry.
func wellFormed(entry *metadata.TargetFiles) error {
	switch {
	case entry == nil:
		return fmt.Errorf("is null")
	case len(entry.Hashes["sha256"]) != 32:
		return fmt.Errorf("has no sha256")
	case entry.Length <= 0 || entry.Length > maxManifest:
		return fmt.Errorf("a length of %d bytes is not between 1 and %d", entry.Length, maxManifest)
	}
	if h, ok := entry.Hashes["sha512"]; ok && len(h) != 64 {
		return fmt.Errorf("its sha512 is not one")
	}
	if entry.Custom != nil {
		var own custom
		if err := json.Unmarshal(*entry.Custom, &own); err != nil {
			return fmt.Errorf("its custom is not an object with texts in it")
		}
	}
	return nil
}
