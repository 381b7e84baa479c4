package dct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"golang.org/x/sync/semaphore"
)

// maxRotations bounds how many roots one update walks.
const maxRotations = 256

// An update makes one complete trusted set, from a source and from what was verified before. It changes nothing but
// itself: whoever runs it takes the result whole or not at all.
type update struct {
	gun  string
	pin  Pin
	src  trust.Source
	prev *trusted // nil: nothing was verified before
	// floors are what no file may be older than: prev, or what was verified under another pin.
	floors *trusted
	now    time.Time
	// probe asks for a newer root even where nothing hints at one.
	probe bool
	// kept tells that src is what was verified and kept before: it may have expired since.
	kept bool
	// heavy bounds the bytes that are parsed at the same time, by all updates.
	heavy *semaphore.Weighted

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
	if u.prev == nil {
		if err := u.anchor(ctx); err != nil {
			return nil, err
		}
	} else {
		u.next.roots = u.prev.roots
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
		case u.next.root().version > known:
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

// anchor finds the first root to trust: the source's newest if the pin allows it, else the first of all its roots that
// the pin allows; then it walks forward.
func (u *update) anchor(ctx context.Context) error {
	raw, err := u.fetch(ctx, "root.json", maxRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return &trust.Refusal{Reason: trust.NoTrustData, Text: "no root.json for " + u.gun}
	}
	if err != nil {
		return err
	}
	newest, err := parseRoot(u.gun, raw)
	if err != nil {
		return err
	}
	err = u.pin.matches(newest, u.now)
	if err == nil {
		u.next.roots = []*root{newest}
		newest.from, newest.until = newest.span()
		return u.walk(ctx)
	}
	// A root that is signed by too few of the pinned keys may follow one that is signed by enough.
	if !errors.Is(err, errPin) && trust.ReasonOf(err) != trust.ThresholdNotMet || newest.version == 1 || u.pin.CA != nil {
		return u.notPinned(newest, err)
	}
	// PRODUCT: section 8, a pin on an older root walks 1.root.json onwards until one matches, then forward.
	for n := int64(1); n < min(newest.version, maxRotations); n++ {
		r, verr := u.version(ctx, n)
		if errors.Is(verr, fs.ErrNotExist) {
			break
		}
		if verr != nil {
			return verr
		}
		if u.pin.matches(r, u.now) == nil {
			u.next.roots = []*root{r}
			r.from, r.until = r.span()
			return u.reach(ctx, newest)
		}
	}
	return u.notPinned(newest, err)
}

// reach walks to the newest root, which the source itself says it has.
func (u *update) reach(ctx context.Context, newest *root) error {
	if err := u.walk(ctx); err != nil {
		return err
	}
	if last := u.next.root(); last.version < newest.version {
		return &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("source has root v%d of %s but not v%d, so nothing leads there from the pinned root", newest.version, u.gun, last.version+1)}
	}
	return nil
}

// notPinned makes the refusal of a root that the pin does not allow.
func (u *update) notPinned(r *root, err error) error {
	if !errors.Is(err, errPin) {
		return err
	}
	keys := slices.Sorted(maps.Keys(r.leafs()))
	if len(keys) > 4 {
		keys = append(keys[:4], "...")
	}
	return &trust.Refusal{Reason: trust.RootNotPinned, Text: fmt.Sprintf("root v%d of %s with keys %v does not match %s", r.version, u.gun, keys, u.pin)}
}

// version fetches and parses the root of exactly version n. The error is fs.ErrNotExist where there is none.
//
// DCT: W5, exact versions.
func (u *update) version(ctx context.Context, n int64) (*root, error) {
	raw, err := u.fetch(ctx, fmt.Sprintf("%d.root.json", n), maxRoot)
	if err != nil {
		return nil, err
	}
	r, err := parseRoot(u.gun, raw)
	if err == nil && r.version != n {
		err = &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("%d.root.json holds v%d", n, r.version)}
	}
	return r, err
}

// walk goes from the trusted root to the newest, one version at a time.
//
// DCT: W5: until the source has no further version; each step must verify; only the last must be unexpired.
func (u *update) walk(ctx context.Context) error {
	// A copy, so that what was verified before is not changed through the shared array.
	roots := append([]*root(nil), u.next.roots...)
	for steps := 0; steps < maxRotations || u.kept; steps++ {
		last := roots[len(roots)-1]
		r, err := u.version(ctx, last.version+1)
		if errors.Is(err, fs.ErrNotExist) {
			u.next.roots = roots
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.follows(last); err != nil {
			return err
		}
		if u.pin.CA != nil && u.pin.matches(r, u.now) != nil {
			return &trust.Refusal{Reason: trust.RootNotPinned, Text: fmt.Sprintf("root v%d of %s does not chain to %s", r.version, u.gun, u.pin)}
		}
		r.from, r.until = r.span()
		roots = append(roots, r)
	}
	return &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("more than %d roots to walk", maxRotations)}
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
	sn, err := u.snapshot(ctx, ts.snapshot)
	if err != nil {
		return err
	}
	u.next.timestamp, u.next.snapshot = ts, sn
	return nil
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
	return u.floors.floor(d, by)
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
