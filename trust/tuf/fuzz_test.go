package tuf

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A reading is what encoding/json reads in the message that the signatures of a file cover. Only maps are used: into a
// struct it would also read members that are spelt in other letters.
type reading struct {
	t *testing.T
	m map[string]json.RawMessage
}

// readMessage returns the reading of what signatures cover; false if there is no such message, or it is no JSON because
// canonical JSON leaves control characters as they are.
func readMessage(t *testing.T, signed any) (reading, bool) {
	t.Helper()
	message, err := cjson.EncodeCanonical(signed)
	if err != nil || bytes.ContainsFunc(message, func(r rune) bool { return r < ' ' }) {
		return reading{}, false
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", message, err)
	}
	if ours := spell(v); ours != string(message) {
		t.Errorf("the message is %q, and by the definition %q", message, ours)
	}
	return reading{t: t}.read(message), true
}

// spell is canonical JSON by its definition: members by their bytes, no white space, nothing escaped but quotes and
// backslashes.
func spell(v any) string {
	switch v := v.(type) {
	case string:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, spell(e))
		}
		return "[" + strings.Join(all, ",") + "]"
	case map[string]any:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, spell(name)+":"+spell(v[name]))
		}
		return "{" + strings.Join(all, ",") + "}"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// read reads an object; without one, nothing.
func (r reading) read(raw json.RawMessage) reading {
	r.m = nil
	if len(raw) > 0 {
		r.into(raw, &r.m)
	}
	return r
}

func (r reading) into(raw json.RawMessage, v any) {
	r.t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		r.t.Errorf("%q was taken, and encoding/json says %v", raw, err)
	}
}

// at reads the value of a member; the zero value if there is none.
func at[T any](r reading, name string) T {
	r.t.Helper()
	var v T
	if raw, ok := r.m[name]; ok {
		r.into(raw, &v)
	}
	return v
}

// head holds what all roles share to the second reading.
func (r reading) head(kind string, version int64, expires time.Time) {
	r.t.Helper()
	if at[string](r, "_type") != kind || at[int64](r, "version") != version || !at[time.Time](r, "expires").Equal(expires) {
		r.t.Errorf("%q: %s v%d to %v for us", r.m, kind, version, expires)
	}
}

// hexes holds hashes to the second reading.
func (r reading) hexes(ours metadata.Hashes) {
	r.t.Helper()
	theirs := at[map[string]string](r, "hashes")
	if !maps.EqualFunc(ours, theirs, func(a metadata.HexBytes, b string) bool { return hex.EncodeToString(a) == strings.ToLower(b) }) {
		r.t.Errorf("hashes %v, and %v for us", theirs, ours)
	}
}

// meta holds the files that a document lists to the second reading.
func (r reading) meta(ours map[string]*metadata.MetaFiles) {
	r.t.Helper()
	all := r.read(r.m["meta"])
	if len(all.m) != len(ours) {
		r.t.Errorf("%d files, and %d for us", len(all.m), len(ours))
	}
	for name, f := range ours {
		info := r.read(all.m[name])
		if at[int64](info, "version") != f.Version || at[int64](info, "length") != f.Length {
			r.t.Errorf("%q is %q, and %+v for us", name, all.m[name], f)
		}
		info.hexes(f.Hashes)
	}
}

// authority holds the keys and the threshold of a role to the second reading.
func (r reading) authority(keys reading, ours authority) {
	r.t.Helper()
	if ids := at[[]string](r, "keyids"); !slices.Equal(ids, ours.ids) || at[int](r, "threshold") != ours.threshold {
		r.t.Errorf("%q, and %d of %q for us", r.m, ours.threshold, ours.ids)
	}
	for _, id := range ours.ids {
		k := ours.keys[id]
		if (k == nil) != (keys.m[id] == nil) {
			r.t.Errorf("key %q is %q, and %v for us", id, keys.m[id], k)
		}
		if k == nil {
			continue
		}
		said := r.read(keys.m[id])
		value := r.read(said.m["keyval"])
		if at[string](said, "keytype") != k.Type || at[string](said, "scheme") != k.Scheme || at[string](value, "public") != k.Value.PublicKey {
			r.t.Errorf("key %q is %q, and %+v for us", id, keys.m[id], k)
		}
	}
}

