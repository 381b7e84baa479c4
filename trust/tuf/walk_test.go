package tuf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// said is what a snapshot says of a target: the texts that the claims name with who makes them, in order, or the reason of
// the refusal.
func said(s *trust.Snapshot, target string) string {
	e := s.Lookup(target)
	if e.Refusal != nil {
		return string(e.Refusal.Reason)
	}
	var all []string
	for _, c := range e.Claims {
		text := "?"
		for _, known := range []string{"a", "b", "c", "d"} {
			if c.Target.Digest == digest.FromString(known) {
				text = known
			}
		}
		if !c.Released || len(c.Keys) == 0 || !c.Target.Exact || c.Expires.IsZero() {
			text += "!"
		}
		all = append(all, c.Signer+"="+text)
	}
	return strings.Join(all, " ")
}

// chain is the name as a signer of the last of n roles, each of which delegates to the next.
func chain(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("c", i+1))
	}
	return strings.Join(all, "/")
}

// TestClaims: who speaks for a name, and in which order, however the files are published.
func TestClaims(t *testing.T) {
	everything := []string{"*/*:*"}
	other := []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
	for _, c := range []struct {
		name string
		make func(r *trusttest.TUF)
		want map[string]string
	}{
		{"targets before roles, and they in order", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "a", everything...).Sign(app, "a")
			r.Delegate(r.Targets, "b", everything...).Sign(app, "b")
			r.Targets.Sign(app, "c")
		}, map[string]string{app: "targets=c a=a b=b"}},
		{"children before siblings", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", everything...)
			r.Delegate(r.Targets, "b", everything...).Sign(app, "b")
			r.Delegate(a, "a/child", everything...).Sign(app, "c")
		}, map[string]string{app: "a/a%2Fchild=c b=b"}},
		{"no path, no word", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "a", "r.example/other:*").Sign(app, "a")
			r.Delegate(r.Targets, "b").Sign(app, "b")
		}, map[string]string{app: ""}},
		{"a child speaks for no more than its parent", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", "r.example/a:*")
			child := r.Delegate(a, "child", everything...)
			child.Sign(app, "c")
			child.Sign("r.example/a:1", "a")
		}, map[string]string{app: "", "r.example/a:1": "a/child=a"}},
		{"terminating ends the search for its names", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "a", "r.example/app:*")
			r.Targets.Grants[0].Terminating = true
			b := r.Delegate(r.Targets, "b", everything...)
			b.Sign(app, "b")
			b.Sign("r.example/b:1", "b")
		}, map[string]string{app: "", "r.example/b:1": "b=b"}},
		{"terminating to a role that was asked already", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", everything...)
			r.Targets.Grant(a).Terminating = true
			r.Delegate(r.Targets, "b", everything...).Sign(app, "b")
		}, map[string]string{app: ""}},
		{"cycles end", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", everything...)
			b := r.Delegate(a, "b", everything...)
			b.Sign(app, "b")
			b.Grant(a)
			b.Grants = append(b.Grants, &trusttest.Grant{To: r.Targets, Paths: everything})
			a.Grant(a)
		}, map[string]string{app: "a/b=b", "r.example/x:1": ""}},
		{"a diamond is verified on each side", func(r *trusttest.TUF) {
			left := r.Delegate(r.Targets, "left", "r.example/l:*", app)
			right := r.Delegate(r.Targets, "right", "r.example/r:*", app)
			shared := r.Delegate(left, "shared", everything...)
			left.Grants[0].Keys = other
			right.Grant(shared)
			for _, n := range []string{"r.example/l:1", "r.example/r:1", app} {
				shared.Sign(n, "a")
			}
			right.Sign(app, "b")
		}, map[string]string{"r.example/l:1": "threshold_not_met", "r.example/r:1": "right/shared=a", app: "threshold_not_met"}},
		{"a diamond with a higher threshold on one side", func(r *trusttest.TUF) {
			shared := r.Delegate(r.Targets, "shared", "r.example/x:*")
			left := r.Delegate(r.Targets, "left", everything...)
			left.Grant(shared)
			left.Grants[0].Keys, left.Grants[0].Threshold, left.Grants[0].Paths = append(other, shared.Keys...), 2, everything
			shared.Sign("r.example/x:1", "a")
			shared.Sign(app, "a")
		}, map[string]string{"r.example/x:1": "shared=a", app: "threshold_not_met"}},
		{"a chain as long as one may be", func(r *trusttest.TUF) {
			at := r.Targets
			for i := range maxDepth + 1 {
				at = r.Delegate(at, fmt.Sprint("c", i+1), everything...)
				at.Sign(fmt.Sprintf("r.example/%d:1", i+1), "a")
			}
		}, map[string]string{"r.example/1:1": "c1=a", "r.example/32:1": chain(32) + "=a", "r.example/33:1": "metadata_invalid", "r.example/none:1": "metadata_invalid"}},
		{"terminating below ends the search above", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", everything...)
			r.Delegate(a, "child", everything...).Sign(app, "a")
			a.Grants[0].Terminating = true
			r.Delegate(r.Targets, "b", everything...).Sign(app, "b")
		}, map[string]string{app: "a/child=a"}},
		{"a broken role refuses what nobody named before it", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "a", everything...).Sign(app, "a")
			r.Delegate(r.Targets, "bad", "r.example/*:*").Signers = other
			b := r.Delegate(r.Targets, "b", "*/*:*")
			b.Sign(app, "b")
			b.Sign("r.example/b:1", "b")
			b.Sign("q.example/b:1", "b")
		}, map[string]string{app: "a=a", "r.example/b:1": "threshold_not_met", "r.example/none:1": "threshold_not_met", "q.example/b:1": "b=b", "q.example/none:1": ""}},
		{"a role whose file is missing", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "bad", "r.example/app:*").Hidden = true
			r.Delegate(r.Targets, "b", everything...).Sign("r.example/b:1", "b")
		}, map[string]string{app: "metadata_invalid", "r.example/b:1": "b=b"}},
		{"a bad entry refuses its name", func(r *trusttest.TUF) {
			a := r.Delegate(r.Targets, "a", everything...)
			a.Sign("r.example/good:1", "a")
			for i, e := range []trusttest.Entry{{Digest: "sha256:ab", Length: 1}, {Digest: digest.FromString("a")}, {Digest: digest.FromString("a"), Length: 4<<20 + 1}, {Digest: digest.FromString("a"), Length: -1}} {
				a.Entries[fmt.Sprintf("r.example/bad:%d", i)] = e
			}
			r.Delegate(r.Targets, "b", everything...).Sign("r.example/bad:0", "b")
		}, map[string]string{"r.example/good:1": "a=a", "r.example/bad:0": "metadata_invalid", "r.example/bad:1": "metadata_invalid", "r.example/bad:2": "metadata_invalid", "r.example/bad:3": "metadata_invalid"}},
		{"the largest entry", func(r *trusttest.TUF) {
			r.Targets.Entries[app] = trusttest.Entry{Digest: digest.FromString("a"), Length: 4 << 20}
		}, map[string]string{app: "targets=a"}},
		{"names that no role can have", func(r *trusttest.TUF) {
			for i, name := range []string{"root", "9.root", "", strings.Repeat("n", 161)} {
				// The first would be published in the place of the root.
				r.Delegate(r.Targets, name, fmt.Sprintf("r.example/%d:*", i)).Hidden = i == 0
			}
		}, map[string]string{"r.example/0:1": "metadata_invalid", "r.example/1:1": "metadata_invalid", "r.example/2:1": "metadata_invalid", "r.example/3:1": "metadata_invalid", app: ""}},
		{"names that are no file names", func(r *trusttest.TUF) {
			r.Delegate(r.Targets, "../a b?#%/ü", everything...).Sign(app, "a")
		}, map[string]string{app: "..%2Fa%20b%3F%23%25%2F%C3%BC=a"}},
	} {
		for _, consistent := range []bool{true, false} {
			for _, bare := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/consistent %v bare %v", c.name, consistent, bare), func(t *testing.T) {
					repo := trusttest.NewTUF(now)
					repo.Consistent, repo.Bare = consistent, bare
					c.make(repo)
					repo.Publish()
					w := rig(t, repo)
					s := refreshed(t, w.open())
					kept, err := w.open().Load(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for target, want := range c.want {
						if got := said(s, target); got != want {
							t.Errorf("%s: %s, want %s", target, got, want)
						}
						if got := said(kept, target); got != want {
							t.Errorf("%s, kept: %s, want %s", target, got, want)
						}
					}
				})
			}
		}
	}
}

