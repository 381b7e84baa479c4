package tuf

import (
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// walk says what all roles together say about a target. It is safe for concurrent use.
//
// TUF: section 5.6.7, a pre-order depth-first search from targets on. The first claim that it meets is what the target
// means. It goes on behind it for who asks for signers, up to a delegation that is terminating, or to a role that may not
// be used: what such a role would have said, or cut off, nobody knows. A role that may not be used and is met before any
// claim refuses the target; there is no falling through to another role.
func (t *trusted) walk(target string) trust.Entry {
	w := walker{target: target}
	w.visit(t.top, t.top.keys)
	if len(w.entry.Claims) == 0 {
		w.entry.Expires = w.until
	}
	return w.entry
}

// A walker is one search.
type walker struct {
	target string
	entry  trust.Entry
	until  time.Time               // when the first of the delegated roles met so far ends
	seen   [maxRoles/64 + 1]uint64 // roles that were visited, a bit for each
}

// visit asks a role that may be used, signed by the keys, and those to which it delegates. It returns true where the
// search ends.
func (w *walker) visit(n *node, keys []string) (end bool) {
	w.seen[n.place/64] |= 1 << (n.place % 64)
	// What the whole collection rests on, the first role, ends with the collection.
	if n.place > 0 && (w.until.IsZero() || n.role.expires.Before(w.until)) {
		w.until = n.role.expires
	}
	if said := n.role.find(w.target); said != nil {
		if bad, ok := n.role.spoilt[w.target]; ok {
			return w.refuse(bad)
		}
		w.claim(n.role, said, keys)
	}
	for _, i := range n.role.covering(w.target) {
		e := &n.edges[i]
		// TUF: section 5.6.7.1, a role is visited once: cycles end.
		if !w.met(e.to) {
			if e.refusal != nil {
				return w.refuse(e.refusal)
			}
			if w.visit(e.to, e.keys) {
				return true
			}
		}
		// TUF: section 5.6.7.2.1, nothing after a terminating delegation is asked.
		if e.terminating {
			return true
		}
	}
	return false
}

// met tells whether the role was visited.
func (w *walker) met(n *node) bool { return n.open && w.seen[n.place/64]&(1<<(n.place%64)) != 0 }

// refuse ends the search at something that may not be used.
func (w *walker) refuse(r *trust.Refusal) bool {
	if len(w.entry.Claims) == 0 {
		w.entry.Refusal = r
	}
	return true
}

// claim adds what a role says, as a slice of one. The claims of most targets are shared with the role.
func (w *walker) claim(r *role, said []trust.Claim, keys []string) {
	until := w.until
	if until.IsZero() {
		until = r.expires
	}
	own := said[0]
	if len(w.entry.Claims) == 0 {
		w.entry.Expires = w.until
		if own.Expires.Equal(until) && slices.Equal(own.Keys, keys) {
			w.entry.Claims = said
			return
		}
	}
	own.Expires, own.Keys = until, keys
	w.entry.Claims = append(w.entry.Claims, own)
}
