package tuf

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestUnsignedFiles: what a source can do without any key where nothing names the bytes. Each is refused, and nothing
// panics or takes long.
func TestUnsignedFiles(t *testing.T) {
	signatures := strings.Repeat(`{"keyid":"a","sig":"00"},`, maxSignatures+1)
	for name, body := range map[string]string{
		"null entry":         `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{"x":null}},"signatures":[]}`,
		"null hash":          `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{"x":{"hashes":null}}},"signatures":[]}`,
		"no entries":         `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z"},"signatures":[]}`,
		"many signatures":    `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{}},"signatures":[` + strings.TrimSuffix(signatures, ",") + `]}`,
		"signed twice":       `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{}},"Signed":{"_type":"targets","version":9},"signatures":[]}`,
		"array":              `[]`,
		"string":             `"x"`,
		"another type":       `{"signed":{"_type":"root","version":1},"signatures":[]}`,
		"no type":            `{"signed":{},"signatures":[]}`,
		"roles and succinct": `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{},"delegations":{"keys":{},"roles":[],"succinct_roles":{"bit_length":1,"name_prefix":"x","keyids":[],"threshold":1}}},"signatures":[]}`,
		"a wide succinct":    `{"signed":{"_type":"targets","version":1,"expires":"2036-01-01T00:00:00Z","targets":{},"delegations":{"keys":{},"succinct_roles":{"bit_length":32,"name_prefix":"x","keyids":[],"threshold":1}}},"signatures":[]}`,
	} {
		repo := newRepo()
		repo.Bare = true
		repo.Publish()
		files := repo.Files()
		files["1.targets.json"] = []byte(body)
		repo.Serve(files)
		_, err := rig(t, repo).open().Refresh(t.Context())
		want := trust.MetadataInvalid
		if name == "no entries" {
			want = trust.ThresholdNotMet
		}
		if err == nil || trust.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		} else if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 600 {
			t.Errorf("%s: %q", name, err)
		}
	}
}

// TestSizes: each kind of file has its limit, and all together have one.
func TestSizes(t *testing.T) {
	repo := newRepo()
	repo.Bare = true
	repo.Publish()
	limits := make(map[string]int64)
	w := rig(t, repo)
	w.source = sourceFunc(func(ctx context.Context, file string, limit int64) ([]byte, error) {
		limits[file] = limit
		return repo.Fetch(ctx, file, limit)
	})
	// One at a time, so that the map needs no lock.
	u := update{pin: w.pin, src: w.source, now: now}
	if err := u.walkRoots(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := u.timestamp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int64{"2.root.json": 512 << 10, "timestamp.json": 64 << 10, "1.snapshot.json": 3 << 20} {
		if limits[file] != want {
			t.Errorf("%s: at most %d bytes, want %d", file, limits[file], want)
		}
	}
	for _, c := range []struct {
		info  metadata.MetaFiles
		limit int64
	}{
		{metadata.MetaFiles{Version: 1}, 3 << 20}, {metadata.MetaFiles{Version: 1, Length: 100}, 100}, {metadata.MetaFiles{Version: 1, Length: 3<<20 + 1}, 0},
		{metadata.MetaFiles{Version: 1, Hashes: metadata.Hashes{"sha256": nil}}, 16 << 20}, {metadata.MetaFiles{Version: 1, Length: 16<<20 + 1, Hashes: metadata.Hashes{"sha256": nil}}, 0},
	} {
		delete(limits, "1.x.json")
		n := &node{name: "x"}
		if raw, err := u.roleFile(t.Context(), n, &c.info); raw != nil || err != nil || n.refusal == nil {
			t.Errorf("%+v: %v, %v", c.info, err, n.refusal)
		}
		if limits["1.x.json"] != c.limit {
			t.Errorf("%+v: asked for %d bytes, want %d", c.info, limits["1.x.json"], c.limit)
		}
	}
	big := sourceFunc(func(context.Context, string, int64) ([]byte, error) { return make([]byte, 16<<20), nil })
	u = update{src: big}
	for i := range 5 {
		if _, err := u.fetch(t.Context(), "x", 16<<20); (err == nil) != (i < 4) {
			t.Errorf("file %d: %v", i, err)
		}
	}
	u = update{src: big}
	if _, err := u.fetch(t.Context(), "x", 1<<20); trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("more than asked for: %v", err)
	}
}

