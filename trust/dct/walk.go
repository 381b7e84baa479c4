package dct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
)

// maxRotations bounds how many roots one update walks.
const maxRotations = 256

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

// walk goes from the trusted root to the newest, one version at a time. If it fails, the roots up to there stand.
//
// DCT: W5: until the source has no further version; each step must verify; only the last must be unexpired.
func (u *update) walk(ctx context.Context) error {
	// So that what was verified before is not changed through a shared array.
	u.next.roots = slices.Clip(u.next.roots)
	for steps := 0; steps < maxRotations || u.kept; steps++ {
		last := u.next.root()
		r, err := u.version(ctx, last.version+1)
		if errors.Is(err, fs.ErrNotExist) {
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
		u.next.roots = append(u.next.roots, r)
	}
	return &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("more than %d roots to walk", maxRotations)}
}
