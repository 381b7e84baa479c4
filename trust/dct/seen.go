package dct

import (
	"context"
	"errors"
	"fmt"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
)

const (
	// seenPrefix begins the names of files that are kept beyond the set that serves, as in "seen/2.root". They do not end
	// as those of roots do, so that whoever knows nothing of them passes over them.
	seenPrefix = "seen/"
	// maxSeen bounds the bytes of the roots that are remembered beyond the set.
	maxSeen = 4 << 20
)

// A seen is the newest that verified, each of its parts whether or not the rest of its update did: nothing older is believed
// again. A root that revokes a key must not be forgotten because the files behind it did not come.
type seen struct {
	// roots are the set's, and those that follow; without a set those that the pin allows.
	roots []*root
	// timestamp and snapshot are beyond the set's. They are floors as a set's are; nil: none.
	timestamp, snapshot *document
}

// document returns what was seen of a role beyond the set, nil if that is nothing.
func (s seen) document(role string) *document {
	switch role {
	case "timestamp":
		return s.timestamp
	case "snapshot":
		return s.snapshot
	}
	return nil
}

// same tells whether the other has seen the same files.
func (s seen) same(t seen) bool {
	return len(s.roots) == len(t.roots) && s.timestamp == t.timestamp && s.snapshot == t.snapshot
}

// remember keeps what an update that failed has verified. What cannot be written is held in memory, and tried again with the
// next update.
//
// Whoever has no key can bring in nothing here: each root is pinned or follows from one, and names the keys of the others.
// Where the first of all is trusted on first use, an update that fails is no use.
func (v *verifier) remember(next *trusted) {
	if len(next.roots) == 0 || v.pin.TOFU && len(v.seen.roots) == 0 {
		return
	}
	v.seen.roots = bounded(next.roots, v.served())
	if ts := next.timestamp; ts != nil && v.newer(ts.document) {
		v.seen.timestamp = ts.document
	}
	if sn := next.snapshot; sn != nil && v.newer(sn.document) {
		v.seen.snapshot = sn.document
	}
	if v.seen.same(v.written) || v.foreign {
		return
	}
	r := state.Record{}
	if v.held != nil {
		r = v.held.record(v.flat.Checked)
	}
	r.Files = append(r.Files, v.seen.files(v.served())...)
	if err := v.place.Save(r); err != nil {
		v.observe(trust.EventStateDamaged, err)
		return
	}
	v.written = v.seen
}

// newer tells whether a file that verified says something else than what is seen of its role, the set's included.
func (v *verifier) newer(d *document) bool {
	for _, known := range []*document{v.seen.document(d.role), v.held.document(d.role)} {
		if known != nil && known.sum == d.sum {
			return false
		}
	}
	return true
}

// files returns what is kept beyond the set, of which so many roots are.
func (s seen) files(served int) (all []state.File) {
	for _, r := range s.roots[served:] {
		all = append(all, state.File{Name: fmt.Sprintf("%s%d.root", seenPrefix, r.version), Data: r.raw})
	}
	for _, d := range []*document{s.timestamp, s.snapshot} {
		if d != nil {
			all = append(all, state.File{Name: seenPrefix + d.role, Data: d.raw})
		}
	}
	return all
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
// the newest that the pin allows. None of them may be missing. Timestamp and snapshot are floors, and count where the keys that
// are to sign them now have signed them: that is looked at when they are used.
func (v *verifier) restoreSeen(ctx context.Context, t *trusted, beyond kept, pin Pin) (s seen, err error) {
	roots := len(beyond)
	for role, kept := range map[string]**document{"timestamp": &s.timestamp, "snapshot": &s.snapshot} {
		raw := beyond[role+".json"]
		if raw == nil {
			continue
		}
		roots--
		if *kept, err = parse(role, wantType(role), raw); err != nil {
			return seen{}, err
		}
		if err := (*kept).finish(); err != nil {
			return seen{}, err
		}
	}
	u := update{gun: v.gun, pin: pin, src: beyond, now: v.f.o.Now(), kept: true}
	if t == nil {
		err := u.again(ctx, beyond)
		s.roots = u.next.roots
		return s, err
	}
	u.next.roots = t.roots
	if err := u.walk(ctx); err != nil {
		return seen{}, err
	}
	if len(u.next.roots) != len(t.roots)+roots {
		return seen{}, invalid("root", errors.New("not all of those that were verified lead on from the set's"))
	}
	s.roots = u.next.roots
	return s, nil
}
