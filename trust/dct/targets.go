package dct

import (
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// A timestamp is a parsed timestamp file: which snapshot is current.
type timestamp struct {
	*document
	snapshot fileinfo
}

func parseTimestamp(raw []byte) (*timestamp, error) {
	d, err := parse("timestamp", "Timestamp", raw)
	if err != nil {
		return nil, err
	}
	t := &timestamp{document: d, snapshot: mandatory(d.signed.get("meta").get("snapshot"))}
	return t, d.finish()
}

// mandatory reads a fileinfo that must have a sha256.
func mandatory(n node) fileinfo {
	f := parseFileinfo(n)
	if f.hashes["sha256"] == nil {
		n.fail("no sha256")
	}
	return f
}

// A snapshot is a parsed snapshot file: the current file of every role.
type snapshot struct {
	*document
	meta map[string]fileinfo
}

func parseSnapshot(raw []byte) (*snapshot, error) {
	d, err := parse("snapshot", "Snapshot", raw)
	if err != nil {
		return nil, err
	}
	s := &snapshot{document: d, meta: make(map[string]fileinfo)}
	for _, m := range d.signed.get("meta").members() {
		if m.name == "root" || m.name == "targets" || delegation(m.name) {
			s.meta[m.name] = mandatory(m.node)
		}
	}
	for _, role := range []string{"root", "targets"} {
		if _, ok := s.meta[role]; !ok {
			d.signed.fail("does not list %s", role)
		}
	}
	return s, d.finish()
}

// A targets is the parsed file of targets or of a delegated role.
type targets struct {
	*document
	entries  map[string]entry
	children []child

	// paths are the prefixes of the names that the role may speak for: its own, as far as its parents grant them.
	paths []string
	// until is when the role ends, because it or one above it does.
	until time.Time
	// refusal is why the role may not be used although the rest is verified; nil if it may.
	refusal *trust.Refusal
}

// An entry is one signed name. Its digest is empty when the signer gave none that can be used.
type entry struct {
	digest digest.Digest
	length int64
}

// A child is a delegation.
type child struct {
	role  string
	by    authority
	paths []string
}

func parseTargets(role string, raw []byte) (*targets, error) {
	d, err := parse(role, "Targets", raw)
	if err != nil {
		return nil, err
	}
	t := &targets{document: d, entries: make(map[string]entry)}
	for _, m := range d.signed.get("targets").members() {
		f := parseFileinfo(m.node)
		e := entry{length: f.length}
		// DCT: section 4.1, only a sha256 makes an entry usable.
		if sum := f.hashes["sha256"]; sum != nil {
			e.digest = digest.NewDigestFromBytes(digest.SHA256, sum)
		}
		t.entries[m.name] = e
	}
	t.children = parseDelegations(role, d.signed.get("delegations"))
	return t, d.finish()
}

// parseDelegations reads the delegations of a role.
//
// DCT: section 3.5, a name that is not a direct child's, or an unknown key, makes the whole file invalid.
func parseDelegations(parent string, n node) []child {
	if n.v == nil {
		return nil
	}
	list := n.get("keys")
	if len(list.members()) > maxKeys {
		list.fail("more than %d keys", maxKeys)
		return nil
	}
	keys := parseKeys(list)
	var children []child
	seen := make(map[string]bool)
	for _, r := range n.get("roles").list() {
		c := child{role: r.get("name").str(), by: parseAuthority(r, keys)}
		last, direct := strings.CutPrefix(c.role, parent+"/")
		if !delegation(c.role) || !direct || strings.Contains(last, "/") {
			r.fail("%.80q is not a delegation of %s", c.role, parent)
		}
		if seen[c.role] {
			r.fail("role %.80q twice", c.role)
		}
		seen[c.role] = true
		for _, p := range r.get("paths").list() {
			c.paths = append(c.paths, p.str())
		}
		children = append(children, c)
	}
	if len(children) > maxRoles {
		n.fail("more than %d roles", maxRoles)
	}
	return children
}

// grant returns those of the paths that lie below one of the parent's.
//
// DCT: section 3.5, plain string prefixes; no paths match nothing.
func grant(parent, paths []string) []string {
	var granted []string
	for _, p := range paths {
		if hasPrefix(p, parent) {
			granted = append(granted, p)
		}
	}
	return granted
}

// hasPrefix tells whether s begins with one of the prefixes.
func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// covers tells whether the role may speak for the name.
func (t *targets) covers(name string) bool { return hasPrefix(name, t.paths) }

// broken marks the role as unusable for the reason that err carries.
func (t *targets) broken(err error) {
	if !errors.As(err, &t.refusal) {
		t.refusal = &trust.Refusal{Reason: trust.MetadataInvalid, Text: t.role, Err: err}
	}
}
