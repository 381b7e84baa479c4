package attack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// tufTraps are files that break readers, or that two readers would read differently.
func tufTraps() []row[*tuf] {
	const invalid = "metadata_invalid"
	edit := func(role string, change func(m map[string]any)) func(*tuf) {
		return of(role, func(r *tuf, role *trusttest.Role) {
			role.Edit = change
			r.Next(role)
		})
	}
	set := func(role, name string, v any) func(*tuf) { return edit(role, member(name, v)) }
	meta := func(role, file string, v any) func(*tuf) {
		return edit(role, func(m map[string]any) { m["meta"].(map[string]any)[file] = v })
	}
	entry := func(change func(e map[string]any)) func(*tuf) { return func(r *tuf) { r.entryOf(change) } }
	hashes := func(of string, v any) func(*tuf) {
		return entry(func(e map[string]any) { e["hashes"] = map[string]any{of: v} })
	}
	tamper := func(role string, change func([]byte) []byte) func(*tuf) {
		return of(role, func(r *tuf, role *trusttest.Role) { r.Tamper(role, change) })
	}
	all := []row[*tuf]{
		whole("trap: null for a target of targets", invalid, edit("targets", func(m map[string]any) { m["targets"].(map[string]any)["x"] = nil })),
		spoiled("trap: null for a target of releases", invalid, edit("releases", func(m map[string]any) { m["targets"].(map[string]any)["x"] = nil })),
		whole("trap: null for a file of the snapshot", invalid, meta("snapshot", "x.json", nil)),
		whole("trap: null for targets in the snapshot", invalid, meta("snapshot", "targets.json", nil)),
		whole("trap: null for the snapshot in the timestamp", invalid, meta("timestamp", "snapshot.json", nil)),
		whole("trap: timestamp without snapshot", invalid, set("timestamp", "meta", map[string]any{})),
		whole("trap: null for a role in root", invalid, edit("root", func(m map[string]any) { m["roles"].(map[string]any)["snapshot"] = nil })),
		whole("trap: null for a key in root", invalid, edit("root", func(m map[string]any) { m["keys"].(map[string]any)["x"] = nil })),
		whole("trap: a negative length in the snapshot", invalid, edit("snapshot", func(m map[string]any) {
			m["meta"].(map[string]any)["targets.json"].(map[string]any)["length"] = -1
		})),
		taken("trap: a negative length of the manifest", "403 "+invalid, entry(func(e map[string]any) { e["length"] = -1 })),
		taken("trap: a length of nothing", "403 "+invalid, entry(func(e map[string]any) { e["length"] = 0 })),
		taken("trap: a length beyond what a manifest may have", "403 "+invalid, entry(func(e map[string]any) { e["length"] = 4<<20 + 1 })),
		taken("trap: sha256 of one byte", "403 "+invalid, hashes("sha256", "ab")),
		taken("trap: sha256 of 33 bytes", "403 "+invalid, hashes("sha256", strings.Repeat("ab", 33))),
		taken("trap: no sha256", "403 "+invalid, hashes("sha512", strings.Repeat("ab", 64))),
		taken("trap: no hash", "403 "+invalid, entry(func(e map[string]any) { e["hashes"] = map[string]any{} })),
		taken("trap: a media type that is a number", "403 "+invalid, entry(func(e map[string]any) { e["custom"] = map[string]any{"mediaType": 1} })),
		whole("trap: targets twice in targets", invalid, tamper("targets", trusttest.Replace(`"targets":`, `"targets":{},"targets":`))),
		spoiled("trap: targets twice in releases", invalid, tamper("releases", trusttest.Replace(`"targets":`, `"targets":{},"targets":`))),
		spoiled("trap: targets under two spellings", "threshold_not_met", tamper("releases", trusttest.Replace(`"targets":`, `"Targets":{},"targets":`))),
		whole("trap: signed twice", invalid, tamper("timestamp", trusttest.Replace(`{"signed":`, `{"signed":{},"signed":`))),
		whole("trap: signatures twice", invalid, tamper("timestamp", trusttest.Replace(`"signatures":`, `"signatures":[],"signatures":`))),
		whole("trap: data after the document", invalid, tamper("targets", func(raw []byte) []byte { return append(raw, "{}"...) })),
		whole("trap: nested without end", invalid, tamper("timestamp", func([]byte) []byte { return bytes.Repeat([]byte("["), 60<<10) })),
		whole("trap: a hundred signatures", invalid, func(r *tuf) {
			r.Timestamp.Signers = slices.Concat(r.Timestamp.Keys, slices.Repeat(stranger(), 100))
			r.Next()
		}),
		whole("trap: one role's file as another's", invalid, set("snapshot", "_type", "targets")),
	}
	for _, version := range []string{"0", "-1", "1.5", "2e0", "9007199254740993", "9223372036854775808", "null"} {
		all = append(all, whole("trap: version "+version, invalid, func(r *tuf) {
			r.Tamper(r.Targets, func(raw []byte) []byte {
				return trusttest.Replace(fmt.Sprintf(`"version":%d`, r.Targets.Version), `"version":`+version)(raw)
			})
		}))
	}
	return all
}

