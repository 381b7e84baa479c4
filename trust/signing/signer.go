package signing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrLastSignature is returned by RemoveSigner when tags would lose their last signature.
var ErrLastSignature = errors.New("tags would lose their last signature")

// A Signer is somebody, or a team, who may sign tags of some image repositories.
type Signer struct {
	// Name is up to 63 of a-z, 0-9, _ and -, and not the name of one of the four roles at the top.
	Name string
	// Keys are added to those that the signer has.
	Keys []PublicKey
	// Repositories are matches as rules have them: a full name, "host/team/*", "host/team/**" (down to eight components
	// below) or "**". They are added to those that the signer has.
	Repositories []string
	// Threshold is how many of the keys must sign; 0: as before, or 1 for a new signer.
	Threshold int
}

// AddSigner adds a signer, or keys and repositories to one that exists. It needs the targets key. A new signer has to sign
// an empty file first: that is done at once where the private keys are at hand, and where the public key brings one along,
// as those of Generate and Load do. Otherwise names that no signer before this one signs are refused until the first
// signature, and a note says so.
func (e *Edit) AddSigner(s Signer) (err error) {
	defer e.fail(&err)
	if err := checkSigner(s.Name); err != nil {
		return err
	}
	old, known := e.delegation(s.Name)
	d, err := s.delegation(old, known)
	if err != nil {
		return fmt.Errorf("signer %s: %w", s.Name, err)
	}
	if known && slices.Equal(d.KeyIDs, old.KeyIDs) && slices.Equal(d.Paths, old.Paths) && d.Threshold == old.Threshold {
		return nil
	}
	if err := e.delegate(d, s.Keys); err != nil {
		return err
	}
	if known && len(d.KeyIDs) > len(old.KeyIDs) {
		e.note("%s: every one of its %d keys now signs for all of %s", s.Name, len(d.KeyIDs), strings.Join(matches(d.Paths), ", "))
	}
	return e.begin(s)
}

// delegation returns the delegation to a signer as the repository has it so far.
func (e *Edit) delegation(name string) (metadata.DelegatedRole, bool) {
	all := delegated(e.View().targets[metadata.TARGETS])
	if i := slices.IndexFunc(all, func(d metadata.DelegatedRole) bool { return d.Name == name }); i >= 0 {
		return all[i], true
	}
	return metadata.DelegatedRole{}, false
}

// delegation returns the delegation with what the signer adds to it.
func (s Signer) delegation(d metadata.DelegatedRole, known bool) (metadata.DelegatedRole, error) {
	if len(d.PathHashPrefixes) > 0 {
		return d, errors.New("is delegated to by hashes of paths, which tagwarden does not change")
	}
	d.Name, d.KeyIDs, d.Paths = s.Name, slices.Clone(d.KeyIDs), slices.Clone(d.Paths)
	for _, k := range s.Keys {
		if k.key == nil {
			return d, errors.New("a key is empty")
		}
		if !slices.Contains(d.KeyIDs, k.ID) {
			d.KeyIDs = append(d.KeyIDs, k.ID)
		}
	}
	for _, r := range s.Repositories {
		_, paths, err := patterns(r)
		if err != nil {
			return d, err
		}
		for _, p := range paths {
			if !slices.Contains(d.Paths, p) {
				d.Paths = append(d.Paths, p)
			}
		}
	}
	if s.Threshold != 0 || !known {
		d.Threshold = max(s.Threshold, 1)
	}
	if len(d.KeyIDs) == 0 || len(d.Paths) == 0 {
		return d, errors.New("needs a key and a repository")
	}
	if s.Threshold < 0 || d.Threshold > len(d.KeyIDs) {
		return d, fmt.Errorf("threshold %d does not fit its %d keys", max(d.Threshold, s.Threshold), len(d.KeyIDs))
	}
	return d, nil
}

// delegate puts the delegation into the top-level role, in the place of the one with its name, or as the last one: what
// was signed by others before stays what it is.
func (e *Edit) delegate(d metadata.DelegatedRole, keys []PublicKey) error {
	t, err := e.role(metadata.TARGETS)
	if err != nil {
		return err
	}
	if t.Signed.Delegations == nil {
		t.Signed.Delegations = &metadata.Delegations{}
	}
	all := t.Signed.Delegations
	if all.SuccinctRoles != nil {
		return errors.New("targets delegates to succinct roles, which tagwarden does not change")
	}
	if all.Keys == nil {
		all.Keys = make(map[string]*metadata.Key)
	}
	for _, k := range keys {
		all.Keys[k.ID] = k.key
	}
	if i := slices.IndexFunc(all.Roles, func(o metadata.DelegatedRole) bool { return o.Name == d.Name }); i >= 0 {
		all.Roles[i] = d
	} else {
		all.Roles = append(all.Roles, d)
	}
	tidy(all)
	return nil
}

