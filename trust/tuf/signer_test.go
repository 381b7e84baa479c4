package tuf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestSigners: nobody speaks as a signer by whose delegation he does not, and no signer loses his word because another,
// who is asked before him, delegates to a role of his name.
func TestSigners(t *testing.T) {
	const paths = "r.example/app:*"
	for _, c := range []struct {
		name string
		make func(r *trusttest.TUF, release *trusttest.Role)
		want string
	}{
		{"a signer's own role of another's name", func(r *trusttest.TUF, release *trusttest.Role) {
			r.Delegate(release, "qa", paths).Sign(app, "a")
		}, "release=a release/qa=a"},
		{"by the signer's key, while the other has one", func(r *trusttest.TUF, release *trusttest.Role) {
			qa := r.Delegate(r.Targets, "qa", paths)
			qa.Sign(app, "a")
			qa.Signers = release.Keys
			release.Grant(qa).Keys = release.Keys
		}, "release=a release/qa=a"},
		{"and before he signs himself", func(r *trusttest.TUF, release *trusttest.Role) {
			delete(release.Entries, app)
			qa := r.Delegate(r.Targets, "qa", paths)
			qa.Signers = release.Keys
			release.Grant(qa).Keys = release.Keys
		}, "threshold_not_met"},
		{"another's role, by his key", func(r *trusttest.TUF, release *trusttest.Role) {
			qa := r.Delegate(r.Targets, "qa", paths)
			qa.Sign(app, "b")
			release.Grant(qa)
		}, "release=a qa=b"},
		{"another's role, and what he lends", func(r *trusttest.TUF, release *trusttest.Role) {
			qa := r.Delegate(r.Targets, "qa", paths)
			release.Grant(qa)
			r.Delegate(qa, "night", paths).Sign(app, "b")
		}, "release=a qa/night=b"},
		{"another's role, for other names", func(r *trusttest.TUF, release *trusttest.Role) {
			qa := r.Delegate(r.Targets, "qa", "r.example/other:*")
			qa.Sign(app, "b")
			release.Grant(qa).Paths = []string{paths}
		}, "release=a release/qa=b"},
		{"another's role, behind who ends the search", func(r *trusttest.TUF, release *trusttest.Role) {
			r.Targets.Grants[0].Terminating = true
			qa := r.Delegate(r.Targets, "qa", paths)
			qa.Sign(app, "b")
			release.Grant(qa)
		}, "release=a release/qa=b"},
		{"another's role, behind one that is broken", func(r *trusttest.TUF, release *trusttest.Role) {
			r.Delegate(r.Targets, "bad", paths).Signers = release.Keys
			qa := r.Delegate(r.Targets, "qa", paths)
			qa.Sign(app, "b")
			release.Grant(qa)
		}, "release=a release/qa=b"},
		{"a name that looks like a way", func(r *trusttest.TUF, release *trusttest.Role) {
			r.Delegate(r.Targets, "release/qa", paths).Sign(app, "b")
			r.Delegate(release, "qa", paths).Sign(app, "c")
		}, "release=a release/qa=c release%2Fqa=b"},
		{"a name that looks like a name that looks like a way", func(r *trusttest.TUF, _ *trusttest.Role) {
			r.Delegate(r.Targets, "release%2Fqa", paths).Sign(app, "b")
		}, "release=a release%252Fqa=b"},
		{"the name of targets", func(r *trusttest.TUF, release *trusttest.Role) {
			release.Grants = append(release.Grants, &trusttest.Grant{To: r.Targets, Keys: release.Keys, Paths: []string{paths}})
		}, "release=a"},
		{"two ways to one role", func(r *trusttest.TUF, release *trusttest.Role) {
			qa := r.Delegate(r.Targets, "qa", "r.example/other:*")
			night := r.Delegate(qa, "night", paths)
			night.Sign(app, "b")
			release.Grant(night)
		}, "release=a release/night=b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := trusttest.NewTUF(now)
			release := repo.Delegate(repo.Targets, "release", paths)
			release.Sign(app, "a")
			c.make(repo, release)
			repo.Publish()
			w := rig(t, repo)
			s := refreshed(t, w.open())
			kept, err := w.open().Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*trust.Snapshot{s, kept} {
				if got := said(s, app); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			}
		})
	}
}

// TestKeysOfTheSigner: who is a signer by targets' word has signed with the keys that targets names.
func TestKeysOfTheSigner(t *testing.T) {
	repo := trusttest.NewTUF(now)
	release := repo.Delegate(repo.Targets, "release", "*/*:*")
	qa := repo.Delegate(repo.Targets, "qa", "*/*:*")
	qa.Sign(app, "a")
	qa.Signers = append(qa.Keys, release.Keys...)
	release.Grant(qa).Keys = release.Keys
	repo.Publish()
	c := refreshed(t, rig(t, repo).open()).Lookup(app).Claims
	if len(c) != 1 || c[0].Signer != "qa" || len(c[0].Keys) != 1 || c[0].Keys[0] != qa.Keys[0].TUFID() {
		t.Errorf("%+v", c)
	}
}

// TestLongWay: the name of a signer has an end, and still begins with who lets him speak.
func TestLongWay(t *testing.T) {
	repo := trusttest.NewTUF(now)
	at := repo.Delegate(repo.Targets, "release", "*/*:*")
	for i := range 3 {
		at = repo.Delegate(at, fmt.Sprint(i, strings.Repeat("x", 100)), "*/*:*")
	}
	at.Sign(app, "a")
	repo.Publish()
	if got := said(refreshed(t, rig(t, repo).open()), app); got != "release/...=a" {
		t.Error(got)
	}
}

// TestVerdictsAreCountedForEachSigner: one signer's delegations do not use up how often another's role may be verified, in
// one update or in many.
func TestVerdictsAreCountedForEachSigner(t *testing.T) {
	repo := newRepo()
	releases := releases(repo)
	greedy := repo.Delegate(repo.Targets, "greedy", "q.example/*:*")
	more := func() {
		greedy.Grants = nil
		for i := range maxVerdicts + 1 {
			g := greedy.Grant(releases)
			g.Keys, g.Paths = append(releases.Keys, trusttest.NewKey(trusttest.Ed25519)), []string{fmt.Sprintf("q.example/%d:*", i)}
		}
	}
	more()
	// Who is asked after the greedy one has keys of his own for the role, too.
	modest := repo.Delegate(repo.Targets, "modest", "m.example/*:*")
	g := modest.Grant(releases)
	g.Keys, g.Paths = append(releases.Keys, trusttest.NewKey(trusttest.ECDSA)), []string{"m.example/*:*"}
	releases.Sign("m.example/app:1", "good")
	for i := range maxVerdicts + 1 {
		releases.Sign(fmt.Sprintf("q.example/%d:1", i), "good")
	}
	repo.Publish()
	v := rig(t, repo).open()
	for range 3 {
		s := refreshed(t, v)
		for target, want := range map[string]string{
			app: "good", "m.example/app:1": "good", fmt.Sprintf("q.example/%d:1", maxVerdicts-1): "good", fmt.Sprintf("q.example/%d:1", maxVerdicts): "metadata_invalid",
		} {
			if got := says(s, target); got != want {
				t.Errorf("%s: %s, want %s", target, got, want)
			}
		}
		releases.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
		more()
		g.Keys = append(releases.Keys, g.Keys[1:]...)
		repo.Next(repo.Targets, greedy, modest, releases)
	}
}
