package trusttest

import "slices"

// versions are files of the past, or of no time at all.
func versions() []row {
	past := row{want: rollback, cold: "-"}
	all := []row{
		{name: "nothing new", attack: func(Subject) {}, want: "good"},
		{name: "new versions", attack: func(s Subject) { s.Next(s.Targets, s.role("releases")) }, want: "good"},
		{name: "everything rolled back", attack: func(s Subject) { s.Serve(s.first) }, want: "refused metadata_rollback", cold: "-"},
		{name: "frozen", attack: func(s Subject) { s.Freeze() }, want: "refused metadata_expired", hand: "denied metadata_expired"},
		// TUF 1.0 keeps the timestamp it has when another comes under its version.
		{name: "timestamp of the same version with other content", attack: func(s Subject) { s.Timestamp.Version--; s.Next(s.Targets) },
			want: "refused metadata_rollback", tuf: "good", cold: "-"},
		{name: "targets of the same version with other content", attack: func(s Subject) { s.Targets.Sign("x", "x"); s.Next() },
			want: rollback, cold: "-", back: rollback},
	}
	all = append(all, each("rolled back", verb((*Repository).Rollback), past, "targets", "releases")...)
	past.back = "good"
	all = append(all, each("rolled back", verb((*Repository).Rollback), past, "timestamp")...)
	past.notaryBack = rollback // a TUF timestamp names the version, and is refused itself
	all = append(all, each("rolled back", verb((*Repository).Rollback), past, "snapshot")...)
	all = append(all, each("expired when it came", verb((*Repository).Expire), refused("metadata_expired"), "timestamp", "snapshot", "targets")...)
	// TUF: section 5.3.10, a root that has expired is kept all the same.
	all = append(all, each("expired when it came", verb((*Repository).Expire), row{want: "refused metadata_expired", back: "refused metadata_expired"}, "root")...)
	return append(all, each("expired when it came", verb((*Repository).Expire), denied("metadata_expired"), "releases")...)
}

// sets are files that do not belong together, or are not all there.
func sets() []row {
	all := []row{
		{name: "files published before the timestamp", attack: func(s Subject) { s.Withhold(s.Targets) }, want: "good"},
		{name: "targets leaves the snapshot", attack: func(s Subject) { s.Hide(s.Targets) }, want: "refused metadata_invalid", back: rollback},
		// Nobody need have signed for a Notary delegation yet; a TUF role that is delegated has a file.
		{name: "releases leaves the snapshot", attack: func(s Subject) { s.Hide(s.role("releases")) },
			want: rollback, cold: "other", tufCold: "denied metadata_invalid", back: rollback},
		// A Notary role may have been removed and added again; a TUF snapshot never loses one.
		{name: "releases leaves the snapshot while its parent changes", attack: func(s Subject) { s.Hide(s.role("releases"), s.Targets) },
			want: "denied metadata_rollback", tuf: rollback, cold: "other", tufCold: "denied metadata_invalid", back: rollback},
	}
	all = append(all, each("is the one before", verb((*Repository).Mix), refused("metadata_invalid"), "snapshot", "targets")...)
	all = append(all, each("is the one before", verb((*Repository).Mix), lost("metadata_invalid"), "releases")...)
	all = append(all, each("is not published yet", verb((*Repository).Interrupt), refused("source_unreachable"), "snapshot", "targets")...)
	return append(all, each("is not published yet", verb((*Repository).Interrupt), lost("source_unreachable"), "releases")...)
}

// rotate replaces the root key n times.
func rotate(n int) func(Subject) {
	return func(s Subject) {
		for range n {
			s.RotateRoot()
			s.Publish()
		}
		s.Next()
	}
}

// roots are rotations, genuine and not.
func roots() []row {
	revoke := func(s Subject) { s.Rekey(s.Timestamp) }
	return []row{
		{name: "root rotated", attack: rotate(1), want: "good"},
		{name: "root rotated three times", attack: rotate(3), want: "good"},
		{name: "root rotated, seen, and rotated again", seen: rotate(1), attack: rotate(2), want: "good"},
		{name: "next root by the old key alone", attack: func(s Subject) { s.RotateRoot(); s.Root.Signers = s.Root.Signers[1:]; s.Next() }, want: "refused threshold_not_met"},
		{name: "next root by the new key alone", attack: func(s Subject) { s.RotateRoot(); s.Root.Signers = s.Root.Signers[:1]; s.Next() }, want: "refused root_mismatch"},
		{name: "next root with a leap in its version", attack: func(s Subject) {
			s.RotateRoot()
			s.Root.Version++
			s.Next()
			s.put("2.root.json", s.Files()["3.root.json"])
		}, want: "refused root_mismatch"},
		// A Notary snapshot names its root. Who follows TUF cannot know of a root behind a gap, as long as the keys of the
		// others are the same.
		{name: "a root is missing on the way", attack: func(s Subject) { rotate(2)(s); s.Remove("2.root.json") }, want: "refused root_mismatch", tuf: "good", unseen: true},
		{name: "a root is missing on the way to other keys", attack: func(s Subject) { rotate(1)(s); revoke(s); s.Remove("2.root.json") },
			want: "refused threshold_not_met", cold: "refused root_mismatch", tufCold: "refused threshold_not_met"},
		{name: "a stranger's root is the next one", attack: func(s Subject) { s.swap(2) }, want: "refused root_mismatch"},
		{name: "the pinned root is fed again as the third", seen: rotate(1), attack: func(s Subject) { s.Reroot(1) }, want: "refused root_mismatch", cold: "-"},
		{name: "the pinned root is fed again as the next", attack: func(s Subject) { s.Reroot(1) }, want: "refused root_mismatch"},
		{name: "a newer root is hidden", seen: rotate(1), attack: func(s Subject) { s.HideRoot() }, want: "good", cold: "-"},
		{name: "a newer root is hidden, a revoked key signs", seen: revoke, attack: func(s Subject) {
			s.Timestamp.Signers = s.revoked[s.Timestamp]
			s.Next(s.Targets)
			s.HideRoot()
		}, want: "refused threshold_not_met", cold: "-"},
		{name: "a newer root is hidden with all that came after", seen: revoke, attack: func(s Subject) { s.Serve(s.first) }, want: "refused threshold_not_met", cold: "-"},
	}
}

