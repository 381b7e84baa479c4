package trust

import (
	"slices"
	"time"
)

// A Snapshot is what one collection's verified files say, flattened for look-ups. It is immutable: a refresh makes a new
// one. It makes no promise about time; who asks compares Checked and Expires with the clock.
type Snapshot struct {
	// Checked is when the check began that found these files to be the current ones.
	Checked time.Time
	// Expires is when the first of the files ends that every answer rests on.
	Expires time.Time
	// Versions are all files in force: root, timestamp, snapshot and targets first.
	Versions []RoleVersion
	// Entries holds every name that any role speaks of.
	Entries map[string]Entry
	// Absent says what there is to say about a target without an entry: that a role which could have spoken for it is not
	// valid, or until when the roles asked are. Nil: nothing. It is safe for concurrent use.
	Absent func(target string) Entry
	// Listed is how many of the entries are released.
	Listed int
	// ListedBy returns how many of the entries of one image repository are released, where the snapshot covers many.
	ListedBy func(repository string) int
	// Size estimates the bytes of memory that the snapshot and the files behind it take.
	Size int64
}

// An Entry is what a snapshot says about one target.
type Entry struct {
	Claims []Claim
	// Refusal is why nothing may be concluded about the target although the collection verified.
	Refusal *Refusal
	// Expires is when the first of the roles ends that were asked about this target; zero when there are none beyond
	// those that every answer rests on.
	Expires time.Time
}

// Lookup returns what the snapshot says about target. An entry without claims and without refusal means: not signed.
func (s *Snapshot) Lookup(target string) Entry {
	if e, ok := s.Entries[target]; ok {
		return e
	}
	if s.Absent == nil {
		return Entry{}
	}
	return s.Absent(target)
}

// statement returns what the snapshot says about the entry, as the Authority judges it.
func (s *Snapshot) statement(repository string, e Entry) Statement {
	st := Statement{Claims: e.Claims, Checked: s.Checked, Expires: earlier(s.Expires, e.Expires), Versions: s.versions(e), Listed: s.Listed}
	if s.ListedBy != nil {
		st.Listed = s.ListedBy(repository)
	}
	return st
}

// maxVersions is how many files a statement names beyond which it leaves out those that have no part in it.
const maxVersions = 16

// versions returns the files that the statement about the entry rests on: all there are, if they are few, else those that
// every answer rests on, which come first, and those of the entry's claims.
func (s *Snapshot) versions(e Entry) []RoleVersion {
	if len(s.Versions) <= maxVersions {
		return s.Versions
	}
	some := append([]RoleVersion(nil), s.Versions[:topRoles]...)
	for _, v := range s.Versions[topRoles:] {
		if slices.ContainsFunc(e.Claims, func(c Claim) bool { return c.Role == v.Role }) {
			some = append(some, v)
		}
	}
	return some
}

// topRoles is how many roles every answer rests on: root, timestamp, snapshot and targets, in both formats.
const topRoles = 4

// earlier returns the earlier of two times, where zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