// TestMatch: a pattern means what the library takes it to mean.
func TestMatch(t *testing.T) {
	for _, p := range []string{"a/b:*", "a/*", "*/*:*", "*", "a/[bc]:?", "a/b:1", "", "a//b", "a/[", `a/b\:1`, "a/b*", "*/b:1", "**/b:1", "?/b:1"} {
		for _, name := range []string{"a/b:1", "a/c:1", "a/b", "b/b:1", "a", "", "a//b", "a/b/c:1", `a/b\:1`, "a/b-evil:1"} {
			role := metadata.DelegatedRole{Name: "x", Paths: []string{p}}
			want, err := role.IsDelegatedPath(name)
			x := newIndex([]metadata.DelegatedRole{role})
			if got := len(x.covering(name, new(int64))) == 1; got != want || err != nil {
				t.Errorf("%q for %q: %v, the library says %v, %v", p, name, got, want, err)
			}
		}
	}
}

// TestExpiry: a claim ends with the first of the roles that were asked on the way to it.
func TestExpiry(t *testing.T) {
	repo := trusttest.NewTUF(now)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	a := repo.Delegate(repo.Targets, "a", "*/*:*")
	b := repo.Delegate(repo.Targets, "b", "*/*:*")
	c := repo.Delegate(b, "c", "*/*:*")
	a.Expires, b.Expires, c.Expires = day(40), day(20), day(30)
	a.Sign("r.example/a:1", "a")
	b.Sign("r.example/b:1", "b")
	c.Sign("r.example/c:1", "c")
	c.Sign("r.example/a:1", "c")
	repo.Targets.Sign("r.example/t:1", "a")
	repo.Publish()
	s := refreshed(t, rig(t, repo).open())
	if s.Listed != 4 || s.ListedBy("r.example/a") != 1 || s.ListedBy("r.example/none") != 0 {
		t.Errorf("%d listed, %d of one", s.Listed, s.ListedBy("r.example/a"))
	}
	if !s.Expires.Equal(repo.Timestamp.Expires) {
		t.Errorf("collection expires %s", s.Expires)
	}
	for target, want := range map[string][]time.Time{
		"r.example/a:1": {day(40), day(40), day(20)}, "r.example/b:1": {day(20), day(20)}, "r.example/c:1": {day(20), day(20)},
		"r.example/t:1": {{}, repo.Targets.Expires}, "r.example/none:1": {day(20)},
	} {
		e := s.Lookup(target)
		got := []time.Time{e.Expires}
		for _, c := range e.Claims {
			got = append(got, c.Expires)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}
