package faults

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/state"
)

// TestForeignState: the kept trust data of a stranger's repository of the same name, whole and with the right checksums,
// makes nobody accept the stranger's root.
func TestForeignState(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			stranger, s := newSite(t, format), newSite(t, format)
			evil, r := stranger.repo("app"), s.repo("app")
			for range 5 {
				stranger.advance()
			}
			bad, g := stranger.gateway(t, ""), s.gateway(t, "")
			bad.start(t)
			if v := stranger.serves(t, bad, evil); v != 5 {
				t.Errorf("the stranger's gateway serves version %d", v)
			}
			bad.kill()
			if err := os.CopyFS(g.file("state"), os.DirFS(bad.file("state"))); err != nil {
				t.Fatal(err)
			}
			s.behave(false, true, nil)
			g.start(t)
			if a := g.manifest(t, r.image(), "v1"); a.status == 200 {
				t.Errorf("with the source cut off v1 is %v", a)
			}
			if g.security(t, "pin_changed") == 0 {
				t.Error("nobody is told")
			}
			s.behave(false, false, nil)
			eventually(t, "what the pinned root vouches for is served", func() bool {
				a := g.manifest(t, r.image(), "v1")
				if stranger.version(evil, a) >= 0 {
					t.Fatal("what the stranger signed is served")
				}
				return s.version(r, a) == 0
			})
		})
	}
}

// TestTimeOfTheLastCheck: how fresh data is does not follow from a file that is damaged, or another repository's.
//
// PRODUCT: section 2, max_stale.
func TestTimeOfTheLastCheck(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, format)
			for _, name := range []string{"own", "foreign", "bare", "none"} {
				s.repo(name)
			}
			g := s.gateway(t, "    max_stale: 30m")
			g.start(t)
			for _, r := range s.repos {
				s.serves(t, g, r)
			}
			g.kill()
			store, err := state.Open(t.Context(), state.Options{Dir: g.file("state")})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			for _, r := range s.repos {
				c := store.Collection("corp", r.image())
				record, err := c.Load()
				if err != nil {
					t.Fatal(err)
				}
				record.Checked = now.Add(-time.Hour)
				if err := c.Save(*record); err != nil {
					t.Fatal(err)
				}
				if r.name == "own" {
					err = c.Touch(now)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			own, err := os.ReadFile(filepath.Join(s.kept(g, s.repos[0]), "checked"))
			if err := errors.Join(err, store.Close()); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(s.kept(g, s.repos[1]), "checked"), string(own))
			put(t, filepath.Join(s.kept(g, s.repos[2]), "checked"), now.UTC().Format(time.RFC3339Nano))
			s.behave(false, true, nil)
			g.start(t)
			for _, r := range s.repos {
				want := "503 metadata_stale"
				if r.name == "own" {
					want = "200 " + r.signed[0].String()
				}
				if got := g.manifest(t, r.image(), "v1").String(); got != want {
					t.Errorf("%s: %s, want %s", r.name, got, want)
				}
			}
		})
	}
}
