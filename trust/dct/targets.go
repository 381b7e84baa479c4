package dct

import (
	"crypto/sha256"
	"encoding/base64"
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

// maxListed is how many files a snapshot may list: delegations that have gone stay listed.
const maxListed = 16 << 10

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
	for name, n := range d.signed.get("meta").members(maxListed) {
		if name == "root" || name == "targets" || delegation(name) {
			s.meta[name] = mandatory(n)
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
	for name, n := range d.signed.get("targets").members(maxEntries) {
		t.entries[name] = parseEntry(n)
	}
	t.children = parseDelegations(role, d.signed.get("delegations"))
	return t, d.finish()
}

// parseEntry reads what a name means. What a signer wrote that cannot be used spoils the entry, not the file.
//
// DCT: section 4.1, only a sha256 makes an entry usable; W10, the length is whatever the signer wrote.
func parseEntry(n node) entry {
	length, _ := n.get("length").v.(int64)
	e := entry{length: max(0, length)}
	for name, h := range n.get("hashes").members(maxHashes) {
		text, _ := h.v.(string)
		if sum, err := base64.StdEncoding.DecodeString(text); err == nil && name == "sha256" && len(sum) == sha256.Size {
			e.digest = digest.NewDigestFromBytes(digest.SHA256, sum)
		}
	}
	return e
}

// parseDelegations reads the delegations of a role.
//
// DCT: section 3.5, a name that is not a direct child's, or an unknown key, makes the whole file invalid.
func parseDelegations(parent string, n node) []child {
	if n.v == nil {
		return nil
	}
	keys := parseKeys(n.get("keys"))
	var children []child
	seen := make(map[string]bool)
	for r := range n.get("roles").list(maxRoles) {
		c := child{role: r.get("name").str(), by: parseAuthority(r, keys)}
		last, direct := strings.CutPrefix(c.role, parent+"/")
		if !delegation(c.role) || !direct || strings.Contains(last, "/") {
			r.fail("%.80q is not a delegation of %s", c.role, parent)
		}
		if seen[c.role] {
			r.fail("role %.80q twice", c.role)
		}
		seen[c.role] = true
		for p := range r.get("paths").list(maxPaths) {
			c.paths = append(c.paths, p.str())
		}
		children = append(children, c)
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
