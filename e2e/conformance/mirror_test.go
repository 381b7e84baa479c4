package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// A row is something that a repository does, and what a client that has seen its first version makes of it.
type row struct {
	name string
	do   func(s *suite)
	// trusted are the versions that the client has then.
	trusted string
	refused bool
	// cold is for a client that has seen nothing.
	cold bool
	// last is what was asked for last, where that matters.
	last string
}

// run runs the row.
func (r row) run(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	if !r.cold {
		s.refreshes()
	}
	r.do(s)
	s.requests()
	if err := s.refresh(); (err != nil) != r.refused {
		t.Errorf("refused: %v", err)
	}
	if got := s.trusted(); got != r.trusted {
		t.Errorf("trusts %s, want %s", got, r.trusted)
	}
	if asked := s.requests(); r.last != "" && asked[len(asked)-1] != r.last {
		t.Errorf("asked for %v", asked)
	}
	if !r.refused {
		s.verbatim()
	}
}

// edit changes a role's next version before it is signed.
func edit(role func(s *suite) *trusttest.Role, change func(m map[string]any)) func(s *suite) {
	return func(s *suite) {
		role(s).Edit = change
		s.Next(s.Root, s.Targets)
	}
}

// member sets a member.
func member(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }

// file changes what timestamp or snapshot say of a file.
func file(name, what string, v any) func(map[string]any) {
	return func(m map[string]any) { m["meta"].(map[string]any)[name].(map[string]any)[what] = v }
}

func root(s *suite) *trusttest.Role      { return s.Root }
func timestamp(s *suite) *trusttest.Role { return s.Timestamp }
func snapshot(s *suite) *trusttest.Role  { return s.Snapshot }
func targets(s *suite) *trusttest.Role   { return s.Targets }

// unsigned publishes new versions of all, of which one has no signature.
func unsigned(role func(s *suite) *trusttest.Role) func(s *suite) {
	return func(s *suite) {
		role(s).Signers = []*trusttest.Key{}
		s.Next(s.Root, s.Targets)
	}
}

// TestBasic: each file is taken once it has verified, and what comes behind one that does not is not.
func TestBasic(t *testing.T) {
	wrong := map[string]any{"sha256": strings.Repeat("0", 64)}
	for _, r := range []row{
		{name: "nothing new", do: func(*suite) {}, trusted: "root=1 snapshot=1 targets=1 timestamp=1", last: "timestamp.json"},
		{name: "first use", cold: true, do: func(*suite) {}, trusted: "root=1 snapshot=1 targets=1 timestamp=1", last: "1.targets.json"},
		{name: "new versions", do: func(s *suite) { s.Next(s.Root, s.Targets) }, trusted: "root=2 snapshot=2 targets=2 timestamp=2"},
		{name: "without hashes", do: func(s *suite) { s.Bare = true; s.Next(s.Targets) }, trusted: "root=1 snapshot=2 targets=2 timestamp=2"},
		{name: "unsigned root", cold: true, refused: true, do: unsigned(root), trusted: "root=1"},
		{name: "unsigned timestamp", cold: true, refused: true, do: unsigned(timestamp), trusted: "root=2"},
		{name: "unsigned snapshot", cold: true, refused: true, do: unsigned(snapshot), trusted: "root=2 timestamp=2"},
		{name: "unsigned targets", cold: true, refused: true, do: unsigned(targets), trusted: "root=2 snapshot=2 timestamp=2"},
		{name: "another version of root", cold: true, refused: true, do: edit(root, member("version", 3)), trusted: "root=1"},
		{name: "another version of snapshot", cold: true, refused: true, do: edit(snapshot, member("version", 3)), trusted: "root=2 timestamp=2"},
		{name: "another version of targets", cold: true, refused: true, do: edit(targets, member("version", 3)), trusted: "root=2 snapshot=2 timestamp=2"},
		{name: "another hash of targets", refused: true, do: edit(snapshot, file("targets.json", "hashes", wrong)), trusted: "root=2 snapshot=2 targets=1 timestamp=2"},
		{name: "another hash of snapshot", refused: true, do: edit(timestamp, file("snapshot.json", "hashes", wrong)), trusted: "root=2 snapshot=1 targets=1 timestamp=2"},
		{name: "white space", do: func(s *suite) {
			s.Tamper(s.Timestamp, func(raw []byte) []byte { return append(raw, ' ') })
		}, trusted: "root=1 snapshot=2 targets=1 timestamp=2"},
		{name: "members that nobody knows", do: edit(root, func(m map[string]any) {
			m["custom-field"] = "value"
			for _, r := range m["roles"].(map[string]any) {
				r.(map[string]any)["another-field"] = map[string]any{"a": 1}
			}
		}), trusted: "root=2 snapshot=2 targets=2 timestamp=2"},
		{name: "an old member of keys", do: edit(root, func(m map[string]any) {
			for _, k := range m["keys"].(map[string]any) {
				k.(map[string]any)["keyid_hash_algorithms"] = "md5"
			}
		}), trusted: "root=2 snapshot=2 targets=2 timestamp=2"},
		{name: "no snapshot", refused: true, do: func(s *suite) { s.Interrupt(s.Snapshot) }, trusted: "root=1 snapshot=1 targets=1 timestamp=2", last: "2.snapshot.json"},
		{name: "no targets", refused: true, do: func(s *suite) { s.Interrupt(s.Targets) }, trusted: "root=1 snapshot=2 targets=1 timestamp=2", last: "2.targets.json"},
		{name: "no timestamp", refused: true, do: func(s *suite) { s.Remove("timestamp.json") }, trusted: "root=1 snapshot=1 targets=1 timestamp=1", last: "timestamp.json"},
		{name: "a snapshot for a timestamp", cold: true, refused: true, do: edit(timestamp, member("_type", "snapshot")), trusted: "root=2"},
	} {
		t.Run(r.name, r.run)
	}
}

