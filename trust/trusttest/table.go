package trusttest

import (
	"bytes"
	"errors"
	"slices"
)

// An attack is made on one role after another.
type attack func(s Subject, role *Role)

// verb makes an attack of a method.
func verb(f func(r *Repository, role *Role)) attack {
	return func(s Subject, role *Role) { f(s.Repository, role) }
}

// tampered makes an attack of a change after signing.
func tampered(change func([]byte) []byte) attack {
	return func(s Subject, role *Role) { s.Tamper(role, change) }
}

// edited makes an attack of a change before signing.
func edited(change func(signed map[string]any)) attack {
	return func(s Subject, role *Role) {
		role.Edit = change
		s.Next(role)
	}
}

// role returns the role of the name; releases is the delegated one that signs the target.
func (s Subject) role(name string) *Role {
	i := slices.IndexFunc([]*Role{s.Root, s.Timestamp, s.Snapshot, s.Targets}, func(r *Role) bool { return r.Name == name })
	if i < 0 {
		return s.Delegations[0]
	}
	return []*Role{s.Root, s.Timestamp, s.Snapshot, s.Targets}[i]
}

// each returns one row for each of the roles. Root means the next one.
func each(what string, a attack, expect row, roles ...string) []row {
	var rows []row
	for _, name := range roles {
		w := expect
		w.name = name + " " + what
		w.attack = func(s Subject) { a(s, s.role(name)) }
		if w.back == "" && name != "root" && name != "timestamp" {
			w.back = rollback // the timestamp is a newer one, and verified
		}
		rows = append(rows, w)
	}
	return rows
}

// rollback is what going back comes to.
const rollback = "refused metadata_rollback"

// refused is for what the whole repository rests on, denied for what only names do.
func refused(reason string) row { return row{want: "refused " + reason} }
func denied(reason string) row  { return row{want: "denied " + reason} }

// spoils is for a broken delegated role: the names that it speaks for are refused in a TUF repository, which may hold
// those of many teams; a Notary repository is one image's, and is refused whole.
func spoils(reason string) row { return row{want: "refused " + reason, tuf: "denied " + reason} }

// lost is for a delegated role's file that the source has lost, or gives another for: nobody signed that. Whoever has seen
// the role keeps what it has; who has not knows that the names it speaks for are refused.
func lost(reason string) row { return row{want: "refused " + reason, tufCold: "denied " + reason} }

// table returns all attacks.
func table() []row {
	timeless := slices.Concat(signatures(), documents(), contents())
	for i := range timeless {
		timeless[i].timeless = true
	}
	return slices.Concat(timeless, versions(), sets(), servers(), roots(), recoveries(), names())
}

// signatures are those of the wrong keys, or of too few.
func signatures() []row {
	const short = "refused threshold_not_met"
	var all []row
	add := func(what string, a attack, expect row, roles ...string) {
		all = append(all, each(what, a, expect, roles...)...)
	}
	for _, c := range []struct {
		what string
		verb func(*Repository, *Role)
		back string // of the timestamp: a root that verified asks for other signatures now
	}{
		{"by other keys", (*Repository).Impersonate, ""}, {"without signature", (*Repository).StripSignature, ""}, {"one signature short", (*Repository).FallShort, short},
		{"with one key under two ids", (*Repository).CountAlias, short}, {"by a key that was revoked", (*Repository).Revoke, short},
	} {
		add(c.what, verb(c.verb), row{want: short, back: c.back}, "timestamp")
		add(c.what, verb(c.verb), row{want: short}, "snapshot", "targets")
		add(c.what, verb(c.verb), denied("threshold_not_met"), "releases")
	}
	add("by other keys", verb((*Repository).Impersonate), refused("root_mismatch"), "root")
	add("without signature", verb((*Repository).StripSignature), refused("root_mismatch"), "root")
	add("one signature short", verb((*Repository).FallShort), refused("threshold_not_met"), "root")
	add("with two signatures of two", verb((*Repository).Cosign), row{want: "good"}, "root", "timestamp", "snapshot", "targets", "releases")
	// Two signatures under one id make a TUF file a broken one.
	twice := verb((*Repository).CountTwice)
	add("with one key counted twice", twice, row{want: short, tuf: "refused metadata_invalid"}, "root")
	add("with one key counted twice", twice, row{want: short, tuf: "refused metadata_invalid", back: short}, "timestamp")
	add("with one key counted twice", twice, row{want: short, tuf: "refused metadata_invalid"}, "snapshot", "targets")
	add("with one key counted twice", twice, row{want: "denied threshold_not_met", tuf: "denied metadata_invalid"}, "releases")
	// In a Notary file, who delegates without a threshold is broken; TUF names are only those of the delegated role.
	add("without threshold", verb((*Repository).DropThreshold), row{want: "refused metadata_invalid", back: "good"}, "timestamp", "snapshot", "targets")
	add("without threshold", verb((*Repository).DropThreshold), spoils("metadata_invalid"), "releases")
	// The TUF library only counts the signatures that verify. Cold, a Notary source is asked for its newest root first.
	for _, c := range []struct {
		what string
		a    attack
	}{
		{"with a spoilt signature", verb((*Repository).SpoilSignature)}, {"changed after signing", tampered(Replace(`"expires":"2`, `"expires":"3`))},
	} {
		add(c.what, c.a, row{want: "refused signature_invalid", tuf: "refused threshold_not_met"}, "timestamp", "snapshot", "targets")
		add(c.what, c.a, row{want: "denied signature_invalid", tuf: "denied threshold_not_met"}, "releases")
		add(c.what, c.a, row{want: "refused root_mismatch", cold: "refused signature_invalid", tufCold: "refused root_mismatch"}, "root")
	}
	return all
}

