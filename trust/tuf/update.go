package tuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
	"golang.org/x/sync/semaphore"
)

// An update makes one complete trusted set, from a source and from what was verified before. It changes nothing but
// itself: whoever runs it takes the result whole or not at all, and of one that fails remembers what it has seen.
type update struct {
	pin []byte // the root to begin with
	src trust.Source
	// base is what was verified whole before: nil, or a set. Held tells that it is so under this pin, so that it may serve,
	// and the roots that were seen need not be walked again.
	base *trusted
	held bool
	// seen is what no top-level file may fall behind: nil, or at least what base has.
	seen *seen
	now  time.Time
	// expired lets files pass that have expired.
	expired bool
	// kept is why roles had no file, where src is what was verified and kept before; nil: it is a source.
	kept map[string]failure
	// disputes are what was kept of the roles' disputed versions.
	disputes map[string]map[string]int64
	// whole keeps what the library read of every role.
	whole bool
	// heavy bounds the bytes that are parsed at the same time, by all updates. Nil: nothing does.
	heavy *semaphore.Weighted

	set     *trustedmetadata.TrustedMetadata
	next    trusted
	edges   int
	fetched atomic.Int64
}

// fetch gets a file of at most limit bytes.
func (u *update) fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	raw, err := u.src.Fetch(ctx, file, limit)
	var r *trust.Refusal
	switch {
	case err == nil:
		// PRODUCT: invariant 9, bounded.
		if n := u.fetched.Add(int64(len(raw))); int64(len(raw)) > limit || n > maxUpdate {
			return nil, invalid(file, fmt.Errorf("more than %d bytes, or more than %d in all", limit, maxUpdate))
		}
		return bytes.Clone(raw), nil // no longer than it is, and part of nothing larger
	case errors.As(err, &r), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, err
	}
	return nil, unreachable(file, err)
}

// unreachable is the refusal where the source could not be asked.
func unreachable(file string, err error) *trust.Refusal {
	return &trust.Refusal{Reason: trust.SourceUnreachable, Text: "cannot fetch " + file, Err: err}
}

// lacks is the refusal where the source has not what verified data names.
func lacks(file string) *trust.Refusal {
	return &trust.Refusal{Reason: trust.SourceUnreachable, Text: "the source lacks " + file + ", which verified data names"}
}

// run returns the new set, or base itself when the source has nothing new.
//
// TUF: section 5, in its order.
func (u *update) run(ctx context.Context) (*trusted, error) {
	if err := u.walkRoots(ctx); err != nil {
		return nil, err
	}
	unchanged, err := u.timestamp(ctx)
	if err != nil {
		return nil, err
	}
	lacking := u.base.lacking()
	if unchanged && len(lacking) == 0 {
		return u.base, nil
	}
	if err := u.snapshot(ctx); err != nil {
		return nil, err
	}
	err = u.roles(ctx)
	u.drop()
	if err != nil {
		return nil, err
	}
	if unchanged && fmt.Sprint(u.next.lacking()) == fmt.Sprint(lacking) {
		return u.base, nil
	}
	// What is taken must be fit to be kept and loaded again.
	if n := u.next.bytes(); n > maxUpdate {
		return nil, invalid(metadata.TARGETS, fmt.Errorf("%d bytes in all files, more than %d", n, maxUpdate))
	}
	if u.whole {
		return &u.next, nil
	}
	return &u.next, u.next.flatten(ctx)
}

// drop lets go of what the library read.
func (u *update) drop() {
	for _, n := range u.next.nodes {
		if n.role != nil && !u.whole {
			n.role.md = nil
		}
	}
}

// timestamp verifies the timestamp under the newest root. It returns true when it is the one in hand, and everything else
// as well.
//
// TUF: section 5.4.
func (u *update) timestamp(ctx context.Context) (unchanged bool, err error) {
	raw, err := u.fetch(ctx, "timestamp.json", maxTimestamp)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, &trust.Refusal{Reason: trust.NoTrustData, Text: "no timestamp.json"}
	case errors.Is(err, fs.ErrPermission):
		return false, unreachable("timestamp.json", err)
	case err != nil:
		return false, err
	}
	root := u.set.Root.Signed
	if err := u.current(metadata.ROOT, root.Version, root.Expires); err != nil {
		return false, err
	}
	same := u.held && u.seen.timestamp == u.base.timestamp && len(u.next.roots) == len(u.base.roots)
	if same && bytes.Equal(raw, u.base.timestamp.raw) {
		u.next.timestamp, u.set.Timestamp = u.base.timestamp, u.base.timestamp.md
		return true, u.current(metadata.TIMESTAMP, u.set.Timestamp.Signed.Version, u.set.Timestamp.Signed.Expires)
	}
	md, err := parseTimestamp(raw)
	if err != nil {
		return false, err
	}
	u.set.Timestamp = u.floorTimestamp()
	err = u.step(metadata.TIMESTAMP, md.Signed.Version, md.Signed.Expires, func() error {
		_, err := u.set.UpdateTimestamp(raw)
		return err
	})
	// TUF: section 5.4.3.1, of one version the first is kept.
	if errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		u.next.timestamp, u.set.Timestamp = u.seen.timestamp, u.seen.timestamp.md
		return same, u.current(metadata.TIMESTAMP, u.set.Timestamp.Signed.Version, u.set.Timestamp.Signed.Expires)
	}
	if err != nil {
		return false, err
	}
	u.next.timestamp = &signed[metadata.TimestampType]{raw, md}
	return false, nil
}

