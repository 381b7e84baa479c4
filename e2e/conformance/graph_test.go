package main

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// lends has a role lend paths to another, which is made when it is met first. Who is called "targets" is targets.
func (s *suite) lends(from, to string, paths ...string) *trusttest.Grant {
	by := s.named(from)
	if s.named(to) == nil {
		s.Delegate(by, to, paths...)
		return by.Grants[len(by.Grants)-1]
	}
	g := by.Grant(s.named(to))
	g.Paths = paths
	return g
}

// named returns the role of the name, nil if there is none.
func (s *suite) named(name string) *trusttest.Role {
	for _, r := range append([]*trusttest.Role{s.Targets}, s.Delegations...) {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// draw draws a graph of delegations for every name without a slash: "targets>a>b", and "targets>a!" where the delegation
// ends the search; "a>c=*.py" is for these names alone.
func (s *suite) draw(graph string) {
	for _, way := range strings.Fields(graph) {
		roles := strings.Split(way, ">")
		for i, to := range roles[1:] {
			to, path, ok := strings.Cut(to, "=")
			if !ok {
				path = "*"
			}
			to, terminating := strings.CutSuffix(to, "!")
			s.lends(strings.TrimSuffix(roles[i], "!"), to, path).Terminating = terminating
		}
	}
	s.Next(append([]*trusttest.Role{s.Targets}, s.Delegations...)...)
}

// roles returns the names of the roles in file names.
func roles(files []string) string {
	var all []string
	for _, file := range files {
		_, role, _ := strings.Cut(strings.TrimSuffix(file, ".json"), ".")
		all = append(all, role)
	}
	return strings.Join(all, " ")
}

// TestSearch: roles are fetched in the order of a pre-order depth-first search, and no others.
func TestSearch(t *testing.T) {
	for _, c := range []struct{ name, graph, visited string }{
		{"one role", "targets>a", "a"},
		{"two roles", "targets>a targets>b", "a b"},
		{"two levels", "targets>a targets>b>c", "a b c"},
		{"children before siblings", "targets>a>c targets>b a>d", "a c d b"},
		{"grandchildren before siblings", "targets>a>c>d targets>b", "a c d b"},
		{"a delegation that ends the search", "targets>a>c! targets>b a>d", "a c"},
		{"but not below it", "targets>a>c! targets>b c>d", "a c d"},
		{"a role that is not for the name", "targets>a=*.py targets>b a>c", "b"},
		{"a child that is not for the name", "targets>a>c=*.py targets>b c>d", "a b"},
		{"a cycle", "targets>a targets>b>c>d>b", "a b c d"},
		{"one role of two parents", "targets>a>c targets>b>c", "a c b"},
		{"one role of two parents, of which one is not for the name", "targets>a>c=*.py targets>b>c", "a b c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.draw(c.graph)
			if err := s.download("missing"); err == nil {
				t.Error("found what nobody signed")
			}
			asked := s.requests()
			if got := roles(asked[min(4, len(asked)):]); got != c.visited || roles(asked[2:4]) != "snapshot targets" {
				t.Errorf("asked for %v, want %s", asked, c.visited)
			}
			// What was fetched is trusted, and not fetched again.
			if got := strings.Count(s.trusted(), "="); got != 4+len(strings.Fields(c.visited)) {
				t.Errorf("trusts %s", s.trusted())
			}
			if err := s.download("missing"); err == nil || len(s.requests()) != 2 {
				t.Error("asked for something again")
			}
		})
	}
}

// TestPaths: who may speak for which name.
func TestPaths(t *testing.T) {
	for _, c := range []struct{ target, visited, content string }{
		{"file", "", "targets"},
		{"README.md", "a", "a"},
		{"README.MD", "", ""},
		{"releases/README.md", "", ""},
		{"foo-1.tgz", "a", "a"},
		{"foo-alpha.tgz", "", ""},
		{"releases/x/v1", "b c", "c"},
		{"releases/y/v1.zip", "b d", "d"},
		{"releases/z/v1.zip", "b", ""},
	} {
		t.Run(url.PathEscape(c.target), func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.lends("targets", "a", "*.md", "foo-?.tgz")
			s.lends("targets", "b", "releases/*/*")
			s.lends("b", "c", "releases/x/*")
			s.lends("b", "d", "releases/y/*.zip")
			s.sign(s.Targets, "file", "targets")
			for by, names := range map[string]string{"a": "README.md README.MD releases/README.md foo-1.tgz foo-alpha.tgz", "c": "releases/x/v1", "d": "releases/y/v1.zip releases/z/v1.zip"} {
				for _, name := range strings.Fields(names) {
					s.sign(s.named(by), name, by)
				}
			}
			s.Next(s.Targets)
			err := s.download(c.target)
			var want []string
			if c.content != "" {
				want = []string{c.content}
			}
			if got := s.downloaded(); (err == nil) != (c.content != "") || !slices.Equal(got, want) {
				t.Errorf("downloaded %q, %v", got, err)
			}
			asked := s.requests()
			if err == nil {
				asked = asked[:len(asked)-1] // the target itself
			}
			if got := roles(asked[4:]); got != c.visited {
				t.Errorf("asked for %s, want %s", got, c.visited)
			}
		})
	}
}

