//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestRollout goes the way an operator goes: audit, report, enforce. What the
// report names, and nothing else, is what enforce refuses or changes.
func TestRollout(t *testing.T) {
	s := newScene(t)
	s.publisher.make(t, s.repository+":moved", 1<<10)
	s.publisher.sign(t, s.repository+":moved")
	released := upstreamDigest(t, s.repository, "moved")
	s.push(t, "moved")

	for _, way := range []string{"watched", "hangup"} {
		t.Run(way, func(t *testing.T) {
			set := settings{pin: pinned(s.root), rule: "source: corp, mode: audit"}
			g := newGateway(t, s.stack, set)
			for _, tag := range []string{"v1", "v2", "moved"} {
				has := upstreamDigest(t, s.repository, tag)
				if a := tagOf(t, g, tag); a.status != http.StatusOK || digest.FromBytes(a.body) != has {
					t.Errorf("audit, %s: status %d, %s, the registry has %s", tag, a.status, digest.FromBytes(a.body), has)
				}
			}
			wantTags(t, g, "moved", "v1", "v2")
			wantReport(t, g, s.repository)

			clients := g.load(t, 4, "v1", s.signed)
			clients.more(t, 20)
			set.rule = "source: corp"
			g.configure(t, s.stack, set)
			if way == "hangup" {
				g.hangup(t)
			}
			eventually(t, "the unsigned tag is refused", func() bool {
				a := tagOf(t, g, "v2")
				return a.status == http.StatusForbidden && a.refusal(t).reason == "unsigned_tag"
			})
			if got := digest.FromBytes(tagOf(t, g, "moved").body); got != released {
				t.Errorf("enforce, moved: %s, signed is %s", got, released)
			}
			wantTags(t, g, "moved", "v1")
			clients.more(t, 20)
			clients.end(t)
		})
	}
}

func tagOf(t *testing.T, g *gateway, tag string) answer {
	t.Helper()
	return g.ask(t, http.MethodGet, "corp/shop/app/manifests/"+tag)
}

// wantTags checks the listing.
func wantTags(t *testing.T, g *gateway, want ...string) {
	t.Helper()
	a := g.ask(t, http.MethodGet, "corp/shop/app/tags/list")
	var list struct{ Tags []string }
	if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Tags, want) {
		t.Errorf("status %d, want tags %v: %.300s", a.status, want, a.body)
	}
}

// wantReport checks that the report names the unsigned and the moved tag, each
// with what enforce would do about it. The log has a decision before its client
// has the answer.
func wantReport(t *testing.T, g *gateway, repository string) {
	t.Helper()
	out, status := tagwarden(t, "audit", "report", "--config", g.config)
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^ +(\S+:\S+) +(would_\S+) +(\S+) `).FindAllStringSubmatch(out, -1) {
		rows = append(rows, strings.Join(m[1:], " "))
	}
	slices.Sort(rows)
	want := []string{repository + ":moved would_change -", repository + ":v2 would_deny unsigned_tag"}
	if status != 0 || !slices.Equal(rows, want) || !strings.Contains(out, "enforce would refuse 1 and change 1") {
		t.Errorf("exit status %d, rows %q, want %q in\n%s", status, rows, want, out)
	}
}
