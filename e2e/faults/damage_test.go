package faults

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/state"
)

// A victim is a repository whose kept trust data is damaged: one way, in some of its files.
type victim struct {
	*repo
	how   string
	files []string
	// dir is where its trust data is kept, other where another repository's is, and before is how its files were when the
	// first version was the newest.
	dir, other string
	before     map[string][]byte
}

// ways are what can happen to a file.
var ways = map[string]func(v *victim, file string) error{
	"empty": func(v *victim, file string) error { return os.Truncate(filepath.Join(v.dir, file), 0) },
	"half": func(v *victim, file string) error {
		return v.change(file, func(data []byte) []byte { return data[:len(data)/2] })
	},
	"zeroed": func(v *victim, file string) error {
		return v.change(file, func(data []byte) []byte { return make([]byte, len(data)) })
	},
	"one bit": func(v *victim, file string) error {
		return v.change(file, func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
	},
	"another's": func(v *victim, file string) error {
		data, err := os.ReadFile(filepath.Join(v.other, file))
		return errors.Join(err, os.WriteFile(filepath.Join(v.dir, file), data, 0o600))
	},
	"older": func(v *victim, file string) error {
		return os.WriteFile(filepath.Join(v.dir, file), v.before[file], 0o600)
	},
	"gone": func(v *victim, file string) error { return os.Remove(filepath.Join(v.dir, file)) },
	"a folder": func(v *victim, file string) error {
		return errors.Join(os.Remove(filepath.Join(v.dir, file)), os.Mkdir(filepath.Join(v.dir, file), 0o700))
	},
	"unreadable": func(v *victim, file string) error { return os.Chmod(filepath.Join(v.dir, file), 0) },
}

// change rewrites a file.
func (v *victim) change(file string, to func([]byte) []byte) error {
	data, err := os.ReadFile(filepath.Join(v.dir, file))
	return errors.Join(err, os.WriteFile(filepath.Join(v.dir, file), to(data), 0o600))
}

// slot tells whether trust data itself is damaged; both, whether all of it is.
func (v *victim) slot() bool { return v.files[0] == "0" || v.files[0] == "1" }
func (v *victim) both() bool { return len(v.files) == 2 }

// first tells whether its root was trusted on first use.
func (v *victim) first() bool { return strings.HasPrefix(v.name, "first/") }

// want returns what v1 comes to after the restart, where the source has been set back to the first version.
//
// PRODUCT: invariant 6.
func (v *victim) want() string {
	switch {
	case v.slot() && (v.how == "a folder" || v.how == "unreadable"):
		return "503 state_unavailable" // it may be the newer one, and whole
	case !v.both():
		return "version 1"
	case v.how == "older":
		return "version 0" // as from a back-up of everything
	case v.first():
		return "503 state_unavailable"
	}
	return "version 0" // from the pin, as new
}

// told tells whether somebody must be told of the damage.
func (v *victim) told() bool {
	return v.how != "older" && (v.slot() || v.files[0] == "checked" && v.how != "gone")
}

// TestDamage: every file that is kept, damaged in every way. Half of what is kept costs nothing, not even a version, and is
// whole again at once; with all of it lost a pinned source starts again, and trust on first use refuses. Whatever is damaged
// is said, and nothing takes the process down.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, format)
			all := victims(s)
			g := s.gateway(t, "")
			touch := func() {
				g.kill()
				store, err := state.Open(t.Context(), state.Options{Dir: g.file("state")})
				for _, v := range all {
					c := store.Collection("corp", v.image())
					_, lerr := c.Load()
					err = errors.Join(err, lerr, c.Touch(time.Now()))
				}
				if err := errors.Join(err, store.Close()); err != nil {
					t.Fatal(err)
				}
			}
			g.start(t)
			compare(t, s, g, "first", all, func(*victim) string { return "version 0" })
			touch()
			for i, v := range all {
				v.dir, v.other = s.kept(g, v.repo), s.kept(g, all[(i+1)%len(all)].repo)
				for _, file := range v.files {
					data, err := os.ReadFile(filepath.Join(v.dir, file))
					if err != nil {
						t.Fatal(err)
					}
					v.before[file] = data
				}
			}
			s.advance()
			g.start(t)
			compare(t, s, g, "second", all, func(*victim) string { return "version 1" })
			touch()
			damageAll(t, s, g, all)
		})
	}
}