// tidy drops the keys that no delegation names.
func tidy(all *metadata.Delegations) {
	maps.DeleteFunc(all.Keys, func(id string, _ *metadata.Key) bool {
		return !slices.ContainsFunc(all.Roles, func(d metadata.DelegatedRole) bool { return slices.Contains(d.KeyIDs, id) })
	})
}

// begin sees to it that a signer whose keys have changed has a file that verifies.
func (e *Edit) begin(s Signer) error {
	published := e.base.targets[s.Name]
	if _, resigned := e.changed[s.Name]; resigned {
		return nil
	}
	if published != nil && verifies(e.changed[metadata.TARGETS], s.Name, published) {
		return nil
	}
	if e.can(s.Name) {
		_, err := e.role(s.Name)
		return err
	}
	if published != nil {
		return fmt.Errorf("signer %s: what it has signed would not count any more: do this where its keys are: %w", s.Name, ErrNoKey)
	}
	if e.base.listed(s.Name) == nil && e.adopt(s) {
		return nil
	}
	e.note("%s has to sign once, anything, before tags count that only it, or a signer added after it, signs", s.Name)
	return nil
}

// adopt publishes the empty file that one of the keys came with.
func (e *Edit) adopt(s Signer) bool {
	for _, k := range s.Keys {
		t, err := parse[metadata.TargetsType](k.starter)
		if err != nil || t.Signed.Type != metadata.TARGETS || len(t.Signed.Targets) > 0 || t.Signed.Delegations != nil || t.Signed.Version != 1 || t.Signed.IsExpired(e.now) {
			continue
		}
		if verifies(e.changed[metadata.TARGETS], s.Name, t) {
			e.adopted[s.Name] = k.starter
			e.changed[s.Name] = t
			return true
		}
	}
	return false
}

// RemoveSigner takes repositories from a signer, all of them where none are given, and with the last of them the signer.
// It needs the targets key. It returns the tags that lose their last signature by it; if there are any, it is refused
// with ErrLastSignature unless force is set.
func (e *Edit) RemoveSigner(name string, repositories []string, force bool) (lost []Tag, err error) {
	defer e.fail(&err)
	d, known := e.delegation(name)
	if !known {
		return nil, fmt.Errorf("signer %s: there is none of this name", name)
	}
	paths, err := without(d, repositories)
	if err != nil {
		return nil, fmt.Errorf("signer %s: %w", name, err)
	}
	before := e.View()
	t, err := e.role(metadata.TARGETS)
	if err != nil {
		return nil, err
	}
	all := t.Signed.Delegations
	i := slices.IndexFunc(all.Roles, func(o metadata.DelegatedRole) bool { return o.Name == name })
	if all.Roles[i].Paths = paths; len(paths) == 0 {
		all.Roles = slices.Delete(all.Roles, i, i+1)
		delete(e.changed, name)
	}
	if tidy(all); len(all.Roles) == 0 {
		t.Signed.Delegations = nil
	}
	lost = lostTags(before, e.View(), name)
	if len(lost) > 0 && !force {
		return lost, fmt.Errorf("signer %s: %d %w", name, len(lost), ErrLastSignature)
	}
	return lost, nil
}

// without returns the patterns that a signer has left; none if nothing is left.
func without(d metadata.DelegatedRole, repositories []string) ([]string, error) {
	if len(repositories) == 0 {
		return nil, nil
	}
	have := matches(d.Paths)
	left := slices.Clone(have)
	for _, r := range repositories {
		m, err := names.ParseMatch(r)
		if err != nil {
			return nil, err
		}
		i := slices.Index(left, m.String())
		if i < 0 {
			return nil, fmt.Errorf("signs for %s, and not for %s as such", strings.Join(have, ", "), m)
		}
		left = slices.Delete(left, i, i+1)
	}
	var paths []string
	for _, m := range left {
		_, p, err := patterns(m)
		if err != nil { // not a match: somebody else's pattern
			p = []string{m}
		}
		paths = append(paths, p...)
	}
	return paths, nil
}

// lostTags returns the tags of a role that were signed before, and are not after.
func lostTags(before, after *View, role string) []Tag {
	var lost []Tag
	if t := before.targets[role]; t != nil {
		for _, path := range slices.Sorted(maps.Keys(t.Signed.Targets)) {
			n := nameOf(path)
			tag, was := before.Tag(n)
			if _, is := after.Tag(n); was && !is {
				lost = append(lost, tag)
			}
		}
	}
	return lost
}
