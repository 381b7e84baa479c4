package tuf

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	verdicts := func(name string) int { return len(v.base.nodes[name].verdicts) }
	releases, behind, top := file("releases"), file("behind"), file("targets")
	repo.Next(repo.Delegations[1])
	refreshed(t, v)
	if file("releases") != releases || file("targets") != top || file("behind") == behind {
		t.Error("not the one that changed was read again")
	}
	if releases.md != nil || verdicts("releases") != 1 {
		t.Error("what was read is kept, or was verified again")
	}
	// Other keys for the same file: it is verified by these.
	repo.Targets.Grants[0].Keys = append(repo.Delegations[0].Keys, trusttest.NewKey(trusttest.Ed25519))
	repo.Next(repo.Targets)
	if s := refreshed(t, v); file("releases") != releases || verdicts("releases") != 1 || releases.md != nil || says(s, app) != "good" {
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

// TestLargeFilesAreLetGo: what the library reads of a large file does not wait for the other files.
func TestLargeFilesAreLetGo(t *testing.T) {
	repo := large(2000)
	u := update{pin: repo.Files()["1.root.json"], src: repo, now: now}
	if err := u.walkRoots(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := u.timestamp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.roles(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := u.next.nodes["release"]; len(n.role.raw) <= light || n.role.md != nil || !n.open || len(n.verdicts) != 1 {
		t.Errorf("%d bytes, held %v, open %v, verified %d times", len(n.role.raw), n.role.md != nil, n.open, len(n.verdicts))
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

// TestLostRole: a role that serves loses its file only to what somebody signed, and takes the whole update back with it
// else; one that never had a file does not.
func TestLostRole(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(r *trusttest.TUF)
		want trust.Reason // "": the update is taken
		app  string       // what it comes to
	}{
		{"the source lacks it", func(r *trusttest.TUF) { r.Interrupt(releases(r)) }, trust.SourceUnreachable, "good"},
		{"it does not end", func(r *trusttest.TUF) { r.Flood(releases(r)) }, trust.MetadataInvalid, "good"},
		{"it is the one before", func(r *trusttest.TUF) { r.Mix(releases(r)) }, trust.MetadataInvalid, "good"},
		{"it is signed, and expired", func(r *trusttest.TUF) { r.Expire(releases(r)) }, "", "metadata_expired"},
		{"it is signed by others", func(r *trusttest.TUF) { r.Impersonate(releases(r)) }, "", "threshold_not_met"},
		{"a new role has none", func(r *trusttest.TUF) {
			late := r.Delegate(r.Targets, "late", web)
			r.Next(r.Targets)
			r.Remove(r.File(late))
		}, "", "good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := newRepo()
			repo.Publish()
			w := rig(t, repo)
			v := w.open()
			hand := refreshed(t, v)
			repo.Delegations[1].Sign(web, "good")
			repo.Delegations[1].Version++
			c.lose(repo)
			next, err := v.Refresh(t.Context())
			if err != nil {
				next = hand
			}
			if (err == nil) != (c.want == "") || err != nil && trust.ReasonOf(err) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if got := says(next, app); got != c.app {
				t.Errorf("%s, want %s", got, c.app)
			}
			kept, err := w.open().Load(t.Context())
			if err != nil || says(kept, app) != c.app {
				t.Errorf("kept: %v", err)
			}
		})
	}
}

// TestClockThatWasAhead: what was kept while it was has the right time after the next check, also after a restart.
func TestClockThatWasAhead(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	repo.Now = now.Add(time.Hour)
	refreshed(t, w.open())
	repo.Now = now
	refreshed(t, w.open())
	if s, err := w.open().Load(t.Context()); err != nil || !s.Checked.Equal(now) {
		t.Errorf("checked %v, %v", s.Checked, err)
	}
}

// TestTwoFilesOfOneVersion: what was refused for that is refused after the next update, after the next start, and when the
// file was away in between, whichever of the two comes; and a later version ends it.
func TestTwoFilesOfOneVersion(t *testing.T) {
	repo := newRepo()
	repo.Delegations[1].Sign(web, "good")
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	refreshed(t, v)
	check := func(when, want string) {
		t.Helper()
		for _, v := range []trust.Verifier{v, w.open()} {
			s := refreshed(t, v)
			kept, err := w.open().Load(t.Context())
			if err != nil || says(s, app) != want || says(kept, app) != want || says(s, web) != "good" {
				t.Errorf("%s: %s, kept %s, and the other %s; want %s (%v)", when, says(s, app), says(kept, app), says(s, web), want, err)
			}
		}
	}
	releases(repo).Sign(app, "evil")
	repo.Next()
	check("another file", "metadata_rollback")
	repo.Next()
	check("another snapshot", "metadata_rollback")
	repo.Next()
	file := repo.File(releases(repo))
	files := repo.Files()
	releases(repo).Tamper = func([]byte) []byte { return []byte("{}") }
	repo.Next()
	check("no file at all", "metadata_invalid")
	releases(repo).Tamper = nil
	repo.Serve(files)
	repo.Next()
	check("the same file again", "metadata_rollback")
	releases(repo).Sign(app, "good")
	repo.Next()
	check("the first file again", "metadata_rollback")
	repo.Next(releases(repo))
	check("a later version", "good")
	if file == repo.File(releases(repo)) {
		t.Error("the version is the same")
	}
}

// TestDisputeOfEachAuthority: a role that two delegate under different keys is refused under both for as long as two files
// of its version were seen, and what is noted of an earlier version goes.
//
// PRODUCT: invariant 6.
func TestDisputeOfEachAuthority(t *testing.T) {
	repo := newRepo()
	role, behind := releases(repo), repo.Delegations[1]
	g := behind.Grant(role)
	g.Keys, g.Paths = append(slices.Clone(role.Keys), trusttest.NewKey(trusttest.Ed25519)), []string{web}
	role.Sign(web, "good")
	repo.Publish()
	w := rig(t, repo)
	v := w.format().open(Whole)
	refreshed(t, v)
	role.Sign(app, "evil")
	role.Sign(web, "evil")
	for range 3 {
		repo.Next()
		for _, v := range []trust.Verifier{v, w.open()} {
			s := refreshed(t, v)
			for _, target := range []string{app, web} {
				if got := says(s, target); got != "metadata_rollback" {
					t.Errorf("%s: %s", target, got)
				}
			}
		}
	}
	if got := len(v.base.nodes[role.Name].disputed); got != 2 {
		t.Errorf("disputed under %d sets of keys, want 2", got)
	}
	behind.Grants = nil
	repo.Next(behind, role)
	if got := says(refreshed(t, v), app); got != "evil" {
		t.Errorf("a later version: %s", got)
	}
	role.Sign(app, "other")
	repo.Next()
	if got := says(refreshed(t, v), app); got != "metadata_rollback" {
		t.Errorf("another file of the later version: %s", got)
	}
	if got := v.base.nodes[role.Name].disputed; len(got) != 1 {
		t.Errorf("noted %v, want the later version alone", got)
	}
}

// TestFailuresAreSaidOnce: roles that may not be used are told when they change, and not with every update.
func TestFailuresAreSaidOnce(t *testing.T) {
	repo := newRepo()
	repo.Delegations[0].Expires = now.AddDate(0, 0, -1)
	repo.Publish()
	w := rig(t, repo)
	v := w.open()
	for _, c := range []struct {
		name   string
		change func()
		want   []trust.EventKind
	}{
		{"one", func() {}, []trust.EventKind{trust.EventVerification}},
		{"the same", func() { repo.Next() }, nil},
		{"another as well", func() {
			repo.Delegations[1].Expires = now.AddDate(0, 0, -1)
			repo.Next(repo.Delegations[1])
		}, []trust.EventKind{trust.EventVerification}},
		{"the same two", func() { repo.Next() }, nil},
	} {
		c.change()
		refreshed(t, v)
		if got := w.kinds(); !slices.Equal(got, c.want) {
			t.Errorf("%s: events %v, want %v", c.name, got, c.want)
		}
	}
}

// TestConcurrent: who looks names up while updates run sees one state of the repository or another, and never a mixture.
func TestConcurrent(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	v := rig(t, repo).open()
	var current atomic.Pointer[trust.Snapshot]
	current.Store(refreshed(t, v))
	var asking sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		asking.Go(func() {
			for last := int64(0); ; {
				s := current.Load()
				want := "good"
				if s.Versions[3].Version%2 == 0 {
					want = "other"
				}
				if got := says(s, app); got != want || s.Versions[3].Version < last || len(s.Lookup("r.example/none:1").Claims) > 0 {
					t.Errorf("targets v%d after v%d: %s, want %s", s.Versions[3].Version, last, got, want)
				}
				last = s.Versions[3].Version
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 8 {
		if delete(repo.Targets.Entries, app); i%2 == 0 {
			repo.Targets.Sign(app, "other")
		}
		repo.Next(repo.Targets)
		current.Store(refreshed(t, v))
	}
	close(done)
	asking.Wait()
}
