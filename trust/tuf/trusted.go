package tuf

import (
	"crypto/sha256"
	"errors"
	"maps"
	"slices"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A trusted is one complete set of files that belong together and that verified. It is immutable once update returns it.
type trusted struct {
	seen // all three
	// signers are the ids of the keys that signed root, timestamp and snapshot.
	signers map[string][]string
	// top is targets. It and every role that targets reaches by delegations that verify are in order, nearest first.
	top   *node
	order []*node
	nodes map[string]*node
	// entries is what all roles together say of every name that any of them speaks of.
	entries map[string]trust.Entry
}

// A signed is a file and what the library read in it.
type signed[T metadata.Roles] struct {
	raw []byte
	md  *metadata.Metadata[T]
}

// A node is a role in the graph of delegations.
type node struct {
	name string
	role *role // nil: it has no file that can be used
	// refusal is why there is no file. Final tells that asking the source again would not help.
	refusal *trust.Refusal
	final   bool
	// by is who may sign it for the first delegation that was met, which is that of from.
	by   authority
	from *node
	// verdicts are what came of verifying its file, and asked how many of them each signer's delegations took.
	verdicts map[[sha256.Size]byte]verdict
	asked    map[*node]int
	// disputed is of which version two files were seen, by the sums of the authorities that signed both.
	disputed map[string]int64

	// open tells that a delegation to it verified, so that its own delegations count. What follows is of the first such.
	open  bool
	keys  []string // that signed it
	up    *node    // whose delegation it is
	way   string   // its name as a signer
	place int      // in the set's order
	edges []edge   // as the role's delegations are

	// cut is why none of its delegations may be used.
	cut *trust.Refusal
	// weight is how many paths its signer gave away, and work what they cost; of roles to which targets delegates.
	weight int
	work   int64
}

// A verdict is what came of verifying a file by one authority.
type verdict struct {
	keys []string
	err  error
}

// signer returns the role to which targets delegates on the first way to this one; nil for targets.
func (n *node) signer() *node {
	for n.up != nil && n.up.up != nil {
		n = n.up
	}
	if n.up == nil {
		return nil
	}
	return n
}

// An edge is one delegation. Each is verified by itself: a role may be good for one delegator and not for another.
type edge struct {
	to          *node
	keys        []string
	refusal     *trust.Refusal
	terminating bool
}

// file returns the file of the role in an earlier set, nil if it had none.
func (t *trusted) file(name string) *role {
	if t == nil || t.nodes[name] == nil {
		return nil
	}
	return t.nodes[name].role
}

// verdict returns what came of verifying the role's file by an authority, if it was in this set.
func (t *trusted) verdict(r *role, sum [sha256.Size]byte) (verdict, bool) {
	if t.file(r.name) != r {
		return verdict{}, false
	}
	v, ok := t.nodes[r.name].verdicts[sum]
	return v, ok
}

// lacking returns the roles of which the source might have a better file at any moment, sorted.
func (t *trusted) lacking() []string {
	if t == nil {
		return nil
	}
	var all []string
	for name, n := range t.nodes {
		if n.role == nil && !n.final {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// versions returns the files in force; the first four are those on which every answer rests.
func (t *trusted) versions() []trust.RoleVersion {
	all := []trust.RoleVersion{
		{Role: metadata.ROOT, Version: t.root.Signed.Version, Expires: t.root.Signed.Expires},
		{Role: metadata.TIMESTAMP, Version: t.timestamp.md.Signed.Version, Expires: t.timestamp.md.Signed.Expires},
		{Role: metadata.SNAPSHOT, Version: t.snapshot.md.Signed.Version, Expires: t.snapshot.md.Signed.Expires},
	}
	for i := range all {
		all[i].Keys, all[i].Expires = t.signers[all[i].Role], all[i].Expires.UTC()
	}
	for _, n := range t.order {
		all = append(all, trust.RoleVersion{Role: n.name, Version: n.role.version, Expires: n.role.expires, Keys: n.keys})
	}
	return all
}

// bytes returns how many bytes the files have.
func (t *trusted) bytes() int64 {
	n := len(t.timestamp.raw) + len(t.snapshot.raw)
	for _, raw := range t.roots {
		n += len(raw)
	}
	for _, o := range t.nodes {
		if o.role != nil {
			n += len(o.role.raw)
		}
	}
	return int64(n)
}

// broken returns why roles may not be used, by their names: those of which no delegation verifies, and those whose own
// delegations are cut.
func (t *trusted) broken() map[string]error {
	all := make(map[string]error)
	for _, n := range t.order {
		if n.cut != nil {
			all[n.name] = n.cut
		}
		for _, e := range n.edges {
			if e.refusal != nil && !e.to.open && all[e.to.name] == nil {
				all[e.to.name] = e.refusal
			}
		}
	}
	return all
}

// maxFailures is how many roles one event names.
const maxFailures = 8

// failures returns the roles that may not be used as one error; nil if there are none.
func (t *trusted) failures() error {
	if t == nil {
		return nil
	}
	broken := t.broken()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		if len(all) < maxFailures {
			all = append(all, broken[name])
		}
	}
	return errors.Join(all...)
}
