package tuf

import (
	"context"
	"fmt"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

const (
	// maxWork bounds what the delegations of one signer cost, in paths tried for all names of the repository together. It is
	// some seconds' work at most.
	maxWork = 1 << 24
	// visitWork is what asking one role counts as.
	visitWork = 8
	// pause is how many names are looked up between two looks at the context.
	pause = 256
)

// flatten looks up every name that a role speaks of, for the snapshot that decisions look into. A signer whose delegations
// cost too much loses them, as if they did not verify, and all names are looked up again, once: what is said of a name does
// not depend on when it was looked up, and nobody costs more than before. No other signer pays for it.
//
// PRODUCT: invariant 9, bounded.
func (t *trusted) flatten(ctx context.Context) error {
	names := 0
	for _, n := range t.order {
		names += len(n.role.paths)
	}
	for cut := true; cut; {
		cut = false
		for _, n := range t.order {
			n.work = 0
		}
		t.entries = make(map[string]trust.Entry, names)
		asked := 0
		for _, n := range t.order {
			for _, path := range n.role.paths {
				if asked++; asked%pause == 0 && ctx.Err() != nil {
					return unreachable("roles", ctx.Err())
				}
				if _, done := t.entries[path]; done {
					continue
				}
				w := walker{target: path, meter: true}
				e := t.ask(&w)
				cut = cut || w.cut
				if len(e.Claims) > 0 || e.Refusal != nil { // else nobody lets the role speak for it
					t.entries[path] = e
				}
			}
		}
	}
	return nil
}

// charge notes what asking a signer cost.
func (w *walker) charge(n *node, work int64) {
	if n.work += work; n.work > maxWork && n.cut == nil {
		n.cut, w.cut = invalid(n.name, fmt.Errorf("its delegations take more than %d steps to follow", maxWork)), true
	}
}

// snapshotOf returns the snapshot that decisions look into. Part names the image repository that a target is of.
func (t *trusted) snapshotOf(checked time.Time, part func(target string) (repository string, ok bool)) *trust.Snapshot {
	s := &trust.Snapshot{Checked: checked, Versions: t.versions(), Entries: t.entries, Absent: t.walk}
	for _, v := range s.Versions[:4] {
		if s.Expires.IsZero() || v.Expires.Before(s.Expires) {
			s.Expires = v.Expires
		}
	}
	listed := make(map[string]int)
	for path, e := range t.entries {
		if repository, ok := part(path); ok && len(e.Claims) > 0 {
			listed[repository]++
			s.Listed++
		}
	}
	s.ListedBy = func(repository string) int { return listed[repository] }
	// An estimate: the files, what they are parsed into, and the flat form.
	s.Size = 2*t.bytes() + 512*int64(len(s.Entries)) + 1024*int64(len(t.nodes))
	return s
}