// documents are files that two readers would read differently, or none at all.
func documents() []row {
	text := func(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }
	after := func(s string) func([]byte) []byte { return func(raw []byte) []byte { return append(raw, s...) } }
	all := each("with white space after it", tampered(after(" \n")), row{want: "good"}, "root", "timestamp", "snapshot", "targets", "releases")
	for _, c := range []struct {
		what   string
		change func([]byte) []byte
	}{
		{"cut off", func(raw []byte) []byte { return raw[:len(raw)/2] }},
		{"blank", text(" ")},
		{"null", text("null")},
		{"a web page", text("<html>log in</html>")},
		{"nested without end", text(string(bytes.Repeat([]byte("["), 60<<10)))},
		{"with data after it", after("{}")},
		{"with a duplicate member", Replace(`{"signed":{`, `{"signed":{"_type":"x",`)},
		{"with a duplicate in other words", Replace(`{"signed":{`, `{"signed":{"\u005ftype":"x",`)},
		{"with a duplicate beside signed", Replace(`"signatures":`, `"signatures":[],"signatures":`)},
		{"not in UTF-8", Replace(`{"signed":{`, "{\"signed\":{\"\xff\":1,")},
		{"with null for signed", Replace(`{"signed":{`, `{"signed":null,"x":{`)},
		{"with null for a signature", Replace(`"signatures":[`, `"signatures":[null,`)},
		{"with a fraction for a version", Replace(`"version":`, `"version":1.5,"x":`)},
	} {
		all = append(all, each(c.what, tampered(c.change), refused("metadata_invalid"), "root", "timestamp", "snapshot", "targets")...)
		all = append(all, each(c.what, tampered(c.change), spoils("metadata_invalid"), "releases")...)
	}
	return all
}

// contents are signed, and wrong.
func contents() []row {
	var all []row
	add := func(what string, change func(map[string]any), expect row, roles ...string) {
		all = append(all, each(what, edited(change), expect, roles...)...)
	}
	set := func(member string, v any) func(map[string]any) { return func(m map[string]any) { m[member] = v } }
	null := func(member, name string) func(map[string]any) {
		return func(m map[string]any) { m[member].(map[string]any)[name] = nil }
	}
	for _, c := range []struct {
		what   string
		change func(map[string]any)
	}{
		{"of version zero", set("version", 0)}, {"of a negative version", set("version", -1)}, {"that never expires", set("expires", nil)},
		{"of another role's type", func(m map[string]any) {
			m["_type"] = map[any]string{"root": "targets", "timestamp": "snapshot", "snapshot": "timestamp", "targets": "snapshot",
				"Root": "Targets", "Timestamp": "Snapshot", "Snapshot": "Timestamp", "Targets": "Snapshot"}[m["_type"]]
		}},
	} {
		add(c.what, c.change, refused("metadata_invalid"), "root", "timestamp", "snapshot", "targets")
		add(c.what, c.change, spoils("metadata_invalid"), "releases")
	}
	add("with null for an entry", null("targets", "x"), refused("metadata_invalid"), "targets")
	add("with null for an entry", null("targets", "x"), spoils("metadata_invalid"), "releases")
	add("with null for a file", null("meta", "targets/x"), refused("metadata_invalid"), "snapshot")
	add("with null for all files", func(m map[string]any) {
		for name := range m["meta"].(map[string]any) {
			m["meta"].(map[string]any)[name] = nil
		}
	}, refused("metadata_invalid"), "timestamp", "snapshot")
	add("that names no file", set("meta", map[string]any{}), refused("metadata_invalid"), "timestamp", "snapshot")
	add("with null for a key", null("keys", "x"), refused("metadata_invalid"), "root")
	add("with null for a role", null("roles", "snapshot"), refused("metadata_invalid"), "root")
	// Notary's files have hashes in their names, and no versions.
	other := func(m map[string]any) { m["version"] = m["version"].(int64) + 1 }
	add("of another version than its name", other, row{want: "good", tuf: "refused metadata_invalid"}, "snapshot", "targets")
	add("of another version than its name", other, row{want: "good", tuf: "denied metadata_invalid"}, "releases")
	return all
}

// servers are those that do not answer, or do not end.
func servers() []row {
	all := []row{
		{name: "repository vanishes", attack: func(s Subject) { s.Serve(nil) }, want: "refused no_trust_data"},
		{name: "timestamp vanishes", attack: func(s Subject) { s.Remove("timestamp.json") }, want: "refused no_trust_data"},
		{name: "source goes down", attack: func(s Subject) { s.Fail(errors.New("connection refused")) }, want: "refused source_unreachable"},
	}
	all = append(all, each("without end", verb((*Repository).Flood), refused("metadata_invalid"), "root", "timestamp", "snapshot", "targets")...)
	all = append(all, each("without end", verb((*Repository).Flood), lost("metadata_invalid"), "releases")...)
	stall := func(s Subject, role *Role) { s.Stall(role, s.stop) }
	return append(all, each("never sent", stall, refused("source_unreachable"), "root", "timestamp", "snapshot", "targets", "releases")...)
}
