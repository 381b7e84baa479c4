package tuf

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A trusted is one complete set of files that belong together and that verified. It is immutable once update returns it.
type trusted struct {
	roots [][]byte // from the pinned one to the newest, without gaps
	root  *metadata.Metadata[metadata.RootType]
	// signers are the ids of the keys that signed root, timestamp and snapshot.
	signers   map[string][]string
	timestamp *signed[metadata.TimestampType]
	snapshot  *signed[metadata.SnapshotType]
	// top is targets. It and every role that targets reaches by delegations that verify are in order, nearest first.
	top   *node
	order []*node
	nodes map[string]*node
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
	// by is who may sign it for the first delegation that was met.
	by authority
	// open tells that a delegation to it verified, so that its own delegations count; keys signed it for the first such.
	open  bool
	keys  []string
	place int    // in the set's order, once it is open
	edges []edge // as the role's delegations are
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

// broken returns why roles may not be used, by their names: those of which no delegation verifies.
func (t *trusted) broken() map[string]error {
	all := make(map[string]error)
	for _, n := range t.order {
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

// flatten makes the snapshot that decisions look into. Part names the image repository that a target is of.
func (t *trusted) flatten(checked time.Time, part func(target string) (repository string, ok bool)) *trust.Snapshot {
	s := &trust.Snapshot{Checked: checked, Versions: t.versions(), Absent: t.walk}
	for _, v := range s.Versions[:4] {
		if s.Expires.IsZero() || v.Expires.Before(s.Expires) {
			s.Expires = v.Expires
		}
	}
	names := 0
	for _, n := range t.order {
		names += len(n.role.paths)
	}
	s.Entries = make(map[string]trust.Entry, names)
	listed := make(map[string]int)
	for _, n := range t.order {
		for _, path := range n.role.paths {
			if _, done := s.Entries[path]; done {
				continue
			}
			e := t.walk(path)
			if len(e.Claims) == 0 && e.Refusal == nil {
				continue // nobody lets the role speak for it
			}
			s.Entries[path] = e
			if repository, ok := part(path); ok && len(e.Claims) > 0 {
				listed[repository]++
				s.Listed++
			}
		}
	}
	s.ListedBy = func(repository string) int { return listed[repository] }
	// An estimate: the files, what they are parsed into, and the flat form.
	s.Size = 2*t.bytes() + 512*int64(len(s.Entries)) + 1024*int64(len(t.nodes))
	return s
}
