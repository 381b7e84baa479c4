package tuf

import (
	"bytes"
	"context"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// What is kept beyond the set that serves has names with a slash, which no published file has.
const (
	seenPrefix    = "seen/"
	timestampFile = "timestamp.json"
	snapshotFile  = "snapshot.json"
	// maxSeen bounds the bytes of all that is kept beyond the set.
	maxSeen = 4<<20 + maxTimestamp + maxSnapshot
)

// A seen is the newest root, timestamp and snapshot that verified, each of them whether or not the rest of its update did:
// nothing older is believed again. A root that revokes a key must not be forgotten because the files behind it did not come.
// It is immutable.
type seen struct {
	roots     [][]byte // from the pinned one to the newest, without gaps
	root      *metadata.Metadata[metadata.RootType]
	timestamp *signed[metadata.TimestampType] // nil: none yet
	snapshot  *signed[metadata.SnapshotType]  // nil: none yet
}

// first returns the version of the oldest root.
func (s *seen) first() int64 { return s.root.Signed.Version - int64(len(s.roots)) + 1 }

// rootOf returns the root of a version, nil if there is none.
func (s *seen) rootOf(version int64) []byte {
	if s == nil || s.root == nil || version < s.first() || version > s.root.Signed.Version {
		return nil
	}
	return s.roots[version-s.first()]
}

// with returns what has been seen once an update has verified next; s itself if that adds nothing. An update under another
// pin that does not lead through the newest root adds nothing either: it has a chain of its own.
func (s *seen) with(next seen) *seen {
	if next.root == nil {
		return s
	}
	if s == nil {
		if len(next.roots) == 1 && next.timestamp == nil {
			return nil // the pin itself
		}
		return &next
	}
	if !bytes.Equal(next.rootOf(s.root.Signed.Version), s.roots[len(s.roots)-1]) {
		return s
	}
	all, grown := *s, false
	if newer := next.root.Signed.Version - s.root.Signed.Version; newer > 0 {
		all.roots, all.root, grown = append(slices.Clip(s.roots), next.roots[len(next.roots)-int(newer):]...), next.root, true
	}
	if !next.timestamp.same(s.timestamp) {
		all.timestamp, grown = next.timestamp, true
	}
	if !next.snapshot.same(s.snapshot) {
		all.snapshot, grown = next.snapshot, true
	}
	if !grown {
		return s
	}
	return &all
}

// same tells whether f is the file g, or none at all.
func (f *signed[T]) same(g *signed[T]) bool { return f == nil || g != nil && bytes.Equal(f.raw, g.raw) }

// beyond returns the files that are not those of the set, nil for none, by the names under which they are kept.
func (s *seen) beyond(base *trusted) []published {
	var all []published
	add := func(name string, raw []byte) { all = append(all, published{name: seenPrefix + name, raw: raw}) }
	from := s.first()
	if base != nil {
		from = base.root.Signed.Version + 1
	}
	for version := from; version <= s.root.Signed.Version; version++ {
		add(fileName(metadata.ROOT, version, true), s.rootOf(version))
	}
	if s.timestamp != nil && (base == nil || !s.timestamp.same(base.timestamp)) {
		add(timestampFile, s.timestamp.raw)
	}
	if s.snapshot != nil && (base == nil || !s.snapshot.same(base.snapshot)) {
		add(snapshotFile, s.snapshot.raw)
	}
	return all
}

// size returns how many bytes are not the set's.
func (s *seen) size(base *trusted) (bytes int) {
	for _, f := range s.beyond(base) {
		bytes += len(f.raw)
	}
	return bytes
}

// remember keeps what an update that failed has verified. What cannot be kept, or is too much, is not remembered, and tried
// again with the next update.
func (v *verifier) remember(next seen) {
	s := v.seen.with(next)
	// PRODUCT: invariant 9, every count has a limit: what is kept must be fit to be loaded again with the set.
	if s == v.seen || s.size(v.base) > maxSeen {
		return
	}
	checked := v.touched
	if v.flat != nil {
		checked = v.flat.Checked
	}
	if err := v.place.Save(recordOf(v.base, s, checked)); err != nil {
		v.observe(trust.EventStateDamaged, err)
		return
	}
	v.seen, v.touched = s, checked
}

// restoreSeen reads what was kept beyond the set that serves, nil if there was none. The roots must follow from the set's,
// or from the pin. Timestamp and snapshot are only floors, and count where the keys that are to sign them now have signed
// them: that is looked at when they are used.
func restoreSeen(ctx context.Context, base *trusted, pin []byte, beyond kept) (*seen, error) {
	u := update{pin: pin, src: beyond, base: base, held: base != nil, expired: true, kept: make(map[string]failure)}
	var s seen
	if base != nil {
		s = base.seen
		u.seen = &s
	}
	if err := u.walkRoots(ctx); err != nil {
		return nil, err
	}
	s.roots, s.root = u.next.roots, u.next.root
	if raw := beyond[timestampFile]; raw != nil {
		md, err := parseTimestamp(raw)
		if err != nil {
			return nil, err
		}
		s.timestamp = &signed[metadata.TimestampType]{raw, md}
	}
	if raw := beyond[snapshotFile]; raw != nil {
		md, err := parseSnapshot(raw)
		if err != nil {
			return nil, err
		}
		s.snapshot = &signed[metadata.SnapshotType]{raw, md}
	}
	return &s, nil
}
