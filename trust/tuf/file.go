package tuf

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Limits on what a source may send. The sizes are in bytes.
//
// One file of targets takes some thirty times its size in memory while the library reads and verifies it: at the peak
// 450 MiB were measured for 75,000 names in 15 MiB, 190 for 30,000 in 6, and 50 for 7,500 in 1.5. Such files are read one
// after the other, by all updates, and what the library made of one is let go of before the next.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 64 << 10
	maxSnapshot  = 4 << 20
	maxTargets   = 16 << 20
	// maxNameless bounds a file that is named without a hash, so that nobody has vouched for its bytes before they are read:
	// the library takes some fifty times their size in memory.
	maxNameless = 3 << 20
	// maxUpdate bounds the bytes of all files that belong together, and of those that one update fetches.
	maxUpdate     = 64 << 20
	maxSignatures = 64
	maxListed     = 16 << 10
)

// invalid makes the refusal of a file that is not what it must be.
func invalid(role string, err error) *trust.Refusal {
	return &trust.Refusal{Reason: trust.MetadataInvalid, Text: label(role), Err: err}
}

// label is a role's name as messages have it: whoever delegates chooses it.
func label(role string) string {
	for _, r := range role {
		if r <= ' ' || r > '~' || r == '"' {
			return fmt.Sprintf("%.60q", role)
		}
	}
	return fmt.Sprintf("%.60s", role)
}

// quoted is an error of the library, which may hold bytes of the file.
func quoted(err error) error { return fmt.Errorf("%.200q", err.Error()) }

// guard runs a call of the library, which panics on some files that break the format.
func guard(role string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = invalid(role, fmt.Errorf("cannot be read: %.200q", fmt.Sprint(p)))
		}
	}()
	return f()
}

// parse reads a file without believing it. What the library would misread, or read at great cost, it never sees.
func parse[T metadata.Roles](role string, raw []byte) (*metadata.Metadata[T], error) {
	if err := strict.Check(raw, "custom"); err != nil {
		return nil, invalid(role, err)
	}
	var envelope struct{ Signatures []json.RawMessage }
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return nil, invalid(role, quoted(err))
	}
	if len(envelope.Signatures) > maxSignatures {
		return nil, invalid(role, fmt.Errorf("more than %d signatures", maxSignatures))
	}
	md := new(metadata.Metadata[T])
	err := guard(role, func() error {
		_, err := md.FromBytes(raw)
		return err
	})
	var r *trust.Refusal
	switch {
	case errors.As(err, &r):
		return nil, r
	case err != nil:
		return nil, invalid(role, quoted(err))
	}
	for name := range md.UnrecognizedFields {
		// The library takes a member in other letters for the same member, and what stands beside signed is not signed.
		if strings.EqualFold(name, "signed") || strings.EqualFold(name, "signatures") {
			return nil, invalid(role, fmt.Errorf("%.20q beside the member of that name", name))
		}
	}
	return md, nil
}

// parseRoot reads a root file.
func parseRoot(raw []byte) (*metadata.Metadata[metadata.RootType], error) {
	md, err := parse[metadata.RootType](metadata.ROOT, raw)
	if err != nil {
		return nil, err
	}
	if err := wholeKeys(md.Signed.Keys); err != nil {
		return nil, invalid(metadata.ROOT, err)
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if r := md.Signed.Roles[role]; r == nil || r.Threshold < 1 {
			return nil, invalid(metadata.ROOT, fmt.Errorf("says not how %s is signed", role))
		}
	}
	return md, positive(metadata.ROOT, md.Signed.Version)
}

// parseTimestamp reads a timestamp file, which names a snapshot.
func parseTimestamp(raw []byte) (*metadata.Metadata[metadata.TimestampType], error) {
	md, err := parse[metadata.TimestampType](metadata.TIMESTAMP, raw)
	if err != nil {
		return nil, err
	}
	if err := listed(metadata.TIMESTAMP, md.Signed.Meta, metadata.SNAPSHOT); err != nil {
		return nil, err
	}
	return md, positive(metadata.TIMESTAMP, md.Signed.Version)
}

// parseSnapshot reads a snapshot file, which names targets and every other role.
func parseSnapshot(raw []byte) (*metadata.Metadata[metadata.SnapshotType], error) {
	md, err := parse[metadata.SnapshotType](metadata.SNAPSHOT, raw)
	if err != nil {
		return nil, err
	}
	if err := listed(metadata.SNAPSHOT, md.Signed.Meta, metadata.TARGETS); err != nil {
		return nil, err
	}
	return md, positive(metadata.SNAPSHOT, md.Signed.Version)
}

// listed checks what a file says about others: it names role, and nothing without a version.
func listed(in string, meta map[string]*metadata.MetaFiles, role string) error {
	if len(meta) > maxListed {
		return invalid(in, fmt.Errorf("lists more than %d files", maxListed))
	}
	if meta[role+".json"] == nil {
		return invalid(in, fmt.Errorf("does not list %s", role))
	}
	for name, info := range meta {
		if info == nil || info.Version < 1 || info.Length < 0 {
			return invalid(in, fmt.Errorf("%.80q has no version, or a length that cannot be", name))
		}
	}
	return nil
}

// positive checks a version.
func positive(role string, version int64) error {
	if version < 1 {
		return invalid(role, fmt.Errorf("version %d is less than 1", version))
	}
	return nil
}

// wholeKeys checks that there is a key wherever the file names one.
func wholeKeys(keys map[string]*metadata.Key) error {
	for id, k := range keys {
		if k == nil {
			return fmt.Errorf("key %.80q is null", id)
		}
	}
	return nil
}

// fileName returns the name under which a role's file is published: with its version, and without in a repository of one
// state at a time. The timestamp never has one, and a root always has.
func fileName(role string, version int64, consistent bool) string {
	name := url.PathEscape(role) + ".json"
	if role == metadata.ROOT || consistent && role != metadata.TIMESTAMP {
		name = fmt.Sprintf("%d.%s", version, name)
	}
	return name
}