// TestDiamond: a role that was fetched for one delegator is verified again for another.
func TestDiamond(t *testing.T) {
	s := newSuite(t)
	for _, parent := range []string{"left", "right"} {
		s.lends("targets", parent, parent+"/*")
		s.lends(parent, "shared", parent+"/*")
		s.sign(s.named("shared"), parent+"/file", parent)
	}
	s.named("right").Grants[0].Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
	s.Next(s.Targets)
	if err := s.download("left/file", "right/file"); err == nil {
		t.Error("a role speaks by keys that were not given to it")
	}
	if got := s.downloaded(); !slices.Equal(got, []string{"left"}) {
		t.Errorf("downloaded %q", got)
	}
}

// TestNotInSnapshot: a role that the snapshot does not list is not even asked for.
func TestNotInSnapshot(t *testing.T) {
	s := newSuite(t)
	s.Delegate(s.Targets, "role", "path/*").Hidden = true
	s.Next(s.Targets)
	s.refreshes()
	s.requests()
	if err := s.download("path/file"); err == nil {
		t.Error("no error")
	}
	if got := s.requests(); !slices.Equal(got, []string{"2.root.json", "timestamp.json"}) || strings.Contains(s.trusted(), "role") {
		t.Errorf("asked for %v, trusts %s", got, s.trusted())
	}
}

// TestChangedRole: a role in hand whose file has changed is fetched, as what it said before is said no more.
func TestChangedRole(t *testing.T) {
	s := newSuite(t)
	s.draw("targets>a>b targets>c")
	s.sign(s.named("b"), "file", "first")
	s.Next(s.named("b"))
	if err := s.download("file"); err != nil {
		t.Fatal(err)
	}
	s.sign(s.named("b"), "file", "second")
	s.Next(s.named("b"))
	if err := s.download("file"); err != nil {
		t.Error(err)
	}
	if got := s.downloaded(); !slices.Equal(got, []string{"second"}) {
		t.Errorf("downloaded %q", got)
	}
}

// TestQuoting: whatever a role is called, it is asked for by that name, and its file stays in the folder.
func TestQuoting(t *testing.T) {
	for _, name := range []string{"?", "#", "/role", "../role", "a b", "%2e", "."} {
		s := newSuite(t)
		s.Delegate(s.Targets, name, "*")
		s.Next(s.Targets)
		if err := s.download("missing"); err == nil {
			t.Errorf("%s: no error", name)
		}
		if asked := s.requests(); !slices.Contains(asked, "1."+url.PathEscape(name)+".json") {
			t.Errorf("%s: asked for %v", name, asked)
		}
		if got := s.trusted(); !strings.Contains(" "+got, " "+name+"=1") || strings.Count(got, "=") != 5 {
			t.Errorf("%s: trusts %s", name, got)
		}
	}
}