// step runs a step of the library's for a file, and says what its error means. The versions and times that it names are
// those of a file that may be anybody's.
func (u *update) step(role string, version int64, until time.Time, f func() error) error {
	err := guard(role, f)
	if err == nil || errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		return err
	}
	r := refusal(role, err)
	switch r.Reason {
	case trust.ThresholdNotMet:
		r.Text, r.Err = fmt.Sprintf("%s v%d: fewer than the required signatures of its keys", role, version), nil
	case trust.MetadataExpired:
		r = ended(role, version, until)
	case trust.MetadataRollback:
		r.Text = fmt.Sprintf("%s v%d falls behind what was verified before", role, version)
	}
	return r
}

// ended is the refusal of a file that has expired.
func ended(role string, version int64, until time.Time) *trust.Refusal {
	return &trust.Refusal{Reason: trust.MetadataExpired, Text: fmt.Sprintf("%s v%d expired on %s", label(role), version, until.UTC().Format(time.RFC3339))}
}

// current checks that a top-level file has not expired.
//
// PRODUCT: section 8, new data that is authentic but expired is not taken; the earlier stands.
func (u *update) current(role string, version int64, until time.Time) error {
	if u.now.After(until) && !u.expired {
		return ended(role, version, until)
	}
	return nil
}

// floorTimestamp returns what no timestamp may be older than: the one verified before, as long as the keys that sign
// timestamps now have signed it. A version that a stolen key pushed up ends with that key; the snapshot's with the
// snapshot's key.
//
// TUF: section 5.3.11.
func (u *update) floorTimestamp() *metadata.Metadata[metadata.TimestampType] {
	if u.seen == nil || u.seen.timestamp == nil || !u.stands(metadata.TIMESTAMP, u.seen.timestamp.md, u.seen.timestamp.md.Signatures) {
		return nil
	}
	floor := *u.seen.timestamp.md
	if u.floorSnapshot() == nil {
		floor.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": {}}
	}
	return &floor
}

// floorSnapshot returns what no snapshot may fall behind, by the same rule.
func (u *update) floorSnapshot() *metadata.Metadata[metadata.SnapshotType] {
	if u.seen == nil || u.seen.snapshot == nil || !u.stands(metadata.SNAPSHOT, u.seen.snapshot.md, u.seen.snapshot.md.Signatures) {
		return nil
	}
	return u.seen.snapshot.md
}

// stands tells whether a top-level file that was verified before verifies under the newest root too.
func (u *update) stands(role string, md any, signatures []metadata.Signature) bool {
	if u.held && len(u.next.roots) == len(u.base.roots) && (md == any(u.base.timestamp.md) || md == any(u.base.snapshot.md)) {
		return true
	}
	_, err := rootAuthority(u.set.Root, role).verify(role, 0, md, signatures)
	return err == nil
}

// snapshot verifies the snapshot that the timestamp names.
//
// TUF: section 5.5.
func (u *update) snapshot(ctx context.Context) error {
	info := u.set.Timestamp.Signed.Meta["snapshot.json"]
	raw, err := u.named(ctx, info)
	if err != nil {
		return err
	}
	if err := guard(metadata.SNAPSHOT, func() error { return info.VerifyLengthHashes(raw) }); err != nil {
		return refusal(metadata.SNAPSHOT, err)
	}
	md, err := parseSnapshot(raw)
	if err != nil {
		return err
	}
	if md.Signed.Version != info.Version {
		return invalid(metadata.SNAPSHOT, fmt.Errorf("is v%d, where verified data names v%d", md.Signed.Version, info.Version))
	}
	floor := u.floorSnapshot()
	if u.set.Snapshot = floor; floor != nil && md.Signed.Version < floor.Signed.Version {
		return &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("snapshot v%d is older than v%d, which was verified before", md.Signed.Version, floor.Signed.Version)}
	}
	err = u.step(metadata.SNAPSHOT, md.Signed.Version, md.Signed.Expires, func() error {
		_, err := u.set.UpdateSnapshot(raw, false)
		// TUF: section 5.5.5, a role that vanishes: somebody hides it. The library's error has no kind of its own.
		if _, plain := err.(*metadata.ErrRepository); plain && floor != nil {
			return &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("snapshot v%d no longer lists a role that v%d did", md.Signed.Version, floor.Signed.Version)}
		}
		return err
	})
	if err == nil {
		u.next.snapshot = &signed[metadata.SnapshotType]{raw, md}
	}
	return err
}

// named returns the snapshot's file: the one in hand if it is what the timestamp names, else the source's.
func (u *update) named(ctx context.Context, info *metadata.MetaFiles) ([]byte, error) {
	if in := u.floorSnapshot(); in != nil && in.Signed.Version == info.Version && info.VerifyLengthHashes(u.seen.snapshot.raw) == nil {
		return u.seen.snapshot.raw, nil
	}
	limit, err := bound(metadata.SNAPSHOT, info, maxSnapshot)
	if err != nil {
		return nil, err
	}
	file := fileName(metadata.SNAPSHOT, info.Version, u.set.Root.Signed.ConsistentSnapshot)
	raw, err := u.fetch(ctx, file, limit)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// PRODUCT: section 8, a file that verified data names but the source lacks.
		return nil, lacks(file)
	}
	return raw, err
}
