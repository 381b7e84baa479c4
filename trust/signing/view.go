package signing

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Short names for the four kinds of files.
type (
	rootFile      = metadata.Metadata[metadata.RootType]
	targetsFile   = metadata.Metadata[metadata.TargetsType]
	snapshotFile  = metadata.Metadata[metadata.SnapshotType]
	timestampFile = metadata.Metadata[metadata.TimestampType]
)

// A View is what a repository says at one moment. It is immutable and safe for concurrent use.
type View struct {
	root      *rootFile
	timestamp *timestampFile
	snapshot  *snapshotFile
	targets   map[string]*targetsFile // "targets" and each delegated role that verifies
	broken    map[string]error        // delegated roles that do not
	raw       map[string][]byte       // by the name of the file
	pinned    []byte                  // the root that all was verified from
}

// A Claim is one role's word for what a tag means.
type Claim struct {
	// Signer is the name of the role: a signer's, or "targets".
	Signer string
	Target trust.Target
	// SignedAt is when the entry was written, as its signer says; zero when unknown.
	SignedAt time.Time
}

// A Tag is a tag that is signed.
type Tag struct {
	Name trust.Name
	// Claim is the first claim that a gateway meets, which decides where no rule names signers.
	Claim
	// Signers are the roles that name the same digest, in the order in which a gateway asks them.
	Signers []string
	// Others are the claims that name another digest.
	Others []Claim
	// Expires is when the first of the signers' roles ends.
	Expires time.Time
}

// A Role is a role of the repository and those who sign for it.
type Role struct {
	// Name is "root", "targets", "snapshot", "timestamp", or a signer's name.
	Name string
	// Keys are the ids of its keys.
	Keys []string
	// Threshold is how many of them must sign.
	Threshold int
	// Version is that of the file in force; 0 when there is none yet.
	Version int64
	// Expires is when that file ends.
	Expires time.Time
	// Repositories are the matches of names that a signer signs for; none for the four roles at the top.
	Repositories []string
	// Fault is why a signer's file does not verify; nil if it does. Names that only this signer could sign are refused.
	Fault error
}

// errNotYet is the fault of a signer who has not signed anything.
var errNotYet = errors.New("has not signed yet")

// Tags returns the signed tags of one image repository, by its full name, or of all where it is empty; sorted.
func (v *View) Tags(repository string) []Tag {
	found := make(map[string]bool)
	for _, t := range v.targets {
		for path := range t.Signed.Targets {
			if repository == "" || strings.HasPrefix(path, repository+":") {
				found[path] = true
			}
		}
	}
	var tags []Tag
	for _, path := range slices.Sorted(maps.Keys(found)) {
		// A port makes "host:5000/app:1" begin with "host:", which is no name of an image.
		if n := nameOf(path); repository == "" || n.Repository == repository {
			if t, ok := v.Tag(n); ok {
				tags = append(tags, t)
			}
		}
	}
	return tags
}

// nameOf parts a target path at its last colon, as the template "{name}:{tag}" joins it.
func nameOf(path string) trust.Name {
	i := strings.LastIndexByte(path, ':')
	if i < 0 {
		return trust.Name{Repository: path}
	}
	return trust.Name{Repository: path[:i], Tag: path[i+1:]}
}

// Tag returns the tag if it is signed.
func (v *View) Tag(n trust.Name) (Tag, bool) {
	claims, _ := v.claims(n.String())
	if len(claims) == 0 {
		return Tag{}, false
	}
	t := Tag{Name: n, Claim: claims[0]}
	for _, c := range claims {
		if c.Target.Digest != t.Target.Digest {
			t.Others = append(t.Others, c)
			continue
		}
		t.Signers = append(t.Signers, c.Signer)
		if x := v.targets[c.Signer].Signed.Expires; t.Expires.IsZero() || x.Before(t.Expires) {
			t.Expires = x
		}
	}
	return t, true
}