// recoveries are what follows when a stolen key has pushed up versions.
func recoveries() []row {
	var all []row
	for name, back := range map[string]string{"timestamp": "", "snapshot": "", "targets": rollback, "releases": rollback} {
		notaryBack := back
		if name == "snapshot" {
			notaryBack = rollback
		}
		push := func(s Subject) { s.role(name).Version = 1 << 40; s.Next(s.role(name)) }
		all = append(all,
			row{name: name + " pushed forward, its key and the snapshot's rotated", seen: push, attack: func(s Subject) { s.Rekey(s.role(name), s.Snapshot) }, want: "good"},
			row{name: name + " pushed forward, and set back", seen: push, attack: func(s Subject) { s.role(name).Version = 2; s.Next() }, want: rollback, cold: "-", back: back, notaryBack: notaryBack})
	}
	all = append(all,
		row{name: "targets set back under a new timestamp key", attack: func(s Subject) { s.Targets.Version--; s.Rekey(s.Timestamp) }, want: rollback, cold: "-",
			back: "refused threshold_not_met"}, // by the root that gave the timestamp that key

		row{name: "timestamp set back under one more key", attack: func(s Subject) {
			s.Timestamp.Keys = append(slices.Clone(s.Timestamp.Keys), s.newKey(s.Timestamp))
			s.Timestamp.Version = 0
			s.Next(s.Root)
		}, want: "refused metadata_rollback", cold: "-", notaryBack: "refused root_mismatch"}) // the snapshot names the root before
	all = append(all, each("key rotated, versions from the start", verb(func(r *Repository, role *Role) { r.Rekey(role) }), row{want: "good"}, "timestamp", "snapshot")...)
	// A TUF snapshot holds floors of its own, which only its own key's rotation ends; a Notary snapshot has no versions.
	return append(all, each("key rotated, versions from the start", verb(func(r *Repository, role *Role) { r.Rekey(role) }),
		row{want: "good", tuf: "refused metadata_rollback", tufCold: "good"}, "targets", "releases")...)
}

// names are attempts to speak for a name that is not one's own.
func names() []row {
	return []row{
		{name: "a role without the target is passed over", attack: func(s Subject) { delete(s.role("releases").Entries, s.Target); s.Next(s.role("releases")) }, want: "other"},
		{name: "a role speaks outside its paths", attack: func(s Subject) { s.Escape(s.role("releases")) }, want: "other"},
		{name: "a role lends what it has not", attack: func(s Subject) {
			r := s.role("releases")
			s.format.under(r, "child", r.Paths...).Sign(s.Target, "evil")
			delete(r.Entries, s.Target)
			r.Version++
			s.Escape(r)
		}, want: "other"},
		{name: "a stranger's role lends on", attack: func(s Subject) {
			r := s.role("releases")
			s.format.under(r, "child", r.Paths...).Sign(s.Target, "evil")
			delete(r.Entries, s.Target)
			s.Impersonate(r)
		}, want: "denied threshold_not_met"},
		{name: "only names like it are signed", attack: func(s Subject) {
			for _, r := range append(slices.Clone(s.Delegations), s.Targets) {
				if _, ok := r.Entries[s.Target]; ok {
					delete(r.Entries, s.Target)
					r.Sign(s.Target+"0", "evil")
					r.Sign("x"+s.Target, "evil")
					r.Version++
				}
			}
			s.Next()
		}, want: "denied unsigned_tag"},
		// Cold, a Notary source is asked for its root, and a TUF root is at hand.
		{name: "a stranger's repository under this name", attack: func(s Subject) { s.swap(1) },
			want: "refused threshold_not_met", cold: "refused root_not_pinned", tufCold: "refused threshold_not_met"},
	}
}

// swap serves a stranger's repository, whose root is of the given version.
func (s Subject) swap(root int64) {
	other := s.stranger()
	other.Timestamp.Version, other.Root.Version = 9, root
	other.Serve(nil)
	other.Publish()
	files := other.Files()
	if root > 1 {
		files["1.root.json"] = s.first["1.root.json"]
	}
	s.Serve(files)
}
