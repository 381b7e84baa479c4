package tuf

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Finding is what a source says of one collection now, and whether the config lets it speak. Nothing of it is trusted or
// kept: it is for people who decide what to pin.
type Finding struct {
	// Versions are the files that verify among themselves.
	Versions []trust.RoleVersion
	// Keys are the ids of the root keys.
	Keys []string
	// Tags is how many tags are signed.
	Tags int
	// Broken is why delegated roles do not verify, as one error; nil if all do.
	Broken error
	// Refused is why the pinned root does not lead to these files; nil if it does.
	Refused error
}

// Inspect asks the source about a collection: from the pinned root, and where that does not lead to what the source has,
// from its own first root. The error is why its files do not verify even among themselves.
func (f *Format) Inspect(ctx context.Context, collection string) (Finding, error) {
	v := f.open(collection)
	now := f.o.Now()
	pin, err := v.pin()
	var found *trusted
	if err == nil {
		u := update{pin: pin, src: v.src, now: now, heavy: f.heavy}
		found, err = u.run(ctx)
	}
	finding := Finding{Refused: err}
	if err != nil {
		own, ferr := v.src.Fetch(ctx, fileName(metadata.ROOT, 1, true), maxRoot)
		if ferr != nil {
			if !errors.Is(ferr, fs.ErrNotExist) {
				err = unreachable("1.root.json", ferr)
			}
			return Finding{}, err
		}
		u := update{pin: own, src: v.src, now: now, heavy: f.heavy}
		if found, err = u.run(ctx); err != nil {
			return Finding{}, err
		}
	}
	v.base = found
	s := v.flatten(now)
	finding.Versions, finding.Tags, finding.Broken = s.Versions, s.Listed, found.failures()
	finding.Keys = slices.Sorted(slices.Values(found.root.Signed.Roles[metadata.ROOT].KeyIDs))
	return finding, nil
}
