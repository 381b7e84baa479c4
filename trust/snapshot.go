package trust

import "time"

// A Snapshot is what one collection's verified files say, flattened for look-ups. It is immutable: a refresh makes a new
// one. It makes no promise about time; who asks compares Checked and Expires with the clock.
type Snapshot struct {
	// Checked is when the check began that found these files to be the current ones.
	Checked time.Time
	// Expires is when the first of the files ends that every answer rests on.
	Expires  time.Time
	Versions []RoleVersion
	// Entries holds every name that any role speaks of.
	Entries map[string]Entry
	// Guards are the roles that could have spoken for a name that has no entry.
	Guards []Guard
	// Listed is how many of the entries are released.
	Listed int
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

// A Guard is a role that is asked about the names it covers. A name that it does not list is "not signed" only as long
// as the role is valid.
type Guard struct {
	Role   string
	Covers func(target string) bool
	// Refusal is why the role is not valid, nil if it is.
	Refusal *Refusal
	Expires time.Time
}

// Lookup returns what the snapshot says about target. An entry without claims and without refusal means: not signed.
func (s *Snapshot) Lookup(target string) Entry {
	if e, ok := s.Entries[target]; ok {
		return e
	}
	var e Entry
	for _, g := range s.Guards {
		if !g.Covers(target) {
			continue
		}
		if g.Refusal != nil {
			return Entry{Refusal: g.Refusal}
		}
		e.Expires = earlier(e.Expires, g.Expires)
	}
	return e
}

// statement returns what the snapshot says about the entry, as the Authority judges it.
func (s *Snapshot) statement(e Entry) Statement {
	return Statement{
		Claims: e.Claims, Checked: s.Checked, Expires: earlier(s.Expires, e.Expires), Versions: s.Versions, Listed: s.Listed,
	}
}

// earlier returns the earlier of two times, where zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
