package tuf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Limits on delegations. What lies beyond them refuses the names that it is for.
const (
	maxRoles = 2048 // roles in one repository
	maxEdges = 4096 // delegations in one repository
	maxDepth = 32   // delegations from targets to a role, on the shortest way
	maxBits  = 10   // of succinct_roles
	// maxVerdicts bounds by how many sets of keys the delegations of one signer have one role's file verified. Each signer
	// has a count of its own, and each update begins anew, so that none can use up another's.
	maxVerdicts = 8
	// maxName is the most bytes of a role's name: what it is published under must be a file name.
	maxName = 160
)

// roles verifies targets and everything that it reaches, level by level.
//
// TUF: section 5.6.
func (u *update) roles(ctx context.Context) error {
	top := &node{name: metadata.TARGETS, by: rootAuthority(u.set.Root, metadata.TARGETS)}
	u.next.top, u.next.nodes = top, map[string]*node{top.name: top}
	if err := u.load(ctx, []*node{top}); err != nil {
		return err
	}
	if top.refusal != nil {
		return top.refusal
	}
	if err := u.current(top.name, top.role.version, top.role.expires); err != nil {
		return err
	}
	e := u.edge(nil, top, top.by)
	if e.refusal != nil {
		return e.refusal
	}
	for level, depth := u.open(nil, nil, e), 1; len(level) > 0; depth++ {
		if err := u.load(ctx, u.extend(level, depth)); err != nil {
			return err
		}
		var next []*node
		for _, n := range level {
			for i := range n.edges {
				// The library takes no context.
				if err := ctx.Err(); err != nil {
					return unreachable("roles", err)
				}
				u.judge(n, i)
				next = u.open(next, n, n.edges[i])
			}
		}
		level = next
	}
	return u.sign()
}

// sign notes who signed the three files above targets.
func (u *update) sign() error {
	u.next.signers = make(map[string][]string)
	for role, f := range map[string]struct {
		md         any
		signatures []metadata.Signature
	}{
		metadata.ROOT:      {u.next.root, u.next.root.Signatures},
		metadata.TIMESTAMP: {u.next.timestamp.md, u.next.timestamp.md.Signatures},
		metadata.SNAPSHOT:  {u.next.snapshot.md, u.next.snapshot.md.Signatures},
	} {
		keys, err := rootAuthority(u.next.root, role).verify(role, 0, f.md, f.signatures)
		if err != nil {
			return err
		}
		u.next.signers[role] = keys
	}
	return nil
}

// open adds the role at the end of a delegation that verified to those whose own delegations count, once.
func (u *update) open(level []*node, from *node, e edge) []*node {
	if e.refusal != nil || e.to.open {
		return level
	}
	e.to.way = wayTo(from, e.to)
	e.to.open, e.to.keys, e.to.up, e.to.place = true, e.keys, from, len(u.next.order)
	u.next.order = append(u.next.order, e.to)
	return append(level, e.to)
}

// extend draws the delegations of the roles, and returns the roles that were not met before.
//
// PRODUCT: invariant 9, bounded in number and depth: who is beyond the bounds is known by name, and refused.
func (u *update) extend(level []*node, depth int) []*node {
	var fresh []*node
	for _, n := range level {
		if s := n.signer(); s != nil {
			if s.weight += n.role.weight; s.weight > maxPatterns {
				n.cut = invalid(n.name, fmt.Errorf("with it, %s delegates by more than %d paths, where one that begins with a wildcard counts as %d", label(s.name), maxPatterns, looseWeight))
				continue
			}
		}
		n.edges = make([]edge, len(n.role.delegations))
		for i, d := range n.role.delegations {
			e := &n.edges[i]
			e.terminating = d.Terminating
			e.to = u.next.nodes[d.Name]
			known := e.to != nil
			if !known {
				e.to = &node{name: d.Name, by: n.role.authority(i), from: n}
			}
			switch {
			case u.edges+i >= maxEdges || !known && (depth > maxDepth || len(u.next.nodes) >= maxRoles):
				e.refusal = invalid(n.name, fmt.Errorf("more than %d roles, %d delegations, or deeper than %d", maxRoles, maxEdges, maxDepth))
			case !canBeRole(d.Name):
				e.refusal = invalid(n.name, fmt.Errorf("delegates to %.80q, which no role can be called", d.Name))
			case !known:
				u.next.nodes[d.Name] = e.to
				fresh = append(fresh, e.to)
			}
		}
		u.edges += len(n.edges)
	}
	return fresh
}