// targets holds a file of targets to the second reading.
func (r reading) targets(ours *role) {
	r.t.Helper()
	r.head(metadata.TARGETS, ours.version, ours.expires)
	entries := r.read(r.m["targets"])
	if len(entries.m) != len(ours.paths) {
		r.t.Errorf("%d entries, and %d for us", len(entries.m), len(ours.paths))
	}
	for path, raw := range entries.m {
		e := r.read(raw)
		claims := ours.find(path)
		if len(claims) != 1 {
			r.t.Errorf("%q is %d claims for us", path, len(claims))
			continue
		}
		if ours.spoilt[path] != nil {
			continue
		}
		sums := at[map[string]string](e, "hashes")
		want := trust.Target{
			Digest: digest.NewDigestFromEncoded(digest.SHA256, strings.ToLower(sums["sha256"])), Size: at[int64](e, "length"),
			Exact: true, SHA512: strings.ToLower(sums["sha512"]), MediaType: mediaType(e.m["custom"]),
		}
		if got := claims[0].Target; got != want {
			r.t.Errorf("%q is %+v, and %+v for us", path, want, got)
		}
	}
	r.delegations(ours)
}

// mediaType returns the media type in what a publisher keeps beside an entry, which need not be an object.
func mediaType(custom json.RawMessage) string {
	var all map[string]json.RawMessage
	var text string
	if json.Unmarshal(custom, &all) == nil && json.Unmarshal(all["mediaType"], &text) == nil {
		return text
	}
	return ""
}

// delegations holds the delegations of a role, in their order, to the second reading.
func (r reading) delegations(ours *role) {
	r.t.Helper()
	d := r.read(r.m["delegations"])
	keys := r.read(d.m["keys"])
	if ours.bins != nil {
		s := r.read(d.m["succinct_roles"])
		if n := 1 << at[int](s, "bit_length"); n != len(ours.delegations) || !strings.HasPrefix(ours.delegations[n-1].Name, at[string](s, "name_prefix")+"-") {
			r.t.Errorf("%q, and %d bins for us", s.m, len(ours.delegations))
		}
		s.authority(keys, ours.authority(0))
		return
	}
	roles := at[[]json.RawMessage](d, "roles")
	if len(roles) != len(ours.delegations) {
		r.t.Fatalf("%d delegations, and %d for us", len(roles), len(ours.delegations))
	}
	for i, raw := range roles {
		said, d := r.read(raw), ours.delegations[i]
		if at[string](said, "name") != d.Name || at[bool](said, "terminating") != d.Terminating ||
			!slices.Equal(at[[]string](said, "paths"), d.Paths) || !slices.Equal(at[[]string](said, "path_hash_prefixes"), d.PathHashPrefixes) {
			r.t.Errorf("%q, and %+v for us", raw, d)
		}
		said.authority(keys, ours.authority(i))
	}
}

// secondReading holds what the readers take of a file to the second reading of it.
func secondReading(t *testing.T, raw []byte) {
	t.Helper()
	if md, err := parseRoot(raw); err == nil {
		if r, ok := readMessage(t, md.Signed); ok {
			r.head(metadata.ROOT, md.Signed.Version, md.Signed.Expires)
			keys, roles := r.read(r.m["keys"]), r.read(r.m["roles"])
			for _, name := range metadata.TOP_LEVEL_ROLE_NAMES {
				r.read(roles.m[name]).authority(keys, rootAuthority(md, name))
			}
			if at[bool](r, "consistent_snapshot") != md.Signed.ConsistentSnapshot {
				t.Errorf("%q: consistent_snapshot is %v for us", r.m, md.Signed.ConsistentSnapshot)
			}
		}
	}
	if md, err := parseTimestamp(raw); err == nil {
		if r, ok := readMessage(t, md.Signed); ok {
			r.head(metadata.TIMESTAMP, md.Signed.Version, md.Signed.Expires)
			r.meta(md.Signed.Meta)
		}
	}
	if md, err := parseSnapshot(raw); err == nil {
		if r, ok := readMessage(t, md.Signed); ok {
			r.head(metadata.SNAPSHOT, md.Signed.Version, md.Signed.Expires)
			r.meta(md.Signed.Meta)
		}
	}
	if role, err := newRole("x", raw); err == nil {
		if r, ok := readMessage(t, role.md.Signed); ok {
			r.targets(role)
		}
	}
}

