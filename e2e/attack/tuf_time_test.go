package attack

import (
	"net/http"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// regressions are versions of the past, or far ahead of their time.
func regressions() []row[*tuf] {
	const back, short = "metadata_rollback", "threshold_not_met"
	revoke := func(r *tuf) {
		r.stolen = r.Timestamp.Keys
		r.Rekey(r.Timestamp)
	}
	all := []row[*tuf]{
		past("rollback: everything", back, func(r *tuf) { r.instead = r.first }),
		// Names that others sign are not refused for what releases did.
		{name: "rollback: other content of releases under the same version", attack: func(r *tuf) { r.sign(r.releases, r.evil); r.Next() }, check: "changed", warm: "403 " + back},
		past("rollback: other content of targets under the same version", back, func(r *tuf) { r.sign(r.Targets, r.evil); r.Next() }),
		// TUF: section 5.4.3.1, of one version the first is kept.
		past("rollback: another timestamp under the same version", "unchanged", func(r *tuf) { r.sign(r.Targets, r.evil); r.Timestamp.Version--; r.Next(r.Targets) }),
		{name: "rollback: releases leaves the snapshot", attack: func(r *tuf) { r.Hide(r.releases) }, cold: "403 metadata_invalid", check: back},
		whole("rollback: targets leaves the snapshot", "metadata_invalid", func(r *tuf) { r.Hide(r.Targets) }),
		whole("rollback: the pinned root is fed again as the next", "root_mismatch", func(r *tuf) { r.Reroot(1) }),
		{name: "rollback: the pinned root is fed again as the third", seen: func(r *tuf) { r.rotate(1); r.Next() }, attack: func(r *tuf) { r.Reroot(1) }, check: "root_mismatch"},
		{name: "rollback: a newer root is hidden, and everything rolled back", seen: func(r *tuf) { r.rotate(1); r.Next() }, attack: func(r *tuf) { r.instead = r.first }, check: back},
		{name: "rollback: a newer root is hidden, and a revoked key signs", seen: revoke, check: short, attack: func(r *tuf) {
			r.Timestamp.Signers = r.stolen
			r.sign(r.Targets, r.evil)
			r.Next(r.Targets)
			r.HideRoot()
		}},
		{name: "rollback: a newer root is hidden with all that a revoked key did not sign", seen: revoke, attack: func(r *tuf) { r.instead = r.first }, check: short},
		past("rollback: targets, under a new timestamp key", back, func(r *tuf) { r.Targets.Version--; r.Rekey(r.Timestamp) }),
		past("rollback: timestamp, under one more key", back, func(r *tuf) {
			r.Timestamp.Keys = append(slices.Clone(r.Timestamp.Keys), stranger()...)
			r.Timestamp.Version = 0
			r.Next(r.Root)
		}),
	}
	all = append(all, each(past[*tuf], "rollback: ROLE", back, func(r *tuf, role *trusttest.Role) {
		if role == r.releases {
			r.sign(role, r.evil)
		}
		r.Rollback(role)
	}, append(online, "releases")...)...)
	for _, name := range append(online, "releases") {
		push := of(name, func(r *tuf, role *trusttest.Role) { role.Version = 1 << 40; r.Next(role) })
		all = append(all,
			row[*tuf]{name: "fast-forward: " + name + ", recovery by other keys", seen: push, check: "changed", attack: func(r *tuf) { r.Rekey(r.role(name), r.Snapshot) }},
			row[*tuf]{name: "fast-forward: " + name + ", set back under the same keys", seen: push, check: back, attack: of(name, func(r *tuf, role *trusttest.Role) { role.Version = 2; r.Next() })})
	}
	return all
}

// soon is how long after its publication a file ends that is to end in hand: until then it must have been seen.
const soon = 10 * time.Second

// freezes let time pass.
func freezes() []row[*tuf] {
	const ended = "metadata_expired"
	stop := func(r *tuf) {
		r.fail(func(w http.ResponseWriter, _ string) bool { w.WriteHeader(http.StatusServiceUnavailable); return true })
	}
	all := slices.Concat(
		each(whole, "indefinite freeze: ROLE expired when it came", ended, verb((*trusttest.Repository).Expire), top...),
		each(spoiled, "indefinite freeze: ROLE expired when it came", ended, verb((*trusttest.Repository).Expire), "releases"),
		each(func(name, reason string, attack func(*tuf)) row[*tuf] {
			return row[*tuf]{name: name, attack: attack, check: "changed", warm: "until 403 " + reason, shared: true}
		}, "indefinite freeze: ROLE expires in hand", ended, func(r *tuf, role *trusttest.Role) {
			role.Expires = time.Now().Add(soon)
			r.Next(role)
		}, append(top, "releases")...))
	for i := range all {
		switch all[i].name {
		case "indefinite freeze: root expires in hand", "indefinite freeze: timestamp expires in hand":
			all[i].again = ended // the first two to be looked at
		case "indefinite freeze: releases expires in hand":
			all[i].shared = false
		}
	}
	return append(all,
		row[*tuf]{name: "indefinite freeze: the source is cut off", check: "source_unreachable", warm: "until 403 " + ended, shared: true, attack: stop,
			seen: func(r *tuf) { r.Timestamp.Expires = time.Now().Add(soon + 3*time.Second); r.Next() }},
		row[*tuf]{name: "indefinite freeze: the source is cut off for longer than max_stale", check: "source_unreachable", warm: "until 503 metadata_stale", shared: true,
			before: func(r *tuf) { r.options = ", max_stale: " + soon.String() }, attack: stop})
}

// mixtures are files that do not belong together, or are not all there.
func mixtures() []row[*tuf] {
	const invalid, absent = "metadata_invalid", "source_unreachable"
	mix, interrupt := verb((*trusttest.Repository).Mix), verb((*trusttest.Repository).Interrupt)
	another := func(r *tuf, role *trusttest.Role) {
		role.Edit = func(m map[string]any) { m["version"] = m["version"].(int64) + 1 }
		r.Next(role)
	}
	return slices.Concat(
		each(whole, "mix-and-match: ROLE is the one before", invalid, mix, "snapshot", "targets"),
		each(lost, "mix-and-match: ROLE is the one before", invalid, mix, "releases"),
		each(cut, "mix-and-match: ROLE is not published yet", absent, interrupt, "snapshot", "targets"),
		each(lost, "mix-and-match: ROLE is not published yet", absent, interrupt, "releases"),
		each(whole, "mix-and-match: ROLE is of another version than its name", invalid, another, "snapshot", "targets"),
		each(whole, "mix-and-match: ROLE is of another version than its name", "root_mismatch", another, "root"),
		each(spoiled, "mix-and-match: ROLE is of another version than its name", invalid, another, "releases"),
		[]row[*tuf]{
			{name: "mix-and-match: files published before the timestamp", cold: "200 good", check: "unchanged", attack: func(r *tuf) { r.Withhold(r.Targets) }},
			past("mix-and-match: releases of before under a new snapshot", "metadata_rollback", func(r *tuf) { r.releases.Version--; r.Next() }),
		})
}