// canBeRole tells whether a role can have the name: one under which it cannot be published in the place of another file.
func canBeRole(name string) bool {
	top := slices.Contains([]string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT}, name)
	return name != "" && len(name) <= maxName && !top && !strings.HasSuffix(name, "."+metadata.ROOT)
}

// judge verifies one delegation of a role, by the keys that it gives and no others.
func (u *update) judge(from *node, i int) {
	e, d := &from.edges[i], from.role.delegations[i]
	switch {
	case e.refusal != nil:
		return
	case e.to == u.next.top:
		return // a cycle, which no search follows
	case len(d.PathHashPrefixes) > 0:
		e.refusal = invalid(from.name, fmt.Errorf("delegates to %.80q by path_hash_prefixes, which are not supported", d.Name))
	default:
		*e = u.edge(from, e.to, from.role.authority(i))
		e.terminating = d.Terminating
	}
}

// edge verifies the role's file by the authority that a delegation of from gives it.
func (u *update) edge(from, to *node, by authority) edge {
	e := edge{to: to, refusal: to.refusal}
	if e.refusal != nil {
		return e
	}
	v := u.verify(from, to, by)
	if v.err == nil {
		v.err = u.once(to, by)
	}
	if e.keys = v.keys; v.err != nil {
		e.refusal = refusal(to.name, v.err)
	}
	return e
}

// verify checks a role's file by an authority, for a delegation of from. What one authority made of it is not asked again,
// nor what it made of it in the set before.
func (u *update) verify(from, n *node, by authority) verdict {
	sum := by.sum()
	if v, ok := n.verdicts[sum]; ok {
		return v
	}
	if n.verdicts == nil {
		n.verdicts, n.asked = make(map[[sha256.Size]byte]verdict), make(map[*node]int)
	}
	var signer *node
	if from != nil {
		signer = from.signer()
	}
	// PRODUCT: invariant 9, a file may be large, and be verified by many sets of keys.
	if n.asked[signer]++; n.asked[signer] > maxVerdicts {
		return verdict{err: invalid(n.name, fmt.Errorf("delegated by one signer under more than %d different sets of keys", maxVerdicts))}
	}
	v, known := u.base.verdict(n.role, sum)
	if !known {
		md, err := n.role.parsed()
		if err != nil {
			return verdict{err: err}
		}
		v.keys, v.err = by.verify(n.name, n.role.version, md, md.Signatures)
		if v.err == nil && len(n.verdicts) == 0 && u.base.file(n.name) != n.role {
			n.role.sign(wayTo(from, n), v.keys)
		}
	}
	n.verdicts[sum] = v
	return v
}

// once checks that nobody signed two files of one version for the role, as long as the same keys may sign for it. Whoever
// did is not believed before a later version, whichever of the two is published.
//
// PRODUCT: invariant 6, that does not end with the next update or the next start.
func (u *update) once(n *node, by authority) error {
	sum := fmt.Sprintf("%x", by.sum())
	if n.disputed[sum] != n.role.version {
		if !u.differs(n, by) {
			return nil
		}
		// What stands here is of the set in hand, and of no use beyond its version.
		n.disputed = maps.Clone(n.disputed)
		maps.DeleteFunc(n.disputed, func(_ string, version int64) bool { return version != n.role.version })
		if n.disputed == nil {
			n.disputed = make(map[string]int64)
		}
		n.disputed[sum] = n.role.version
	}
	return &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("%s v%d has other content than the v%d that was verified before", label(n.name), n.role.version, n.role.version)}
}

// disputed returns of which version of a role two files were seen, by the sums of the authorities that signed both.
func (u *update) disputed(name string) map[string]int64 {
	if u.base == nil {
		return u.disputes[name]
	}
	if was := u.base.nodes[name]; was != nil {
		return was.disputed
	}
	return nil
}

// differs tells whether the role's file is another than that of the same version in hand, which verifies as well.
func (u *update) differs(n *node, by authority) bool {
	was := u.base.file(n.name)
	if was == nil || was == n.role || was.version != n.role.version {
		return false
	}
	defer func() { was.md = nil }()
	before, err := was.parsed()
	if err != nil {
		return false
	}
	if _, err := by.verify(was.name, was.version, before, before.Signatures); err != nil {
		return false
	}
	now, err := n.role.parsed()
	if err != nil {
		return true
	}
	a, aerr := cjson.EncodeCanonical(before.Signed)
	b, berr := cjson.EncodeCanonical(now.Signed)
	return aerr != nil || berr != nil || !bytes.Equal(a, b)
}
