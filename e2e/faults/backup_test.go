package faults

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestBackup: a state folder that is restored from an older back-up takes the floors back to when it was made, and no
// further; what it holds serves only for as long as it is fresh.
//
// PRODUCT: invariants 4, 5 and 6.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, format)
			r := s.repo("app")
			g := s.gateway(t, "    max_stale: 72h")
			sees := func(version int) {
				t.Helper()
				eventually(t, "the version is seen", func() bool { return s.serves(t, g, r) == version })
			}
			g.start(t)
			sees(0)
			s.advance()
			sees(1)
			g.stop(t)
			backup := t.TempDir()
			restore := func() {
				t.Helper()
				if err := errors.Join(os.RemoveAll(g.file("state")), os.CopyFS(g.file("state"), os.DirFS(backup))); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS(backup, os.DirFS(g.file("state"))); err != nil {
				t.Fatal(err)
			}
			s.advance()
			s.advance()
			g.start(t)
			sees(3)
			g.kill()

			// An honest source is caught up with at once.
			restore()
			g.start(t)
			sees(3)
			g.kill()

			// A source set back behind the back-up is refused.
			restore()
			s.show(r, 0)
			g.start(t)
			if v := s.serves(t, g, r); v != 1 {
				t.Errorf("with a source behind the back-up v1 is version %d", v)
			}
			eventually(t, "the rollback is refused", func() bool { return g.refreshes(t, "metadata_rollback") > 0 })
			g.kill()

			// What came between the back-up and the loss is forgotten: that is what the loss costs.
			restore()
			s.show(r, 2)
			g.start(t)
			sees(2)
			g.kill()

			// Without its source the back-up serves for as long as its own last check allows, however young the restore is.
			restore()
			s.behave(false, true, nil)
			g.start(t)
			if v := s.serves(t, g, r); v != 1 {
				t.Errorf("without its source v1 is version %d", v)
			}
			g.kill()
			config, err := os.ReadFile(g.file("tagwarden.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, g.file("tagwarden.yaml"), strings.Replace(string(config), "72h", "500ms", 1))
			g.start(t)
			if got := g.manifest(t, r.image(), "v1").String(); got != "503 metadata_stale" {
				t.Errorf("a back-up that is too old: v1 is %s", got)
			}
		})
	}
}
