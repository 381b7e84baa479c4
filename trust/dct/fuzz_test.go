package dct

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// An agreement is what encoding/json reads in the message of a document. Only maps are used: into a struct it would also
// read members that are spelt in other letters.
type agreement struct {
	t *testing.T
	m map[string]json.RawMessage
}

// read reads an object with encoding/json; without one, nothing.
func (a agreement) read(raw json.RawMessage) agreement {
	a.m = nil
	if len(raw) > 0 {
		a.into(raw, &a.m)
	}
	return a
}

func (a agreement) into(raw json.RawMessage, v any) {
	a.t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		a.t.Errorf("%q was taken, and encoding/json says %v", raw, err)
	}
}

// at reads the value of a member into v, which stays as it is if there is none.
func (a agreement) at(name string, v any) {
	a.t.Helper()
	if raw, ok := a.m[name]; ok {
		a.into(raw, v)
	}
}

// head holds what all roles share to the second reading, and returns that.
func (a agreement) head(d *document, typ string) agreement {
	a.t.Helper()
	a = a.read(d.message)
	var got string
	var version int64
	var expires time.Time
	a.at("_type", &got)
	a.at("version", &version)
	a.at("expires", &expires)
	if got != typ || version != d.version || !expires.Equal(d.expires) {
		a.t.Errorf("%q: %s v%d to %v, and v%d to %v for us", d.message, got, version, expires, d.version, d.expires)
	}
	return a
}

// targets holds the entries and delegations of a role to the second reading.
func (a agreement) targets(ts *targets) {
	a.t.Helper()
	a = a.head(ts.document, "Targets")
	entries := a.read(a.m["targets"])
	if len(entries.m) != len(ts.entries) {
		a.t.Errorf("%q: %d entries, not %d", ts.message, len(ts.entries), len(entries.m))
	}
	for name, raw := range entries.m {
		want := entry{}
		e := entries.read(raw)
		var length json.Number
		if e.m["length"] != nil && json.Unmarshal(e.m["length"], &length) == nil && e.m["length"][0] != '"' {
			n, _ := length.Int64()
			want.length = max(0, n)
		}
		var text string
		if sum := e.read(e.m["hashes"]).m["sha256"]; sum != nil && json.Unmarshal(sum, &text) == nil {
			if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == 32 {
				want.digest = digest.NewDigestFromBytes(digest.SHA256, b)
			}
		}
		if got := ts.entries[name]; got != want {
			a.t.Errorf("%q: %q is %v, and %v for us", ts.message, name, want, got)
		}
	}
	a.delegations(ts)
}

// delegations holds the delegations of a role, in their order, to the second reading.
func (a agreement) delegations(ts *targets) {
	a.t.Helper()
	d := a.read(a.m["delegations"])
	var roles []json.RawMessage
	d.at("roles", &roles)
	if len(roles) != len(ts.children) {
		a.t.Fatalf("%q: %d delegations, not %d", ts.message, len(ts.children), len(roles))
	}
	for i, raw := range roles {
		r := d.read(raw)
		var name string
		var paths []string
		r.at("name", &name)
		r.at("paths", &paths)
		if c := ts.children[i]; c.role != name || !slices.Equal(c.paths, paths) {
			a.t.Errorf("%q: %q for %q, and %q for %q for us", ts.message, name, paths, c.role, c.paths)
		}
		a.authority(r, ts.children[i].by)
	}
}

// authority holds the keys and the threshold of a role to the second reading.
func (a agreement) authority(r agreement, by authority) {
	a.t.Helper()
	var ids []string
	var threshold int64
	r.at("keyids", &ids)
	r.at("threshold", &threshold)
	slices.Sort(ids)
	if got := slices.Sorted(maps.Keys(by.keys)); !slices.Equal(got, slices.Compact(ids)) || int64(by.threshold) != threshold {
		a.t.Errorf("%d of %q, and %d of %q for us", threshold, ids, by.threshold, got)
	}
}

// listed holds the files that a document lists to the second reading.
func (a agreement) listed(ours map[string]fileinfo) {
	a.t.Helper()
	meta := a.read(a.m["meta"])
	for name, f := range ours {
		info := a.read(meta.m[name])
		var length int64
		var hashes map[string][]byte
		info.at("length", &length)
		info.at("hashes", &hashes)
		if f.length != length || !maps.EqualFunc(f.hashes, hashes, bytes.Equal) {
			a.t.Errorf("%q is %d %x, and %d %x for us", name, length, hashes, f.length, f.hashes)
		}
	}
}

// FuzzSecondReading: whatever the parsers take, encoding/json reads the same in the message that the signatures cover: no
// signer can have meant another document. The inputs are genuine files of which a part is replaced.
func FuzzSecondReading(f *testing.F) {
	var files [][]byte
	for _, name := range []string{"root", "timestamp", "snapshot", "targets", "targets/releases"} {
		raw, err := os.ReadFile(filepath.Join("testdata/b-releases-signer/tuf", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, raw)
	}
	for i := range files {
		f.Add(uint8(i), uint16(0), uint16(0), "")
		f.Add(uint8(i), uint16(10), uint16(0), `"version":1,`)
		f.Add(uint8(i), uint16(11), uint16(0), `"Targets":{},"targets":{"a":{"length":1,"hashes":{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}},`)
		f.Add(uint8(i), uint16(11), uint16(0), `"delegations":{"keys":{},"roles":[{"name":"targets/a","keyids":[],"threshold":1,"paths":["a",""]}]},`)
		f.Add(uint8(i), uint16(11), uint16(0), `"met\u0061":{"root":null},`)
	}
	f.Fuzz(func(t *testing.T, file uint8, from, cut uint16, text string) {
		raw := files[int(file)%len(files)]
		begin := min(int(from), len(raw))
		end := min(begin+int(cut), len(raw))
		raw = slices.Concat(raw[:begin], []byte(text), raw[end:])
		a := agreement{t: t}
		for _, role := range []string{"targets", "targets/releases"} {
			if ts, err := parseTargets(role, raw); err == nil && readable(ts.message) {
				a.targets(ts)
			}
		}
		if r, err := parseRoot("127.0.0.1:25500/dct/released", raw); err == nil && readable(r.message) {
			roles := a.head(r.document, "Root")
			roles = roles.read(roles.m["roles"])
			for role, by := range r.roles {
				a.authority(roles.read(roles.m[role]), by)
			}
		}
		if s, err := parseSnapshot(raw); err == nil && readable(s.message) {
			a.head(s.document, "Snapshot").listed(s.meta)
		}
		if ts, err := parseTimestamp(raw); err == nil && readable(ts.message) {
			a.head(ts.document, "Timestamp").listed(map[string]fileinfo{"snapshot": ts.snapshot})
		}
	})
}

// readable tells whether canonical JSON is JSON: it leaves control characters as they are.
func readable(message []byte) bool {
	return !bytes.ContainsFunc(message, func(r rune) bool { return r < 0x20 })
}
