package dct

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
)

// fixtureTime is the clock at which all files in testdata are meant to be read.
var fixtureTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// dirSource is a folder of files under the paths that a client asks for, as a real server published them.
type dirSource struct {
	dir   string
	asked []string
}

func (s *dirSource) Fetch(_ context.Context, file string, limit int64) ([]byte, error) {
	s.asked = append(s.asked, file)
	raw, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(file)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if int64(len(raw)) > limit {
		return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: file + " is too large"}
	}
	return raw, err
}

// expected is what the genuine client library made of a fixture.
type expected struct {
	GUN             string                     `json:"gun"`
	Versions        map[string]int64           `json:"versions"`
	DockerPull      map[string]json.RawMessage `json:"docker_pull_result"`
	RootKeys        []string                   `json:"root_key_ids"`
	RootCanonical   []string                   `json:"root_canonical_key_ids"`
	InvalidRoles    []string                   `json:"roles_present_but_invalid"`
	TargetsByRole   map[string]map[string]pull `json:"targets_by_role"`
	RequestsColdRun []string                   `json:"http_requests_made_cold_cache"`
}

type pull struct {
	SHA256 string `json:"sha256"`
	Length int64  `json:"length"`
	Role   string `json:"role"`
}

func readExpected(t *testing.T, fixture string) expected {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", fixture, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e expected
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// A world is a format with one pin for everything, over a folder, with a state folder of its own.
type world struct {
	t      *testing.T
	src    *dirSource   // source, if it is a folder
	source trust.Source // what verifiers ask
	pin    Pin
	now    time.Time
	store  *state.Store
	dir    string
	events []trust.Event
	gun    string
}

func newWorld(t *testing.T, fixture string, pin Pin) *world {
	t.Helper()
	w := &world{t: t, pin: pin, now: fixtureTime, gun: readExpected(t, fixture).GUN}
	w.serve(fixture)
	w.keep()
	return w
}

// keep gives the world a fresh state folder.
func (w *world) keep() {
	w.t.Helper()
	w.dir = w.t.TempDir()
	store, err := state.Open(w.t.Context(), state.Options{Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { store.Close() })
	w.store = store
}

// serve makes the source answer from another fixture.
func (w *world) serve(fixture string) {
	w.src = &dirSource{dir: filepath.Join("testdata", fixture, "tuf")}
	w.source = w.src
}

// open returns a verifier as after a start of the process.
func (w *world) open() trust.Verifier {
	w.t.Helper()
	all, err := names.ParseMatch("**")
	if err != nil {
		w.t.Fatal(err)
	}
	var pins names.Index[Pin]
	pins.Add(all, w.pin)
	f, err := New(Options{
		Source: "fixtures", GUN: "{name}", Pins: pins, State: w.store,
		Fetcher: func(string) trust.Source {
			return fetch(func(ctx context.Context, file string, limit int64) ([]byte, error) {
				return w.source.Fetch(ctx, file, limit)
			})
		},
		Now:     func() time.Time { return w.now },
		Observe: func(e trust.Event) { w.events = append(w.events, e) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return f.Open(w.gun)
}

type fetch func(context.Context, string, int64) ([]byte, error)

func (f fetch) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	return f(ctx, file, limit)
}

// released returns the target that an entry releases, if it does.
func released(e trust.Entry) (trust.Target, string, bool) {
	for _, c := range e.Claims {
		if c.Released && e.Refusal == nil {
			return c.Target, c.Role, true
		}
	}
	return trust.Target{}, "", false
}

func genuine(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*/expected.json")
	if err != nil || len(dirs) < 17 {
		t.Fatalf("%d fixtures, %v", len(dirs), err)
	}
	for i := range dirs {
		dirs[i] = filepath.Base(filepath.Dir(dirs[i]))
	}
	return dirs
}

// TestGenuine holds the verifier to what the genuine client makes of genuine data.
func TestGenuine(t *testing.T) {
	for _, fixture := range genuine(t) {
		t.Run(fixture, func(t *testing.T) {
			want := readExpected(t, fixture)
			for name, pin := range map[string]Pin{
				"tofu": {TOFU: true}, "root key id": {Keys: want.RootKeys}, "canonical id": {Keys: want.RootCanonical},
			} {
				w := newWorld(t, fixture, pin)
				v := w.open()
				s, err := v.Refresh(t.Context())
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				checkSnapshot(t, name, s, want)
				again, err := w.open().Load(t.Context())
				if err != nil {
					t.Fatalf("%s: load: %v", name, err)
				}
				checkSnapshot(t, name+" loaded", again, want)
			}
		})
	}
}

func checkSnapshot(t *testing.T, name string, s *trust.Snapshot, want expected) {
	t.Helper()
	got := make(map[string]int64)
	for _, v := range s.Versions {
		got[v.Role] = v.Version
	}
	for role, version := range want.Versions {
		if got[role] != version {
			t.Errorf("%s: %s is v%d, want v%d", name, role, got[role], version)
		}
	}
	for tag, raw := range want.DockerPull {
		target, role, ok := released(s.Lookup(tag))
		var p pull
		if json.Unmarshal(raw, &p) != nil {
			if ok {
				t.Errorf("%s: %s is released by %s as %s, want %s", name, tag, role, target.Digest, raw)
			}
			continue
		}
		if !ok || target.Digest.Encoded() != p.SHA256 || role != p.Role || target.Size != p.Length {
			t.Errorf("%s: %s = %v by %q, want %+v", name, tag, target, role, p)
		}
	}
	for role, entries := range want.TargetsByRole {
		for tag, p := range entries {
			// A claim that no parent grants does not count, as the genuine client says in its own words.
			granted := !strings.Contains(string(want.DockerPull[tag]), "No valid trust data")
			if got := slices.ContainsFunc(s.Entries[tag].Claims, func(c trust.Claim) bool { return c.Role == role && c.Target.Digest.Encoded() == p.SHA256 }); got != granted {
				t.Errorf("%s: claim of %s for %s: %v, want %v", name, role, tag, got, granted)
			}
		}
	}
	if _, _, ok := released(s.Lookup("never-signed")); ok {
		t.Errorf("%s: a tag that nobody signed is released", name)
	}
}

// TestColdRequests counts what a cold check asks: nothing that the genuine client would not ask, but for the next root.
func TestColdRequests(t *testing.T) {
	for _, fixture := range []string{"a-simple-targets", "b-releases-signer"} {
		want := readExpected(t, fixture).RequestsColdRun
		w := newWorld(t, fixture, Pin{TOFU: true})
		v := w.open()
		if _, err := v.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		asked := slices.DeleteFunc(slices.Clone(w.src.asked), func(f string) bool { return f == "2.root.json" })
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked %v, want %v", fixture, asked, want)
		}
		w.src.asked = nil
		if _, err := v.Refresh(t.Context()); err != nil || !slices.Equal(w.src.asked, []string{"timestamp.json"}) {
			t.Errorf("%s: unchanged refresh asked %v, %v", fixture, w.src.asked, err)
		}
	}
}

// TestAttacks gives each synthetic document the strict verdict that its README names.
func TestAttacks(t *testing.T) {
	for _, c := range []struct {
		fixture string
		refresh trust.Reason // the whole repository is refused
		tags    map[string]trust.Reason
		good    map[string]string
	}{
		{fixture: "x1-duplicate-key-injection", refresh: trust.MetadataInvalid},
		{fixture: "x10-snapshot-sha256-only", good: map[string]string{"v1": good}},
		{fixture: "x12-releases-wrong-signer", tags: map[string]trust.Reason{"v1": trust.SignatureInvalid, "other": trust.SignatureInvalid}},
		{fixture: "x14-trailing-garbage-after-json", good: map[string]string{"v1": good}},
		{fixture: "x2-expired-root", refresh: trust.MetadataExpired},
		{fixture: "x2-expired-snapshot", refresh: trust.MetadataExpired},
		{fixture: "x2-expired-targets", refresh: trust.MetadataExpired},
		{fixture: "x2-expired-timestamp", refresh: trust.MetadataExpired},
		{fixture: "x2-expired-targets-releases", tags: map[string]trust.Reason{"v1": trust.MetadataExpired, "other": trust.MetadataExpired}},
		{fixture: "x3-wrong-length-in-target", good: map[string]string{"v1": good, "v1zero": good}},
		{fixture: "x4-sha512-only-target", tags: map[string]trust.Reason{"v1": trust.MetadataInvalid}},
		{fixture: "x5-tag-only-in-other-delegation", tags: map[string]trust.Reason{"v1": trust.UnsignedTag}},
		{fixture: "x7-same-tag-different-digest-releases-vs-targets", good: map[string]string{"v1": good}},
	} {
		t.Run(c.fixture, func(t *testing.T) {
			w := newWorld(t, "synthetic/"+c.fixture, Pin{TOFU: true})
			s, err := w.open().Refresh(t.Context())
			if c.refresh != "" {
				if err == nil || trust.ReasonOf(err) != c.refresh {
					t.Fatalf("refresh: %v, want %s", err, c.refresh)
				}
				if _, err := w.open().Load(t.Context()); err != nil {
					t.Errorf("refused data left a trace: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for tag, want := range c.tags {
				if got := verdict(w, s, tag); got != string(want) {
					t.Errorf("%s: %s, want %s", tag, got, want)
				}
			}
			for tag, want := range c.good {
				if got := verdict(w, s, tag); got != want {
					t.Errorf("%s: %s, want %s", tag, got, want)
				}
			}
		})
	}
}

const good = "sha256:2c08a364df8c868f02abc3b248e7b343905385bbe23940c9c01cc80260ed42dd"

// verdict is the digest that an Authority decides for a tag, or the reason of its refusal.
func verdict(w *world, s *trust.Snapshot, tag string) string {
	w.t.Helper()
	m, err := names.ParseMatch("**")
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := trust.NewAuthority(trust.Policy{
		Rules: []trust.Rule{{Name: "all", Match: m, Mode: trust.Enforce, Source: "s"}},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: trust.NewCollections(trust.CollectionsOptions{
			Format: fixed{s}, Memory: 1 << 20, Now: func() time.Time { return w.now },
		}), Refresh: time.Hour, MaxStale: time.Hour}},
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	d := a.Decide(w.t.Context(), "ID", trust.Name{Repository: "r.example/x", Tag: tag})
	if target, ok := d.Admit(); ok {
		return target.Digest.String()
	}
	if strings.ContainsAny(d.Message(), "\n\r") || d.Message() == "" {
		w.t.Errorf("message %q", d.Message())
	}
	return string(d.Reason)
}

// fixed is a format whose one collection is a given snapshot.
type fixed struct{ s *trust.Snapshot }

func (f fixed) Locate(n trust.Name) (string, string)             { return "one", n.Tag }
func (f fixed) Tag(_, target string) (string, bool)              { return target, true }
func (f fixed) Open(string) trust.Verifier                       { return f }
func (f fixed) Load(context.Context) (*trust.Snapshot, error)    { return nil, nil }
func (f fixed) Refresh(context.Context) (*trust.Snapshot, error) { return f.s, nil }
