package dct

import (
	"context"
	"maps"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
)

// A Finding is what a source says of one repository now, and whether the config lets it speak. Nothing of it is trusted or
// kept: it is for people who decide what to pin.
type Finding struct {
	// Versions are the files that verify among themselves, from the source's own root on.
	Versions []trust.RoleVersion
	// Keys are the ids of the root keys: what a pin on this root is made of.
	Keys []string
	// Tags is how many tags are released.
	Tags int
	// Refused is why the config's pin does not lead to these files; nil if it does.
	Refused error
}

// Inspect asks the source about a collection. The error is why its files do not verify even among themselves.
func (f *Format) Inspect(ctx context.Context, collection string) (Finding, error) {
	v := f.Open(collection).(*verifier)
	now := f.o.Now()
	open := update{gun: v.gun, pin: Pin{TOFU: true}, src: v.src, now: now, large: f.large}
	found, err := open.run(ctx)
	if err != nil {
		return Finding{}, err
	}
	s := found.flatten(now)
	finding := Finding{Versions: s.Versions, Keys: slices.Sorted(maps.Keys(found.root().leafs())), Tags: s.Listed}
	if !v.pinned {
		finding.Refused = trust.ErrNoPin
		return finding, nil
	}
	pinned := update{gun: v.gun, pin: v.pin, src: v.src, now: now, large: f.large}
	_, finding.Refused = pinned.run(ctx)
	return finding, nil
}