type sourceFunc func(context.Context, string, int64) ([]byte, error)

func (f sourceFunc) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	return f(ctx, file, limit)
}

// TestRootWalk: where it ends.
func TestRootWalk(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	for _, c := range []struct {
		err  error
		want trust.Reason
	}{{fs.ErrNotExist, ""}, {fmt.Errorf("store: %w", fs.ErrPermission), ""}, {context.DeadlineExceeded, trust.SourceUnreachable}} {
		w.source = sourceFunc(func(ctx context.Context, file string, limit int64) ([]byte, error) {
			if file == "2.root.json" {
				return nil, c.err
			}
			return repo.Fetch(ctx, file, limit)
		})
		if _, err := w.open().Refresh(t.Context()); (err == nil) != (c.want == "") || err != nil && trust.ReasonOf(err) != c.want {
			t.Errorf("%v: %v", c.err, err)
		}
	}
	w.source = repo
	for range maxRotations {
		repo.Root.Version++
		repo.Publish()
	}
	repo.Next()
	v := w.open()
	if s := refreshed(t, v); s.Versions[0].Version != maxRotations+1 {
		t.Errorf("root v%d", s.Versions[0].Version)
	}
	for range maxRotations + 1 {
		repo.Root.Version++
		repo.Publish()
	}
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("without end: %v", err)
	}
}

// TestKeysThatCount: a claim names the keys that signed it, and bad ones beside them spoil nothing.
func TestKeysThatCount(t *testing.T) {
	repo := newRepo()
	releases := repo.Delegations[0]
	good := []*trusttest.Key{releases.Keys[0], trusttest.NewKey(trusttest.ECDSA)}
	stranger := trusttest.NewKey(trusttest.Ed25519)
	releases.Keys = append(good, trusttest.NewKey(trusttest.Ed25519), trusttest.NewKey(trusttest.Ed25519))
	releases.Signers = append(good, stranger, releases.Keys[2])
	// The last signature of all is spoilt.
	releases.Tamper = func(raw []byte) []byte {
		i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`)
		raw[i] = map[bool]byte{true: 'b', false: 'a'}[raw[i] == 'a']
		return raw
	}
	repo.Publish()
	s := refreshed(t, rig(t, repo).open())
	e := s.Lookup(app)
	if len(e.Claims) != 2 || len(e.Claims[0].Keys) != 2 {
		t.Fatalf("%+v", e)
	}
	for _, k := range good {
		if id := k.TUFID(); e.Claims[0].Keys[0] != id && e.Claims[0].Keys[1] != id {
			t.Errorf("%s does not count", id)
		}
	}
}

// TestNoThreshold: nobody's signature is never enough, whatever the library makes of it.
func TestNoThreshold(t *testing.T) {
	if _, err := (authority{}).verify("x", 1, nil, nil); err == nil || !strings.Contains(err.Error(), "threshold 0") {
		t.Error(err)
	}
}

// TestShare: names are parts of the file where they stand in it, and the same in any case.
func TestShare(t *testing.T) {
	for _, text := range []string{`{"a":1,"b":2,"c":3}`, `{"b":1,"a":2,"c":3}`, `{}`, `"a""c"`} {
		names := []string{"a", "b", "c"}
		share(names, text)
		if strings.Join(names, "") != "abc" {
			t.Errorf("%s: %q", text, names)
		}
	}
}

// FuzzFile: no bytes whatever make the readers panic, or believe a file to be of another type than it says.
func FuzzFile(f *testing.F) {
	repo := newRepo()
	repo.Publish()
	for _, raw := range repo.Files() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		parseRoot(raw)
		parseTimestamp(raw)
		parseSnapshot(raw)
		r, err := newRole("x", raw)
		if err != nil {
			return
		}
		if !bytes.Contains(raw, []byte("_type")) && !bytes.Contains(raw, []byte(`\u`)) {
			t.Errorf("%q is a targets file", raw)
		}
		r.covering("r.example/app:1", new(int64))
		for _, path := range r.paths {
			if said := r.find(path); len(said) != 1 || said[0].Target.Size < 1 && r.spoilt[path] == nil {
				t.Errorf("%q says %v of %q", raw, said, path)
			}
		}
	})
}