// FuzzSecondReading: whatever the readers take, encoding/json reads the same in the message that the signatures cover, and
// that message is canonical by a second implementation: no signer can have meant another document. The inputs are files of
// genuine shape of which a part is replaced.
func FuzzSecondReading(f *testing.F) {
	repo := newRepo()
	repo.Targets.Entries["r.example/typed:1"] = trusttest.Entry{Digest: digest.FromString("typed"), Length: 5, MediaType: "a/b"}
	repo.Publish()
	var files [][]byte
	for _, name := range slices.Sorted(maps.Keys(repo.Files())) {
		files = append(files, repo.Files()[name])
	}
	const bins = `"delegations":{"keys":{},"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":2,"name_prefix":"b"}},`
	for i, raw := range files {
		f.Add(uint8(i), uint16(0), uint16(0), "")
		inside := uint16(bytes.Index(raw, []byte(`"signed":{`)) + len(`"signed":{`))
		for _, text := range []string{
			`"Version":9,`, `"EXPIRES":"2030-01-01T00:00:00.5+01:00",`, `"met\u0061":{},`, `"Targets":{"x":{"length":1,"hashes":{"sha256":"00"},"custom":{"mediaType":"a"}}},`,
			`"DELEGATIONS":{"keys":{},"roles":[{"name":"x","keyids":["a","a"],"threshold":2,"terminating":true,"PATHS":["*"]}]},`, bins, strings.ToUpper(bins), `"Consistent_Snapshot":false,`, `"x":{"<":"\u2028"},`,
		} {
			f.Add(uint8(i), inside, uint16(0), text)
		}
	}
	f.Fuzz(func(t *testing.T, file uint8, from, cut uint16, text string) {
		raw := files[int(file)%len(files)]
		begin := min(int(from), len(raw))
		end := min(begin+int(cut), len(raw))
		secondReading(t, slices.Concat(raw[:begin], []byte(text), raw[end:]))
	})
}

// FuzzIndex: delegations are found for a name exactly where the library finds them, in the order of the file; and a path
// selects no name that differs from it before the first wildcard, or in how many parts it has.
func FuzzIndex(f *testing.F) {
	for _, c := range [][4]string{
		{"a/b:*", "a/*", "*/*:*", "a/b:1"}, {"a/[bc]:?", `a/b\:1`, "a/[", "a/c:1"}, {"r.example/app*:*", "r.example/app:*", "", "r.example/app-evil:1"}, {"**", "*", "a//b", "a"},
	} {
		f.Add(c[0], c[1], c[2], c[3])
	}
	f.Fuzz(func(t *testing.T, a, b, c, name string) {
		roles := []metadata.DelegatedRole{{Name: "x", Paths: []string{a, b}}, {Name: "y", Paths: []string{c}}}
		x := newIndex(roles)
		got := x.covering(name, new(int64))
		var want []int
		for i, d := range roles {
			if ok, err := d.IsDelegatedPath(name); ok && err == nil {
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q and %q for %q: %v, the library says %v", roles[0].Paths, roles[1].Paths, name, got, want)
		}
		if literal, _, _ := strings.Cut(c, "*"); slices.Contains(got, 1) && !strings.ContainsAny(c, `?[\`) &&
			(!strings.HasPrefix(name, literal) || strings.Count(name, "/") != strings.Count(c, "/")) {
			t.Errorf("%q is for %q", c, name)
		}
	})
}
