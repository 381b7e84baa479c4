package signing

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxManifest is the most bytes that what a tag means may have.
const maxManifest = 4 << 20

// An Entry is what a tag shall mean.
type Entry struct {
	Name trust.Name
	// Target is its content: a sha256 digest, the size in bytes (at most 4 MiB), and the media type, which may be empty.
	Target trust.Target
}

// check tells whether a gateway would take the entry.
func (n Entry) check() error {
	full, err := names.Repository(n.Name.Repository)
	if err == nil && full != n.Name.Repository {
		err = fmt.Errorf("%s is not the full name, which is %s", n.Name.Repository, full)
	}
	if err == nil {
		err = names.Tag(n.Name.Tag)
	}
	if err == nil {
		err = n.Target.Digest.Validate()
	}
	if err == nil && n.Target.Digest.Algorithm() != digest.SHA256 {
		err = fmt.Errorf("digest %s is not a sha256", n.Target.Digest)
	}
	if err == nil && (n.Target.Size <= 0 || n.Target.Size > maxManifest) {
		err = fmt.Errorf("size of %d bytes is not between 1 and %d", n.Target.Size, maxManifest)
	}
	if err != nil {
		return fmt.Errorf("%.400q: %w", n.Name.String(), err)
	}
	return nil
}

// file returns the entry as metadata has it.
func (n Entry) file(now time.Time) (*metadata.TargetFiles, error) {
	sum, err := hex.DecodeString(n.Target.Digest.Encoded())
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(custom{MediaType: n.Target.MediaType, SignedAt: now.UTC().Format(time.RFC3339)})
	if err != nil {
		return nil, err
	}
	raw := json.RawMessage(data)
	return &metadata.TargetFiles{Length: n.Target.Size, Hashes: metadata.Hashes{"sha256": sum}, Custom: &raw}, nil
}

// A Signed is what Sign did for one entry.
type Signed struct {
	Entry
	// Roles are the roles that were changed; none if every one of them named this content already.
	Roles []string
	// Previous is what the tag meant before; its zero value if it was not signed.
	Previous trust.Target
}

// Sign writes entries into every signer's role that covers the name and for which enough private keys are at hand, or
// only into that of the one signer named. Where no signer covers a name, it goes into the top-level targets role.
//
// A tag for which another role names other content, and is asked first, is an error that names the role; with one signer
// named it is a note, because rules may ask for just that signer.
func (e *Edit) Sign(entries []Entry, signer string) (done []Signed, err error) {
	defer e.fail(&err)
	able := make(map[string]bool)
	before := e.View()
	want := make(map[trust.Name]digest.Digest, len(entries))
	for _, n := range entries {
		if err := n.check(); err != nil {
			return nil, err
		}
		if d, twice := want[n.Name]; twice && d != n.Target.Digest {
			return nil, fmt.Errorf("%s: cannot mean both %s and %s", n.Name, d, n.Target.Digest)
		}
		want[n.Name] = n.Target.Digest
		roles, err := e.signersOf(n.Name, signer, able)
		if err != nil {
			return nil, err
		}
		s := Signed{Entry: n}
		if t, ok := before.Tag(n.Name); ok {
			s.Previous = t.Target
		}
		for _, role := range roles {
			changed, err := e.enter(role, n)
			if err != nil {
				return nil, err
			}
			if changed {
				s.Roles = append(s.Roles, role)
			}
		}
		done = append(done, s)
	}
	return done, e.heard(entries, signer != "")
}

