package tuf

import (
	"runtime"
	"slices"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// kinds returns the kinds of the events since it was last called.
func (w *world) kinds() []trust.EventKind {
	var all []trust.EventKind
	for _, e := range w.events {
		all = append(all, e.Kind)
	}
	w.events = nil
	return all
}

// TestRequests: what a check asks for, in which order, and nothing twice.
func TestRequests(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	check := func(what string, want ...string) {
		t.Helper()
		refreshed(t, v)
		// Roles of one level are fetched at the same time.
		got := repo.Asked()
		slices.Sort(got[min(4, len(got)):])
		if !slices.Equal(got, want) {
			t.Errorf("%s: asked %v, want %v", what, got, want)
		}
	}
	check("cold", "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.behind.json", "1.releases.json")
	check("unchanged", "2.root.json", "timestamp.json")
	repo.Next()
	check("renewed", "2.root.json", "timestamp.json", "2.snapshot.json")
	repo.Next(repo.Delegations[0])
	check("signed", "2.root.json", "timestamp.json", "3.snapshot.json", "2.releases.json")
	v = w.open()
	check("restarted", "2.root.json", "timestamp.json")
	repo.RotateRoot()
	repo.Next()
	check("rotated", "2.root.json", "3.root.json", "timestamp.json", "4.snapshot.json")
	check("unchanged again", "3.root.json", "timestamp.json")
}

// TestOnlyChangesAreRead: a role that stays what it was is neither parsed nor verified again.
func TestOnlyChangesAreRead(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	v := rig(t, repo).format().open(Whole)
	refreshed(t, v)
	file := func(name string) *role { return v.base.file(name) }
	releases, behind, top := file("releases"), file("behind"), file("targets")
	repo.Next(repo.Delegations[1])
	refreshed(t, v)
	if file("releases") != releases || file("targets") != top || file("behind") == behind {
		t.Error("not the one that changed was read again")
	}
	if releases.md != nil || len(releases.verdicts) != 1 {
		t.Error("what was read is kept, or was verified again")
	}
	// Other keys for the same file: it is verified by these.
	repo.Targets.Grants[0].Keys = append(repo.Delegations[0].Keys, trusttest.NewKey(trusttest.Ed25519))
	repo.Next(repo.Targets)
	if s := refreshed(t, v); file("releases") != releases || len(releases.verdicts) != 2 || releases.md != nil || says(s, app) != "good" {
		t.Error("a change of keys was not noticed")
	}
}

// TestMissingRoleIsAskedForAgain: a file that was not there yet is taken as soon as it is.
func TestMissingRoleIsAskedForAgain(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	files := repo.Files()
	repo.Remove("1.releases.json")
	v := w.open()
	if got := says(refreshed(t, v), app); got != "source_unreachable" {
		t.Errorf("missing: %s", got)
	}
	if got := w.kinds(); !slices.Equal(got, []trust.EventKind{trust.EventVerification}) {
		t.Errorf("events %v", got)
	}
	refreshed(t, v)
	v = w.open()
	if got := says(refreshed(t, v), app); got != "source_unreachable" || len(w.kinds()) != 0 {
		t.Errorf("still missing, restarted: %s", got)
	}
	repo.Serve(files)
	if got := says(refreshed(t, v), app); got != "good" {
		t.Errorf("there: %s", got)
	}
	// What is wrong in itself is not asked for again.
	repo.Delegations[0].Expires = now.AddDate(0, 0, -1)
	repo.Next(repo.Delegations[0])
	if got := says(refreshed(t, v), app); got != "metadata_expired" {
		t.Errorf("expired: %s", got)
	}
	repo.Asked()
	if refreshed(t, v); len(repo.Asked()) != 2 {
		t.Error("an expired role is fetched for ever")
	}
}

// TestKeptRoleExpires: a role that expires in hand stays, and decisions judge it.
func TestKeptRoleExpires(t *testing.T) {
	repo := newRepo()
	repo.Delegations[0].Expires = now.AddDate(0, 0, 1)
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	repo.Now = now.AddDate(0, 0, 2)
	repo.Next()
	for what, v := range map[string]trust.Verifier{"running": v, "restarted": w.open()} {
		s := refreshed(t, v)
		if e := s.Lookup(app); says(s, app) != "good" || !e.Expires.Equal(now.AddDate(0, 0, 1)) {
			t.Errorf("%s: %+v", what, e)
		}
	}
}

// TestSignedAnew: a file that is signed for other keys under its old version is found, whether or not hashes tell.
func TestSignedAnew(t *testing.T) {
	for _, bare := range []bool{false, true} {
		repo := newRepo()
		repo.Bare = bare
		repo.Publish()
		v := rig(t, repo).open()
		refreshed(t, v)
		repo.Snapshot.Keys, repo.Targets.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}, []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
		repo.RotateRoot()
		repo.Delegations[0].Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
		repo.Snapshot.Version-- // Next raises it to what it was
		repo.Next()
		s := refreshed(t, v)
		if got := says(s, app); got != "good" || s.Versions[2].Version != 1 || s.Versions[3].Version != 1 {
			t.Errorf("bare %v: %s, %+v", bare, got, s.Versions)
		}
	}
}

// TestSnapshotFloor: a new timestamp key does not take the snapshot back.
func TestSnapshotFloor(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	repo.Next()
	v := rig(t, repo).open()
	refreshed(t, v)
	repo.Snapshot.Version -= 2 // Rekey publishes the next
	repo.Rekey(repo.Timestamp)
	if _, err := v.Refresh(t.Context()); err == nil || trust.ReasonOf(err) != trust.MetadataRollback {
		t.Error(err)
	}
}

// TestSizeIsHonest: what a snapshot says it takes is at least what it takes, and not many times more.
func TestSizeIsHonest(t *testing.T) {
	repo := large(2000)
	v := fresh(t, repo)
	before := heap()
	s := refreshed(t, v)
	took := heap() - before
	if took > s.Size || s.Size > 4*took {
		t.Errorf("said %d, took %d bytes", s.Size, took)
	}
	runtime.KeepAlive(v)
}
