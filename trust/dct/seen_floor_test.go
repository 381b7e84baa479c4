package dct

import (
	"slices"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestSeenTimestampAndSnapshot: a timestamp, and a snapshot, that verified in an update which failed are not fallen behind
// either; not after a restart, and not where nothing was ever taken. What the honest repository has next is.
func TestSeenTimestampAndSnapshot(t *testing.T) {
	for _, c := range []struct {
		missing string
		kept    []string
	}{{"snapshot", []string{"timestamp"}}, {"targets", []string{"timestamp", "snapshot"}}} {
		for _, how := range []string{"cold", "warm", "restarted"} {
			t.Run(c.missing+"/"+how, func(t *testing.T) {
				n := newRepo()
				n.Publish()
				w := rig(t, n, pinOf(n))
				v := w.open()
				kept := c.kept
				if how == "cold" {
					kept = append([]string{"1.root"}, kept...)
				} else {
					w.good(v, 1)
				}
				before := n.Files()
				n.Next(n.Targets)
				all := n.Files()
				n.Remove(n.File(map[string]*trusttest.Role{"snapshot": n.Snapshot, "targets": n.Targets}[c.missing]))
				for range 2 {
					w.refuses(v, trust.SourceUnreachable)
				}
				if got := w.kept(); !slices.Equal(got, kept) {
					t.Errorf("kept %v, want %v", got, kept)
				}
				if how == "restarted" {
					v = w.open()
				}
				// The timestamp before.
				n.Serve(before)
				w.refuses(v, trust.MetadataRollback)
				// A newer one, that names the snapshot before.
				version := n.Snapshot.Version
				n.Snapshot.Version = version - 1
				n.Timestamp.Version++
				n.Publish()
				if c.missing == "targets" {
					w.refuses(v, trust.MetadataRollback)
				}
				n.Snapshot.Version = version
				if c.missing == "snapshot" {
					n.Serve(all)
				} else {
					n.Next(n.Targets)
				}
				w.settled(v, 1)
			})
		}
	}
}

// DCT: W5, who has seen a repository does not follow it over a root that is missing; the snapshot names its root.
func TestRootIsMissingOnTheWay(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	v := w.open()
	w.good(v, 1)
	w.now = w.now.Add(probeEvery)
	for range 2 {
		rotate(n)
		n.Next()
	}
	all := n.Files()
	n.Remove("2.root.json")
	w.refuses(v, trust.RootMismatch)
	w.refuses(w.open(), trust.RootMismatch)
	n.Serve(all)
	w.now = w.now.Add(probeEvery)
	w.good(v, 3)
}
