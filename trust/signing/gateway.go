package signing

import (
	"errors"
	"maps"
	"slices"

	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// conflict tells that a gateway has another version than the change was made on.
func conflict(err error) bool {
	return errors.Is(err, remote.ErrConflict)
}

// steps returns the files of a batch in the order in which a gateway takes them: what the published delegations let in
// comes before what changes them, what only the new ones let in comes after.
func (b *batch) steps() []file {
	var before, top, after []file
	for _, role := range slices.SortedFunc(maps.Keys(b.files), compareRoles) {
		f := file{fileName(role, b.targets[role].Signed.Version), b.files[role]}
		switch {
		case role == metadata.TARGETS:
			top = append(top, f)
		case b.base.lets(role, b):
			before = append(before, f)
		default:
			after = append(after, f)
		}
	}
	if b.root != nil {
		top = append(top, file{fileName(metadata.ROOT, b.root.Signed.Version), b.newRoot})
	}
	return slices.Concat(before, top, after)
}
