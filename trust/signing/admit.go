package signing

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// admitRoot takes the next root if the one before it and it itself are signed for it. That what is published verifies by it,
// and that the publisher has the keys it asks for, is proved before it appears.
func admitRoot(v *View, version int64, data []byte, now time.Time) (*batch, error) {
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
	// TUF: 5.3.4, signed as the earlier root asks and as it asks itself.
	case !verifies(v.root, metadata.ROOT, m):
		return nil, refuse(trust.RootMismatch, "root v%d is not signed by enough keys of the root before it", version)
	case !verifies(m, metadata.ROOT, m):
		return nil, refuse(trust.RootMismatch, "root v%d is not signed by enough of its own keys", version)
	}
	return &batch{base: v, root: m, newRoot: data}, nil
}

// admit takes the next file of a targets role if it is signed as every role asks that delegates to it.
func admit(v *View, role string, version int64, data []byte, now time.Time) (*batch, error) {
	m, err := admissible[metadata.TargetsType](role, data)
	if err != nil {
		return nil, err
	}
	signed := v.lets(role, m)
	if role == metadata.TARGETS {
		signed = verifies(v.root, role, m)
	}
	switch {
	case !signed:
		return nil, refuse(trust.ThresholdNotMet, "%.80q v%d is not signed by enough of its keys, or no role delegates to it", role, version)
	case m.Signed.Type != metadata.TARGETS || m.Signed.Version != version:
		return nil, refuse(trust.MetadataInvalid, "%s v%d says that it is something else", role, version)
	case m.Signed.IsExpired(now):
		return nil, refuse(trust.MetadataExpired, "%s v%d has expired", role, version)
	}
	for path, entry := range m.Signed.Targets {
		if err := wellFormed(entry); err != nil {
			return nil, refuse(trust.MetadataInvalid, "%s v%d: entry %.400q: %s", role, version, path, err)
		}
	}
	return &batch{base: v, targets: map[string]*targetsFile{role: m}, files: map[string][]byte{role: data}}, nil
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
