package tuf

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxWay is how long, in bytes, a signer's name may be that is a way of roles.
const maxWay = 255

// wayTo returns the name as a signer of a role to which from delegates. It is the role's own name only where targets
// delegates to it; else it begins with the signer who lets it speak, as "release/qa" does. Names are written as those of
// files are, without a slash, so that no signer can choose a name for a role that makes it another signer.
func wayTo(from, to *node) string {
	switch {
	case from == nil:
		return metadata.TARGETS
	case from.up == nil:
		return url.PathEscape(to.name)
	}
	return below(from.way, to)
}

// below returns the name as a signer of a role to which the signer of that name delegates.
func below(way string, to *node) string {
	if to.up != nil && to.up.way == way {
		return to.way
	}
	if all := way + "/" + url.PathEscape(to.name); len(all) <= maxWay {
		return all
	}
	first, _, _ := strings.Cut(way, "/")
	return first + "/..."
}

// walk says what all roles together say about a target. It is safe for concurrent use.
//
// TUF: section 5.6.7, a pre-order depth-first search from targets on. The first claim that it meets is what the target
// means. It goes on behind it for who asks for signers, up to a delegation that is terminating, or to a role that may not
// be used: what such a role would have said, or cut off, nobody knows. A role that may not be used and is met before any
// claim refuses the target; there is no falling through to another role.
func (t *trusted) walk(target string) trust.Entry { return t.ask(&walker{target: target}) }

// ask does one search.
func (t *trusted) ask(w *walker) trust.Entry {
	w.top = t.top
	w.covering = t.top.role.covering(w.target, &w.own)
	w.rank()
	w.visit(t.top, t.top.way, t.top.keys)
	if len(w.entry.Claims) == 0 {
		w.entry.Expires = w.until
	}
	return w.entry
}

// A walker is one search.
type walker struct {
	target   string
	top      *node
	covering []int // the delegations of targets that are for the target
	entry    trust.Entry
	until    time.Time // when the first of the delegated roles met so far ends
	seen     set       // roles that were visited
	signers  set       // roles that targets itself lets speak for the target
	own      int64     // paths of targets that were tried
	work     int64     // what the search cost beyond them
	meter    bool      // note it with who caused it
	cut      bool      // a signer was found to cost too much
}

// A set is one of roles, a bit for each.
type set [maxRoles/64 + 1]uint64

func (s *set) add(n *node)      { s[n.place/64] |= 1 << (n.place % 64) }
func (s *set) has(n *node) bool { return n.open && s[n.place/64]&(1<<(n.place%64)) != 0 }

// rank notes to which roles targets itself delegates for the target. Who comes behind a delegation that is terminating, or
// that may not be used, does not speak by targets' word.
func (w *walker) rank() {
	for _, i := range w.covering {
		e := &w.top.edges[i]
		if e.refusal != nil {
			return
		}
		if w.signers.add(e.to); e.terminating {
			return
		}
	}
}

// visit asks a role that may be used, as a signer of that name, signed by the keys, and those to which it delegates. It
// returns true where the search ends.
func (w *walker) visit(n *node, way string, keys []string) (end bool) {
	w.seen.add(n)
	w.work += visitWork
	// What the whole collection rests on, the first role, ends with the collection.
	if n.place > 0 && (w.until.IsZero() || n.role.expires.Before(w.until)) {
		w.until = n.role.expires
	}
	if said := n.role.find(w.target); said != nil {
		if bad, ok := n.role.spoilt[w.target]; ok {
			return w.refuse(bad)
		}
		w.claim(n.role, said, way, keys)
	}
	if n.cut != nil {
		return w.refuse(n.cut)
	}
	covering := w.covering
	if n != w.top {
		covering = n.role.covering(w.target, &w.work)
	}
	for _, i := range covering {
		e := &n.edges[i]
		// A delegation that does not verify ends the search even where the role was met by another that does: it speaks for
		// its own delegator alone.
		if e.refusal != nil {
			return w.refuse(e.refusal)
		}
		// TUF: section 5.6.7.1, a role is visited once: cycles end.
		if !w.seen.has(e.to) && w.follow(n, e, way) {
			return true
		}
		// TUF: section 5.6.7.2.1, nothing after a terminating delegation is asked.
		if e.terminating {
			return true
		}
	}
	return false
}

// follow visits the role at the end of a delegation of n. Those to which targets delegates were met by it first, so that
// their way is their own name. One that targets itself lets speak for the target is that signer,
// whoever else delegates to it and is asked before; every other speaks by the word of n.
func (w *walker) follow(n *node, e *edge, way string) (end bool) {
	if n == w.top {
		before := w.work
		end = w.visit(e.to, e.to.way, e.keys)
		if w.meter {
			w.charge(e.to, w.work-before)
		}
		return end
	}
	if !w.signers.has(e.to) {
		return w.visit(e.to, below(way, e.to), e.keys)
	}
	w.work += int64(len(w.covering))
	i := slices.IndexFunc(w.covering, func(i int) bool { return w.top.edges[i].to == e.to })
	return w.visit(e.to, e.to.way, w.top.edges[w.covering[i]].keys)
}

// refuse ends the search at something that may not be used.
func (w *walker) refuse(r *trust.Refusal) bool {
	if len(w.entry.Claims) == 0 {
		w.entry.Refusal = r
	}
	return true
}

// claim adds what a role says, as a slice of one. The claims of most targets are shared with the role.
func (w *walker) claim(r *role, said []trust.Claim, way string, keys []string) {
	until := w.until
	if until.IsZero() {
		until = r.expires
	}
	own := said[0]
	if len(w.entry.Claims) == 0 {
		w.entry.Expires = w.until
		if own.Expires.Equal(until) && own.Signer == way && slices.Equal(own.Keys, keys) {
			w.entry.Claims = said
			return
		}
	}
	own.Expires, own.Signer, own.Keys = until, way, keys
	w.entry.Claims = append(w.entry.Claims, own)
}
