package dct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// An update makes one complete trusted set, from a source and from what was verified before. It changes nothing but
// itself: whoever runs it takes the result whole or not at all.
type update struct {
	gun  string
	pin  Pin
	src  trust.Source
	prev *trusted // nil: nothing was verified before
	// seen has the roots to go on from: prev's, and those that verified since; none: from what the pin allows.
	seen seen
	// floors and seen are what no file may be older than: prev, or what was verified under another pin, and what has been
	// seen since.
	floors *trusted
	now    time.Time
	// probe asks for a newer root even where nothing hints at one.
	probe bool
	// kept tells that src is what was verified and kept before: it may have expired since.
	kept bool
	// large bounds the bytes of large files in memory, over all updates.
	large budget

	next    trusted
	fetched int64
}

// maxUpdate bounds the bytes of all files that belong together, and of those that one update fetches.
const maxUpdate = 64 << 20

// fetch gets a file. A file that verified data names must be there; want says so.
func (u *update) fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	raw, err := u.src.Fetch(ctx, file, limit)
	var r *trust.Refusal
	switch {
	case err == nil:
		// PRODUCT: invariant 9, bounded.
		if u.fetched += int64(len(raw)); !u.kept && (u.fetched > maxUpdate || int64(len(raw)) > limit) {
			return nil, invalid(file, fmt.Errorf("more than %d bytes, or more than %d in all", limit, maxUpdate))
		}
		return raw, nil
	case errors.As(err, &r), errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return nil, &trust.Refusal{Reason: trust.SourceUnreachable, Text: "cannot fetch " + file, Err: err}
}

// run returns the new set, or prev itself when the source has nothing new.
func (u *update) run(ctx context.Context) (*trusted, error) {
	if len(u.seen.roots) == 0 {
		if err := u.anchor(ctx); err != nil {
			return nil, err
		}
	} else {
		u.next.roots = u.seen.roots
		if u.probe {
			if err := u.walk(ctx); err != nil {
				return nil, err
			}
		}
	}
	known := u.next.root().version
	err := u.head(ctx)
	if err != nil && mayBeRotated(err) {
		// DCT: section 3 step 3, W5: what does not fit the known root may fit a newer one. A walk that finds none leaves
		// the first error to stand.
		werr := u.walk(ctx)
		switch {
		case werr != nil && trust.ReasonOf(werr) != trust.SourceUnreachable:
			return nil, werr
		case werr == nil && u.next.root().version > known:
			err = u.head(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if u.prev != nil && u.next.timestamp == u.prev.timestamp {
		return u.prev, nil
	}
	if err := u.delegations(ctx); err != nil {
		return nil, err
	}
	u.retire()
	// What is taken must be fit to be kept and loaded again.
	if n := u.next.bytes(); n > maxUpdate {
		return nil, invalid("targets", fmt.Errorf("%d bytes in all files, more than %d", n, maxUpdate))
	}
	return &u.next, nil
}

// mayBeRotated tells whether a newer root could mend the error.
func mayBeRotated(err error) bool {
	switch trust.ReasonOf(err) {
	case trust.SignatureInvalid, trust.ThresholdNotMet, trust.RootMismatch, trust.MetadataRollback, trust.MetadataExpired:
		return true
	}
	return false
}

// head verifies timestamp and snapshot under the newest root.
func (u *update) head(ctx context.Context) error {
	raw, err := u.fetch(ctx, "timestamp.json", maxTimestamp)
	if errors.Is(err, fs.ErrNotExist) {
		return &trust.Refusal{Reason: trust.NoTrustData, Text: "no timestamp.json for " + u.gun}
	}
	if err != nil {
		return err
	}
	ts, err := parseTimestamp(raw)
	if err != nil {
		return err
	}
	root := u.next.root()
	if err := u.accept(ts.document, root.roles["timestamp"]); err != nil {
		return err
	}
	if err := u.current(ts.document, ts.expires); err != nil {
		return err
	}
	if err := u.current(root.document, root.until); err != nil {
		return err
	}
	if u.now.Before(root.from) && !u.kept {
		return &trust.Refusal{Reason: trust.ClockBehind, Text: fmt.Sprintf("the clock says %s, before the certificates of root v%d begin on %s", u.now.UTC().Format(time.RFC3339), root.version, root.from.UTC().Format(time.RFC3339))}
	}
	// DCT: section 1.5, an unchanged timestamp means that everything is unchanged.
	if u.prev != nil && ts.sum == u.prev.timestamp.sum && root == u.prev.root() {
		u.next.timestamp = u.prev.timestamp
		return nil
	}
	// DCT: W4, a timestamp that verified is a floor, whatever becomes of the snapshot; so is that.
	u.next.timestamp = ts
	u.next.snapshot, err = u.snapshot(ctx, ts.snapshot)
	return err
}

// snapshot verifies the snapshot that the timestamp names, and that it names the newest root.
func (u *update) snapshot(ctx context.Context, info fileinfo) (*snapshot, error) {
	raw, err := u.named(ctx, "snapshot", info, maxSnapshot)
	if err != nil {
		return nil, err
	}
	sn, err := parseSnapshot(raw)
	if err != nil {
		return nil, err
	}
	if err := u.accept(sn.document, u.next.root().roles["snapshot"]); err != nil {
		return nil, err
	}
	if err := u.current(sn.document, sn.expires); err != nil {
		return nil, err
	}
	// DCT: section 3.4 and W5: the snapshot must name the very root that is trusted.
	if err := sn.meta["root"].check("root", u.next.root().raw); err != nil {
		return nil, &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("snapshot v%d names another root than v%d", sn.version, u.next.root().version), Err: err}
	}
	return sn, nil
}

// accept checks signatures and floor of a file.
func (u *update) accept(d *document, by authority) error {
	if err := by.verify(d); err != nil {
		return err
	}
	if err := floor(u.floors.document(d.role), d, by); err != nil {
		return err
	}
	return floor(u.seen.document(d.role), d, by)
}

// current checks that a top-level file has not expired.
//
// PRODUCT: section 8, new data that is authentic but expired is not taken; the earlier stands.
func (u *update) current(d *document, until time.Time) error {
	if u.now.After(until) && !u.kept {
		return &trust.Refusal{Reason: trust.MetadataExpired, Text: fmt.Sprintf("%s v%d expired on %s", d.role, d.version, until.UTC().Format(time.RFC3339))}
	}
	return nil
}

// named returns the file that verified data names by hash and length: the one in hand if it is that, else the source's.
func (u *update) named(ctx context.Context, role string, info fileinfo, limit int64) ([]byte, error) {
	if d := u.prev.document(role); d != nil && info.check(role, d.raw) == nil {
		return d.raw, nil
	}
	if info.length > limit {
		return nil, invalid(role, fmt.Errorf("signed length %d is more than %d", info.length, limit))
	}
	raw, err := u.fetch(ctx, info.name(role), info.length)
	if errors.Is(err, fs.ErrNotExist) {
		// PRODUCT: section 8, a file that verified data names but the source lacks.
		return nil, &trust.Refusal{Reason: trust.SourceUnreachable, Text: "the source lacks " + info.name(role) + ", which verified data names"}
	}
	if err != nil {
		return nil, err
	}
	return raw, info.check(role, raw)
}