// delegationTraps are traps in who may speak.
func delegationTraps() []row[*tuf] {
	const invalid, short = "metadata_invalid", "threshold_not_met"
	grant := func(change func(r *tuf, d map[string]any)) func(*tuf) {
		return func(r *tuf) {
			n := slices.IndexFunc(r.Targets.Grants, func(g *trusttest.Grant) bool { return g.To == r.releases })
			r.Targets.Edit = func(m map[string]any) {
				change(r, m["delegations"].(map[string]any)["roles"].([]any)[n].(map[string]any))
			}
			r.Next(r.Targets)
		}
	}
	prefixes := func(paths bool) func(*tuf) {
		return grant(func(r *tuf, d map[string]any) {
			sum := sha256.Sum256([]byte(r.target))
			if d["path_hash_prefixes"] = []string{hex.EncodeToString(sum[:2])}; !paths {
				delete(d, "paths")
			}
		})
	}
	return []row[*tuf]{
		taken("trap: path_hash_prefixes", "403 "+invalid, prefixes(false)),
		whole("trap: path_hash_prefixes beside paths", invalid, prefixes(true)),
		taken("trap: a key id without key", "403 "+short, grant(func(_ *tuf, d map[string]any) { d["keyids"] = []string{strings.Repeat("ab", 32)} })),
		taken("trap: a negative threshold", "403 "+invalid, grant(func(_ *tuf, d map[string]any) { d["threshold"] = -1 })),
		whole("trap: null for the delegations", invalid, func(r *tuf) { r.Targets.Edit = member("delegations", nil); r.Next(r.Targets) }),
		taken("trap: a key of a wrong length", "403 "+short, func(r *tuf) {
			id := r.releases.Keys[0].TUFID()
			r.Targets.Edit = func(m map[string]any) {
				m["delegations"].(map[string]any)["keys"].(map[string]any)[id].(map[string]any)["keyval"] = map[string]any{"public": "ab"}
			}
			r.Next(r.Targets)
		}),
		// Team may not sign by the keys that it has been given here, whoever else lets it.
		taken("trap: a diamond, one side of which has other keys", "403 "+short, func(r *tuf) {
			r.Targets.Grants = append([]*trusttest.Grant{{To: r.team, Keys: stranger(), Paths: r.releases.Paths}}, r.Targets.Grants...)
			r.sign(r.team, r.evil)
			r.Next(r.Targets, r.team)
		}),
		taken("trap: a diamond, one side of which has a higher threshold", "403 "+short, func(r *tuf) {
			r.Targets.Grants = append([]*trusttest.Grant{{To: r.team, Keys: append(stranger(), r.team.Keys...), Threshold: 2, Paths: r.releases.Paths}}, r.Targets.Grants...)
			r.sign(r.team, r.evil)
			r.Next(r.Targets, r.team)
		}),
		taken("trap: a delegation that ends the search", "403 unsigned_tag", func(r *tuf) {
			r.Targets.Grants = append([]*trusttest.Grant{{To: r.team, Paths: r.releases.Paths, Terminating: true}}, r.Targets.Grants...)
			r.Next(r.Targets)
		}),
		taken("trap: roles in a circle", "200 good", func(r *tuf) {
			r.releases.Grants = append(r.releases.Grants, &trusttest.Grant{To: r.behind}, &trusttest.Grant{To: r.Targets, Paths: r.releases.Paths}, &trusttest.Grant{To: r.releases})
			r.behind.Grant(r.releases)
			r.Next(r.releases, r.behind)
		}),
		taken("trap: roles deeper than are walked", "403 "+invalid, func(r *tuf) {
			delete(r.releases.Entries, r.target)
			at := r.releases
			for n := range 33 {
				at = r.Delegate(at, fmt.Sprint("d", n), r.releases.Paths...)
			}
			r.sign(at, r.evil)
			r.Next(r.releases)
		}),
		taken("trap: a role that is called as the root is", "403 "+invalid, func(r *tuf) {
			r.Targets.Grants = append([]*trusttest.Grant{{To: &trusttest.Role{Name: "1.root", Keys: stranger()}, Threshold: 1, Paths: r.releases.Paths}}, r.Targets.Grants...)
			r.Next(r.Targets)
		}),
	}
}

// tufGenuine is what honest publishers make, and naive strictness would break.
func tufGenuine() []row[*tuf] {
	all := []row[*tuf]{
		taken("data that is renewed", "200 good", func(r *tuf) { r.renew() }),
		taken("timestamp and snapshot alone", "200 good", func(r *tuf) { r.Next() }),
		taken("white space at the end", "200 good", func(r *tuf) {
			r.Tamper(r.Targets, func(raw []byte) []byte { return append(raw, " \n"...) })
		}),
		taken("files without lengths and hashes", "200 good", func(r *tuf) { r.Bare = true; r.renew() }),
		taken("versions with gaps", "200 good", func(r *tuf) { r.Targets.Version += 7; r.releases.Version += 7; r.renew() }),
		taken("keys of two kinds", "200 good", func(r *tuf) {
			r.releases.Keys, r.releases.Threshold = append(stranger(), r.releases.Keys...), 2
			r.Next(r.Targets, r.releases)
		}),
		taken("one of several keys", "200 good", func(r *tuf) {
			r.releases.Signers = r.releases.Keys
			r.releases.Keys = append(stranger(), r.releases.Keys...)
			r.Next(r.Targets, r.releases)
		}),
		taken("a media type that is signed", "200 good", func(r *tuf) {
			r.releases.Entries[r.target] = trusttest.Entry{Digest: r.good.Digest, Length: int64(len(r.good.Manifest)), MediaType: r.good.MediaType}
			r.Next(r.releases)
		}),
		taken("a role with an odd name", "200 good", func(r *tuf) {
			r.sign(r.Delegate(r.releases, "../a b?#%/ü", r.releases.Paths...), r.good)
			delete(r.releases.Entries, r.target)
			r.Next(r.releases)
		}),
		taken("a role that passes a name over", "200 older", func(r *tuf) { delete(r.releases.Entries, r.target); r.Next(r.releases) }),
		{name: "one state at a time", before: func(r *tuf) { r.Consistent = false }, attack: func(r *tuf) { r.renew() }, cold: "200 good", check: "changed"},
	}
	for i := range all {
		all[i].name = "genuine: " + all[i].name
	}
	return all
}
