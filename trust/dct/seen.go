package dct

import (
	"context"
	"errors"
	"fmt"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
)

const (
	// seenPrefix begins the names of roots that are kept beyond the set that serves, as in "seen/2.root". They do not end
	// as those of roots do, so that whoever knows nothing of them passes over them.
	seenPrefix = "seen/"
	// maxSeen bounds the bytes of the roots that are remembered beyond the set.
	maxSeen = 4 << 20
)

// remember keeps the roots that an update which failed has verified: one that revokes a key must not be forgotten because
// the files behind it did not come. What cannot be written is held in memory, and tried again with the next update.
//
// Whoever has no key can bring in nothing here: each root is pinned or follows from one. Where the first of all is trusted
// on first use, an update that fails is no use.
func (v *verifier) remember(roots []*root) {
	if v.pin.TOFU && len(v.seen) == 0 {
		return
	}
	v.seen = bounded(roots, v.served())
	if len(v.seen) == v.written || v.foreign {
		return
	}
	r := state.Record{}
	if v.held != nil {
		r = v.held.record(v.flat.Checked)
	}
	for _, root := range v.seen[v.served():] {
		r.Files = append(r.Files, state.File{Name: fmt.Sprintf("%s%d.root", seenPrefix, root.version), Data: root.raw})
	}
	if err := v.place.Save(r); err != nil {
		v.observe(trust.EventStateDamaged, err)
		return
	}
	v.written = len(v.seen)
}

// served returns how many of the roots belong to the set that serves.
func (v *verifier) served() int {
	if v.held == nil {
		return 0
	}
	return len(v.held.roots)
}

// bounded returns the roots, but for the last of those beyond the set that are too many bytes.
//
// PRODUCT: invariant 9.
func bounded(roots []*root, served int) []*root {
	bytes := 0
	for i := served; i < len(roots); i++ {
		if bytes += len(roots[i].raw); bytes > maxSeen {
			return roots[:i]
		}
	}
	return roots
}

// restoreSeen verifies the roots again that were kept beyond the set, nil for none: they go on from the set's, or else from
// the newest that the pin allows. None of them may be missing.
func (v *verifier) restoreSeen(ctx context.Context, t *trusted, beyond kept, pin Pin) ([]*root, error) {
	u := update{gun: v.gun, pin: pin, src: beyond, now: v.f.o.Now(), kept: true}
	if t == nil {
		err := u.again(ctx, beyond)
		return u.next.roots, err
	}
	u.next.roots = t.roots
	if err := u.walk(ctx); err != nil {
		return nil, err
	}
	if len(u.next.roots) != len(t.roots)+len(beyond) {
		return nil, invalid("root", errors.New("not all of those that were verified lead on from the set's"))
	}
	return u.next.roots, nil
}