// signersOf returns the roles that sign a name here. able remembers for which roles there are keys.
func (e *Edit) signersOf(n trust.Name, signer string, able map[string]bool) ([]string, error) {
	here := func(role string) bool {
		can, known := able[role]
		if !known {
			can = e.can(role)
			able[role] = can
		}
		return can
	}
	all := e.View().walk(n.String())
	if signer != "" {
		if !slices.Contains(all, signer) {
			return nil, fmt.Errorf("%s: %s does not sign for this repository, let the holder of the targets key add it", n, signer)
		}
		if !here(signer) {
			return nil, fmt.Errorf("%s: %s: %w %s", n, signer, ErrNoKey, dirOf(e.keys))
		}
		return []string{signer}, nil
	}
	if len(all) == 1 { // docker, too, signs with the repository's own key before there is a signer
		if !here(metadata.TARGETS) {
			return nil, fmt.Errorf("%s: nobody signs for this repository, and the targets %w %s: add a signer first", n, ErrNoKey, dirOf(e.keys))
		}
		return all, nil
	}
	roles := slices.DeleteFunc(slices.Clone(all[1:]), func(role string) bool { return !here(role) })
	if len(roles) == 0 {
		return nil, fmt.Errorf("%s: signed by %s: %w %s", n, strings.Join(all[1:], ", "), ErrNoKey, dirOf(e.keys))
	}
	return roles, nil
}

// enter writes the entry into a role. It reports false if the role names this content already.
func (e *Edit) enter(role string, n Entry) (bool, error) {
	path := n.Name.String()
	if t := e.View().targets[role]; t != nil {
		if old := t.Signed.Targets[path]; old != nil && claim(role, old).Target == n.Target {
			return false, nil
		}
	}
	t, err := e.role(role)
	if err != nil {
		return false, err
	}
	f, err := n.file(e.now)
	if err != nil {
		return false, err
	}
	if t.Signed.Targets == nil {
		t.Signed.Targets = make(map[string]*metadata.TargetFiles)
	}
	t.Signed.Targets[path] = f
	return true, nil
}

// heard tells whether a gateway gives the new content for the names, or whom it asks first.
func (e *Edit) heard(entries []Entry, lenient bool) error {
	v := e.View()
	for _, n := range entries {
		claims, broken := v.claims(n.Name.String())
		var why string
		switch {
		case len(claims) == 0:
			why = fmt.Sprintf("%s is asked first, and its file does not verify: it has to sign first", broken)
		case claims[0].Target.Digest != n.Target.Digest:
			why = fmt.Sprintf("%s already names %s, and is asked first: sign as %s too, or revoke that", claims[0].Signer, claims[0].Target.Digest, claims[0].Signer)
		default:
			continue
		}
		if !lenient {
			return fmt.Errorf("%s: %s", n.Name, why)
		}
		e.note("%s: without a rule that asks for signers nothing changes: %s", n.Name, why)
	}
	return nil
}

// Revoke removes a tag, or all tags of the repository where n.Tag is empty, from every role for which enough private keys
// are at hand, or only from that of the one signer named. It returns the tags as they were. Roles that still name one of
// them are named in a note. It is an error if there was nothing to remove.
func (e *Edit) Revoke(n trust.Name, signer string) (revoked []Tag, err error) {
	defer e.fail(&err)
	tags := e.View().Tags(n.Repository)
	tags = slices.DeleteFunc(tags, func(t Tag) bool { return n.Tag != "" && t.Name.Tag != n.Tag })
	if len(tags) == 0 {
		return nil, fmt.Errorf("%s is not signed", n)
	}
	able := make(map[string]bool)
	for _, t := range tags {
		removed, err := e.strike(t, signer, able)
		if err != nil {
			return nil, err
		}
		if removed {
			revoked = append(revoked, t)
		}
	}
	if len(revoked) == 0 {
		return nil, fmt.Errorf("%s: signed by %s: %w %s", n, strings.Join(tags[0].all(), ", "), ErrNoKey, dirOf(e.keys))
	}
	return revoked, nil
}

// all returns every role that says something about the tag.
func (t Tag) all() []string {
	roles := slices.Clone(t.Signers)
	for _, c := range t.Others {
		roles = append(roles, c.Signer)
	}
	return roles
}

// strike removes the tag from the roles that it may be removed from.
func (e *Edit) strike(t Tag, signer string, able map[string]bool) (removed bool, err error) {
	for _, role := range t.all() {
		if _, known := able[role]; !known {
			able[role] = e.can(role)
		}
		if signer != "" && role != signer || !able[role] {
			e.note("%s is still signed by %s", t.Name, role)
			continue
		}
		file, err := e.role(role)
		if err != nil {
			return false, err
		}
		delete(file.Signed.Targets, t.Name.String())
		removed = true
	}
	return removed, nil
}
