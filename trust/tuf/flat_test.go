package tuf

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// many returns n patterns, made of a form with a number in it.
func many(n int, form string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(form, i)
	}
	return all
}

// TestTooManyPatterns: who gives away more paths than there may be refuses his own names, and nobody else's.
func TestTooManyPatterns(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(r *trusttest.TUF, a *trusttest.Role)
		want string // of what a signs
	}{
		{"as many as there may be", func(r *trusttest.TUF, a *trusttest.Role) { r.Delegate(a, "x", many(maxPatterns, "a.example/a:%d")...) }, "a=a"},
		{"one more", func(r *trusttest.TUF, a *trusttest.Role) {
			r.Delegate(a, "x", many(maxPatterns+1, "a.example/a:%d")...)
		}, "metadata_invalid"},
		{"as many wildcards as there may be", func(r *trusttest.TUF, a *trusttest.Role) {
			r.Delegate(a, "x", many(maxPatterns/looseWeight, "*/a:%d")...)
		}, "a=a"},
		{"one more wildcard", func(r *trusttest.TUF, a *trusttest.Role) {
			r.Delegate(a, "x", many(maxPatterns/looseWeight+1, "*/a:%d")...)
		}, "metadata_invalid"},
		{"in two files", func(r *trusttest.TUF, a *trusttest.Role) {
			x := r.Delegate(a, "x", many(maxPatterns/2, "a.example/a:%d")...)
			r.Delegate(x, "y", many(maxPatterns/2+1, "a.example/a:%d")...)
			x.Sign("a.example/a:1", "b")
		}, "a=a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := trusttest.NewTUF(now)
			a := repo.Delegate(repo.Targets, "a", "a.example/*:*")
			a.Sign("a.example/none:1", "a")
			repo.Delegate(repo.Targets, "b", "b.example/*:*").Sign("b.example/b:1", "b")
			c.make(repo, a)
			repo.Publish()
			w := rig(t, repo)
			s := refreshed(t, w.open())
			if got := said(s, "a.example/none:1"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got := said(s, "b.example/b:1"); got != "b=b" {
				t.Errorf("another's name: %s", got)
			}
			// What lies below the file that is one too many is refused, and what stands above it is not.
			if c.name == "in two files" && (said(s, "a.example/a:1") != "a/x=b" || said(s, "a.example/a:2") != "metadata_invalid") {
				t.Errorf("%s, %s", said(s, "a.example/a:1"), said(s, "a.example/a:2"))
			}
			if failed := len(w.kinds()) > 0; failed != (c.want != "a=a" || c.name == "in two files") {
				t.Errorf("an event: %v", failed)
			}
		})
	}
}

// TestHostilePatterns: patterns that cost too much for the names there are take their signer's delegations away, for all
// names alike; the others go on.
func TestHostilePatterns(t *testing.T) {
	const names = 5_000 // times maxPatterns is more than maxWork
	repo := trusttest.NewTUF(now)
	a := repo.Delegate(repo.Targets, "a", "a.example/*:*")
	b := repo.Delegate(repo.Targets, "b", "*/*:*")
	repo.Delegate(a, "x", many(maxPatterns, "a.example/*:%dz")...)
	for i := range names {
		a.Sign(fmt.Sprint("a.example/a:", i), "a")
	}
	b.Sign("a.example/a:0", "b") // looked up before anything has cost too much
	b.Sign("a.example/b:1", "b")
	b.Sign("b.example/b:1", "b")
	repo.Publish()
	w := rig(t, repo)
	s := refreshed(t, w.open())
	for target, want := range map[string]string{
		"a.example/a:0": "a=a", fmt.Sprint("a.example/a:", names-1): "a=a", "a.example/b:1": "metadata_invalid", "a.example/none:1": "metadata_invalid", "b.example/b:1": "b=b",
	} {
		if got := said(s, target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	if kinds := w.kinds(); len(kinds) != 1 || kinds[0] != trust.EventVerification {
		t.Errorf("events %v", kinds)
	}
}

// TestFlattenStops: who is closed is not kept waiting by the number of names.
func TestFlattenStops(t *testing.T) {
	repo := large(2 * pause)
	v := fresh(t, repo).(*verifier)
	refreshed(t, v)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.base.flatten(ctx); err == nil || trust.ReasonOf(err) != trust.SourceUnreachable {
		t.Error(err)
	}
}

// TestEscapedNames: a name that is written with escapes takes no other name's place, and is nobody's image.
func TestEscapedNames(t *testing.T) {
	repo := trusttest.NewTUF(now)
	a := repo.Delegate(repo.Targets, "a", "*/*:*")
	for _, name := range []string{"r.example/app:\n", "r.example/app:A", "r.example/app:B", "r.example/app:\x1b[2K", "r.example/app:\"", `r.example/app:\`, "r.example/\u00fc:1"} {
		a.Sign(name, "a")
	}
	repo.Delegate(repo.Targets, "b", "*/*:*").Sign("r.example/app:A", "b")
	repo.Publish()
	s := refreshed(t, rig(t, repo).open())
	for target, want := range map[string]string{"r.example/app:A": "a=a b=b", "r.example/app:B": "a=a", "r.example/app:\n": "a=a", "r.example/app:": "", `r.example/app:\n`: ""} {
		if got := said(s, target); got != want {
			t.Errorf("%q: %s, want %s", target, got, want)
		}
	}
	if n := s.ListedBy("r.example/app"); n != 2 {
		t.Errorf("%d tags listed", n)
	}
}

// TestShareEscaped: only what stands in the text as it is becomes a part of it.
func TestShareEscaped(t *testing.T) {
	names := []string{"a\n", "b", "c\\", "d", "e\u0001f"}
	share(names, `{"a\n":1,"b":2,"c\\":3,"d":4,"e\u0001f":5}`)
	if got := strings.Join(names, "|"); got != "a\n|b|c\\|d|e\u0001f" {
		t.Errorf("%q", got)
	}
}