// TestSameTimestamp: of one version, the first timestamp is kept.
func TestSameTimestamp(t *testing.T) {
	s := newSuite(t)
	s.refreshes()
	first := s.Files()["timestamp.json"]
	s.Timestamp.Version--
	s.Next(s.Targets)
	s.requests()
	s.refreshes()
	if got := s.requests(); !slices.Equal(got, []string{"2.root.json", "timestamp.json"}) || s.trusted() != "root=1 snapshot=1 targets=1 timestamp=1" {
		t.Errorf("asked for %v, trusts %s", got, s.trusted())
	}
	s.Serve(map[string][]byte{"timestamp.json": first, "1.root.json": s.Files()["1.root.json"]})
	s.refreshes()
}

// TestFirstRoot: a file that is no root, or that its keys have not signed, is not trusted, and nothing is asked for.
func TestFirstRoot(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"no version":        trusttest.Replace(`"version":1`, `"x":1`),
		"another signature": trusttest.Replace(`"sig":"`, `"sig":"00`),
	} {
		s := newSuite(t)
		s.init(change(bytes.Clone(s.Files()["1.root.json"])))
		if err := s.refresh(); err == nil || len(s.requests()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExpiration: what has expired when it comes is not taken, a root excepted, and what expires in hand can be renewed.
func TestExpiration(t *testing.T) {
	later := func(days int) time.Time { return now.AddDate(0, 0, days) }
	for _, r := range []row{
		{name: "root", refused: true, do: func(s *suite) { s.Expire(s.Root) }, trusted: "root=2 snapshot=1 targets=1 timestamp=1"},
		{name: "timestamp", refused: true, do: func(s *suite) { s.Expire(s.Timestamp) }, trusted: "root=1 snapshot=1 targets=1 timestamp=1"},
		{name: "snapshot", refused: true, do: func(s *suite) { s.Expire(s.Snapshot) }, trusted: "root=1 snapshot=1 targets=1 timestamp=2"},
		{name: "targets", refused: true, do: func(s *suite) { s.Expire(s.Targets) }, trusted: "root=1 snapshot=2 targets=1 timestamp=2"},
		{name: "root in hand", do: func(s *suite) {
			s.Root.Expires = later(7)
			s.Next(s.Root)
			s.refreshes()
			s.Now, s.Root.Expires, s.Timestamp.Expires = later(18), later(21), later(21)
			s.Next(s.Root)
		}, trusted: "root=3 snapshot=3 targets=1 timestamp=3"},
		{name: "root in hand, not renewed", refused: true, do: func(s *suite) {
			s.Root.Expires = later(7)
			s.Next(s.Root)
			s.refreshes()
			s.Now = later(8)
		}, trusted: "root=2 snapshot=2 targets=1 timestamp=2"},
		{name: "timestamp in hand", do: func(s *suite) {
			s.Now, s.Timestamp.Expires = later(18), later(21)
			s.Next(s.Targets)
		}, trusted: "root=1 snapshot=2 targets=2 timestamp=2"},
	} {
		t.Run(r.name, r.run)
	}
}

// TestRollback: no file is taken that is older than one that was seen, unless the keys that pushed the version up are
// gone.
func TestRollback(t *testing.T) {
	second := func(s *suite) { s.Next(s.Targets); s.refreshes() }
	pushed := func(role func(s *suite) *trusttest.Role) func(s *suite) {
		return func(s *suite) { role(s).Version = 99; s.Next(role(s)); s.refreshes() }
	}
	rows := []row{
		{name: "timestamp", refused: true, do: func(s *suite) { second(s); s.Rollback(s.Timestamp) }, trusted: "root=1 snapshot=2 targets=2 timestamp=2", last: "timestamp.json"},
		{name: "role leaves the snapshot", refused: true, do: func(s *suite) {
			role := s.Delegate(s.Targets, "role", "path/*")
			second(s)
			s.Hide(role)
		}, trusted: "root=1 snapshot=2 targets=2 timestamp=3"},
		{name: "targets recovers by the snapshot's key", do: func(s *suite) {
			role := s.Delegate(s.Targets, "role", "path/*")
			pushed(targets)(s)
			role.Hidden, s.Targets.Grants, s.Targets.Version = true, nil, 1
			s.Snapshot.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
			s.Next(s.Root)
		}, trusted: "root=2 snapshot=3 targets=1 timestamp=3"},
		{name: "snapshot recovers by its key and the timestamp's", do: func(s *suite) {
			pushed(snapshot)(s)
			s.Rekey(s.Snapshot, s.Timestamp)
		}, trusted: "root=2 snapshot=1 targets=1 timestamp=1"},
		{name: "timestamp recovers by its key", do: func(s *suite) { pushed(timestamp)(s); s.Rekey(s.Timestamp) }, trusted: "root=2 snapshot=3 targets=1 timestamp=1"},
	}
	for name, bare := range map[string]bool{"with hashes": false, "without hashes": true} {
		rows = append(rows,
			row{name: "snapshot " + name, refused: true, do: func(s *suite) { s.Bare = bare; second(s); s.Rollback(s.Snapshot) },
				trusted: "root=1 snapshot=2 targets=2 timestamp=2", last: "timestamp.json"},
			row{name: "targets " + name, refused: true, do: func(s *suite) { s.Bare = bare; second(s); s.Rollback(s.Targets) },
				trusted: "root=1 snapshot=2 targets=2 timestamp=3"})
	}
	for _, r := range rows {
		t.Run(r.name, r.run)
	}
}

// TestCommandLine: what it must say.
func TestCommandLine(t *testing.T) {
	s := newSuite(t)
	for _, args := range [][]string{
		{}, {"refresh"}, {"--metadata-dir", s.dir, "refresh"}, {"--metadata-dir", s.dir, "init"}, {"--metadata-dir", s.dir, "--metadata-url", s.url, "download"},
		{"--metadata-dir", s.dir, "--metadata-url", "::", "refresh"}, {"--metadata-dir", s.dir, "--metadata-url", s.url, "update"},
	} {
		if err := s.run(args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