// claims returns what the roles say about a target, first things first, up to the first role that does not verify, which
// is returned too: a gateway refuses rather than ask who comes after it.
func (v *View) claims(path string) (claims []Claim, broken string) {
	for _, role := range v.walk(path) {
		t := v.targets[role]
		if t == nil {
			return claims, role
		}
		if entry := t.Signed.Targets[path]; entry != nil {
			claims = append(claims, claim(role, entry))
		}
	}
	return claims, ""
}

// walk returns the roles that are asked about a target, as a gateway asks them, "targets" first.
//
// TUF: 5.6.7, pre-order, in the order of the delegations, each role once; a terminating one ends the search.
func (v *View) walk(path string) []string {
	var asked []string
	next := []string{metadata.TARGETS}
	for len(next) > 0 {
		role := next[0]
		next = next[1:]
		if slices.Contains(asked, role) {
			continue
		}
		asked = append(asked, role)
		var below []string
		for _, d := range delegated(v.targets[role]) {
			if !covers(d, path) {
				continue
			}
			below = append(below, d.Name)
			if d.Terminating {
				next = nil
				break
			}
		}
		next = append(below, next...)
	}
	return asked
}

// delegated returns the roles that a file delegates to.
func delegated(t *targetsFile) []metadata.DelegatedRole {
	if t == nil || t.Signed.Delegations == nil {
		return nil
	}
	return t.Signed.Delegations.Roles
}

// custom is what tagwarden writes beside a digest.
type custom struct {
	MediaType string `json:"mediaType,omitempty"`
	SignedAt  string `json:"signedAt,omitempty"`
}

func claim(role string, entry *metadata.TargetFiles) Claim {
	c := Claim{Signer: role, Target: trust.Target{
		Digest: digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(entry.Hashes["sha256"])),
		Size:   entry.Length,
	}}
	if entry.Custom != nil {
		var own custom
		if json.Unmarshal(*entry.Custom, &own) == nil {
			c.Target.MediaType = own.MediaType
			c.SignedAt, _ = time.Parse(time.RFC3339, own.SignedAt) // somebody else's custom may say it otherwise
		}
	}
	return c
}

// Signers returns the signers of one image repository, by its full name, or all of them where it is empty; in the order
// in which a gateway asks them.
func (v *View) Signers(repository string) []Role {
	var all []Role
	for _, d := range v.delegations() {
		if repository != "" && !covers(d, repository+":tag") {
			continue
		}
		r := Role{Name: d.Name, Keys: d.KeyIDs, Threshold: d.Threshold, Repositories: matches(d.Paths), Fault: v.broken[d.Name]}
		if t := v.targets[d.Name]; t != nil {
			r.Version, r.Expires, r.Fault = t.Signed.Version, t.Signed.Expires, nil
		} else if v.listed(d.Name) == nil {
			r.Fault = errNotYet
		}
		all = append(all, r)
	}
	return all
}

// delegations returns every delegation there is, those of the top-level role first.
func (v *View) delegations() []metadata.DelegatedRole {
	all := slices.Clone(delegated(v.targets[metadata.TARGETS]))
	for _, role := range slices.Sorted(maps.Keys(v.targets)) {
		if role != metadata.TARGETS {
			all = append(all, delegated(v.targets[role])...)
		}
	}
	return all
}

// listed returns what the snapshot says about the file of a role; nil if it does not list it.
func (v *View) listed(role string) *metadata.MetaFiles { return v.snapshot.Signed.Meta[role+".json"] }

// Administrative returns the roles root, targets, snapshot and timestamp, in this order.
func (v *View) Administrative() []Role {
	all := []Role{
		{Version: v.root.Signed.Version, Expires: v.root.Signed.Expires},
		{Version: v.targets[metadata.TARGETS].Signed.Version, Expires: v.targets[metadata.TARGETS].Signed.Expires},
		{Version: v.snapshot.Signed.Version, Expires: v.snapshot.Signed.Expires},
		{Version: v.timestamp.Signed.Version, Expires: v.timestamp.Signed.Expires},
	}
	for i, name := range atTop {
		r := v.root.Signed.Roles[name]
		all[i].Name, all[i].Keys, all[i].Threshold = name, r.KeyIDs, r.Threshold
	}
	return all
}
