package dct

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// A trusted is one complete set of files that belong together and that verified. It is immutable once update returns it.
type trusted struct {
	roots     []*root // from the one that the pin allowed to the newest, without gaps
	timestamp *timestamp
	snapshot  *snapshot
	// roles are targets and every delegation that targets reaches and the snapshot lists, in pre-order in order.
	roles map[string]*targets
	order []string
	// retired are the last verified files of delegations that are no longer reached: floors, should they come back.
	retired map[string]*document
}

// root returns the newest root.
func (t *trusted) root() *root { return t.roots[len(t.roots)-1] }

// document returns the file of a role that was verified before, nil if there is none.
func (t *trusted) document(role string) *document {
	if t == nil {
		return nil
	}
	switch role {
	case "timestamp":
		return t.timestamp.document
	case "snapshot":
		return t.snapshot.document
	}
	if r, ok := t.roles[role]; ok && r.refusal == nil {
		return r.document
	}
	return t.retired[role]
}

// floor checks that next is not older than prev, which was verified of its role before; nil: nothing was.
//
// DCT: W4. The floor is the signed file itself: it stands as long as the keys that are authorised now have signed it, so
// that a version which a stolen key pushed up ends with that key.
func floor(prev, next *document, by authority) error {
	if prev == nil || next.version > prev.version || next.sum == prev.sum {
		return nil
	}
	again, err := parse(prev.role, wantType(prev.role), prev.raw)
	if err != nil || by.verify(again) != nil {
		return nil
	}
	r := &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("%s v%d is older than v%d, which was verified before", next.role, next.version, prev.version)}
	if next.version == prev.version {
		r.Text = fmt.Sprintf("%s v%d has other content than the v%d that was verified before", next.role, next.version, prev.version)
	}
	return r
}

// wantType returns the exact _type of a role's file.
func wantType(role string) string {
	switch role {
	case "root":
		return "Root"
	case "timestamp":
		return "Timestamp"
	case "snapshot":
		return "Snapshot"
	}
	return "Targets"
}

// versions returns the files in force; the first four are those on which every answer rests.
func (t *trusted) versions() []trust.RoleVersion {
	r, targets := t.root(), t.roles["targets"]
	all := []trust.RoleVersion{
		{Role: "root", Version: r.version, Expires: r.until, Keys: r.signers},
		{Role: "timestamp", Version: t.timestamp.version, Expires: t.timestamp.expires, Keys: t.timestamp.signers},
		{Role: "snapshot", Version: t.snapshot.version, Expires: t.snapshot.expires, Keys: t.snapshot.signers},
		{Role: "targets", Version: targets.version, Expires: targets.expires, Keys: targets.signers},
	}
	for _, role := range t.order[1:] {
		if d := t.roles[role]; d.refusal == nil {
			all = append(all, trust.RoleVersion{Role: role, Version: d.version, Expires: d.expires, Keys: d.signers})
		}
	}
	return all
}

// flatten makes the snapshot that decisions look into.
func (t *trusted) flatten(checked time.Time) *trust.Snapshot {
	s := &trust.Snapshot{Checked: checked, Versions: t.versions(), Entries: make(map[string]trust.Entry)}
	for _, v := range s.Versions[:4] {
		if s.Expires.IsZero() || v.Expires.Before(s.Expires) {
			s.Expires = v.Expires
		}
	}
	for _, role := range t.order {
		for name := range t.roles[role].entries {
			if _, done := s.Entries[name]; !done && t.roles[role].refusal == nil && t.roles[role].covers(name) {
				e := t.entry(name)
				s.Entries[name] = e
				if slices.ContainsFunc(e.Claims, func(c trust.Claim) bool { return c.Released }) {
					s.Listed++
				}
			}
		}
	}
	s.Absent = t.absent()
	// An estimate: the files, what they are parsed into, and the flat form.
	s.Size = 4*t.bytes() + 512*int64(len(s.Entries))
	return s
}

// absent returns what there is to say about a name that no role speaks of: it is "not signed" only as long as the roles
// that are asked about it are valid.
func (t *trusted) absent() func(name string) trust.Entry {
	asked := t.releases()
	return func(name string) trust.Entry {
		var e trust.Entry
		for _, r := range asked {
			switch {
			case !r.covers(name):
			case r.refusal != nil:
				return trust.Entry{Refusal: r.refusal}
			case e.Expires.IsZero() || r.until.Before(e.Expires):
				e.Expires = r.until
			}
		}
		return e
	}
}

// bytes returns how many bytes the files have.
func (t *trusted) bytes() int64 {
	n := int64(len(t.timestamp.raw) + len(t.snapshot.raw))
	for _, r := range t.roots {
		n += int64(len(r.raw))
	}
	for _, r := range t.roles {
		n += int64(len(r.raw))
	}
	for _, d := range t.retired {
		n += int64(len(d.raw))
	}
	return n
}

const releasesRole = "targets/releases"

// releases returns targets/releases and what it delegates to, in the order in which they are asked.
func (t *trusted) releases() []*targets {
	var found []*targets
	for _, role := range t.order {
		if role == releasesRole || len(role) > len(releasesRole) && role[:len(releasesRole)+1] == releasesRole+"/" {
			found = append(found, t.roles[role])
		}
	}
	return found
}

// entry says what all roles together say about the name.
//
// DCT: section 4.1: targets/releases and its delegations are asked first, then targets; only an entry of
// targets/releases or targets itself counts.
// DCT: W2: a role that is asked and is not valid refuses the name; there is no falling back to an older word.
func (t *trusted) entry(name string) trust.Entry {
	e := trust.Entry{Claims: t.claims(name)}
	winner := "targets"
	for _, r := range t.releases() {
		if !r.covers(name) {
			continue
		}
		if r.refusal != nil {
			return trust.Entry{Claims: e.Claims, Refusal: r.refusal}
		}
		if e.Expires.IsZero() || r.until.Before(e.Expires) {
			e.Expires = r.until
		}
		if _, ok := r.entries[name]; ok {
			winner = r.role
			break
		}
	}
	if winner != releasesRole && winner != "targets" {
		return e
	}
	if said, ok := t.roles[winner].entries[name]; ok && said.digest == "" {
		e.Refusal = &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("%s v%d signs no sha256 for %.128q", winner, t.roles[winner].version, name)}
		return e
	}
	for i := range e.Claims {
		e.Claims[i].Released = e.Claims[i].Role == winner
	}
	return e
}

// claims returns what each valid role says that may speak for the name.
func (t *trusted) claims(name string) []trust.Claim {
	var all []trust.Claim
	for _, role := range t.order {
		r := t.roles[role]
		said, ok := r.entries[name]
		if !ok || said.digest == "" || r.refusal != nil || !r.covers(name) {
			continue
		}
		all = append(all, trust.Claim{
			Target: trust.Target{Digest: said.digest, Size: said.length}, Role: role, Signer: strings.TrimPrefix(role, "targets/"), Keys: r.signers, Expires: r.until,
		})
	}
	return all
}