// victims returns one repository for each way and each file.
func victims(s *site) []*victim {
	var all []*victim
	add := func(folder, how string, files ...string) {
		if how == "unreadable" && os.Geteuid() == 0 {
			return // whom no mode binds
		}
		r := s.repo(fmt.Sprintf("%sr%d", folder, len(all)))
		all = append(all, &victim{repo: r, how: how, files: files, before: make(map[string][]byte)})
	}
	for _, how := range slices.Sorted(maps.Keys(ways)) {
		for _, files := range [][]string{{"0"}, {"1"}, {"0", "1"}} {
			add("", how, files...)
			if s.format == "notary" {
				add("first/", how, files...)
			}
		}
		add("", how, "checked")
	}
	add("", "gone", "name")
	add("", "another's", "name")
	return all
}

// damageAll damages everybody's files, sets the source back, and checks what is left of it.
func damageAll(t *testing.T, s *site, g *gateway, all []*victim) {
	t.Helper()
	for _, v := range all {
		for _, file := range v.files {
			if err := ways[v.how](v, file); err != nil {
				t.Fatal(err)
			}
		}
		s.show(v.repo, 0)
	}
	g.start(t)
	compare(t, s, g, "damaged", all, (*victim).want)
	told := 0
	for _, v := range all {
		if v.told() {
			told++
			if !g.logged(t, `"state damaged"`, v.image()+`"`) {
				t.Errorf("%s: %v %s: nobody is told", v.image(), v.files, v.how)
			}
		}
	}
	if n := g.security(t, "state_damaged"); n < told {
		t.Errorf("%d security events, for %d that were damaged", n, told)
	}
	// The next fault finds two copies again.
	g.kill()
	for _, v := range all {
		if v.slot() && !v.both() && v.want() == "version 1" {
			other := map[string]string{"0": "1", "1": "0"}[v.files[0]]
			if err := os.Truncate(filepath.Join(v.dir, other), 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.start(t)
	compare(t, s, g, "damaged again", all, (*victim).want)
	// When the source is as it was, everything is but what needs a person.
	for _, v := range all {
		s.show(v.repo, 1)
	}
	for _, v := range all {
		if v.want() == "503 state_unavailable" {
			compare(t, s, g, "for a person", []*victim{v}, (*victim).want)
			continue
		}
		eventually(t, v.image()+" has its second version again", func() bool { return s.serves(t, g, v.repo) == 1 })
	}
	g.stop(t)
	resetAll(t, s, g, all)
}

// resetAll lets a person say that what is lost may begin anew.
func resetAll(t *testing.T, s *site, g *gateway, all []*victim) {
	t.Helper()
	var lost []*victim
	for _, v := range all {
		if v.want() != "503 state_unavailable" {
			continue
		}
		if out, status := g.run(t, "state", "reset", "--reason", "the disk died", "corp", v.image()); status != 0 {
			t.Errorf("%s: exit status %d: %s", v.image(), status, out)
		}
		lost = append(lost, v)
	}
	g.start(t)
	compare(t, s, g, "reset", lost, func(*victim) string { return "version 1" })
}

// compare asks for v1 of every victim.
func compare(t *testing.T, s *site, g *gateway, when string, all []*victim, want func(*victim) string) {
	t.Helper()
	for _, v := range all {
		a := g.manifest(t, v.image(), "v1")
		got := a.String()
		if version := s.version(v.repo, a); version >= 0 {
			got = fmt.Sprint("version ", version)
		}
		if got != want(v) {
			t.Errorf("%s: %s with %v %s: v1 is %s, want %s: %.300s", when, v.image(), v.files, v.how, got, want(v), a.body)
		}
	}
}
