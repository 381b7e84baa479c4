package signing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// An Edit is a repository in the course of being changed. It is valid during the call of Change that made it, for one
// goroutine.
type Edit struct {
	base   *View // as published
	now    time.Time
	keys   *Keychain
	online *Keychain // of the snapshot and timestamp keys; nil at a gateway
	fresh  map[string][]PublicKey

	root    *rootFile // nil: not changed
	changed map[string]*targetsFile
	adopted map[string][]byte // files among changed that are signed already
	reissue bool              // snapshot and timestamp are wanted although no role has changed
	notes   []string
	failure error // of a verb: nothing is published after it
}

// View returns the repository as changed so far. The roles that are changed carry no signatures yet.
func (e *Edit) View() *View {
	v := *e.base
	v.targets, v.broken = maps.Clone(v.targets), maps.Clone(v.broken)
	maps.Copy(v.targets, e.changed)
	for role := range e.changed {
		delete(v.broken, role)
	}
	if e.root != nil {
		v.root = e.root
	}
	return &v
}

// note adds a line for the person who makes the change.
func (e *Edit) note(format string, a ...any) {
	if n := fmt.Sprintf(format, a...); !slices.Contains(e.notes, n) {
		e.notes = append(e.notes, n)
	}
}

// fail keeps the error of a verb, because what it has done up to then must not be published.
func (e *Edit) fail(err *error) {
	if e.failure == nil {
		e.failure = *err
	}
}

// role returns the file of a targets role to be changed: the next version of it, without signatures.
func (e *Edit) role(name string) (*targetsFile, error) {
	if t := e.changed[name]; t != nil {
		delete(e.adopted, name)
		return t, nil
	}
	t, err := e.next(name)
	if err != nil {
		return nil, err
	}
	t.Signed.Expires = e.until(name)
	e.changed[name] = t
	return t, nil
}

func (e *Edit) next(name string) (*targetsFile, error) {
	if published := e.base.targets[name]; published != nil {
		t, err := clone(published)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.Signed.Version++
		return t, nil
	}
	t := metadata.Targets()
	listed := e.base.listed(name)
	if listed == nil {
		return t, nil
	}
	// What does not verify is not signed over. Where keys were changed that is meant to be, and the role begins anew;
	// where a file was lost or damaged it would be a loss for ever.
	if err := e.base.broken[name]; err != nil && !unsigned(err) {
		return nil, fmt.Errorf("%s does not verify, so nothing can be added: %w: bring its file back from a back-up", name, err)
	}
	t.Signed.Version = listed.Version + 1
	e.note("%s begins anew, without tags: its version %d does not count any more", name, listed.Version)
	return t, nil
}

// unsigned tells whether a role does not verify because of who signed it, rather than because of what became of its file.
func unsigned(err error) bool {
	reason := trust.ReasonOf(err)
	return reason == trust.ThresholdNotMet || reason == trust.SignatureInvalid
}

// clone returns a copy without signatures that shares nothing with its original.
func clone[T metadata.Roles](m *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	c, err := new(metadata.Metadata[T]).FromBytes(data)
	if err != nil {
		return nil, err
	}
	c.ClearSignatures()
	return c, nil
}

// nextRoot returns the next root file to be changed.
func (e *Edit) nextRoot() (*rootFile, error) {
	if e.root != nil {
		return e.root, nil
	}
	r, err := clone(e.base.root)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	r.Signed.Version++
	r.Signed.Expires = e.until(metadata.ROOT)
	e.root = r
	return r, nil
}

// until returns when a file ends that is signed now.
// TUF: other implementations refuse fractions of a second.
func (e *Edit) until(role string) time.Time {
	return e.now.UTC().Truncate(time.Second).Add(expiryOf(e.base.root).of(role))
}

// An authority says whose signatures a role needs.
type authority struct {
	keys      map[string]*metadata.Key
	ids       []string
	threshold int
}

// local returns those keys of an authority that are in a keychain, by their id in the metadata.
func (a authority) local(k *Keychain) []string {
	var ids []string
	for _, id := range a.ids {
		if k.Has(canonicalID(a.keys[id])) {
			ids = append(ids, id)
		}
	}
	return ids
}

// authorities returns who must sign a role, by every role of the view that delegates to it; none if nobody does.
func (v *View) authorities(role string) []authority {
	if slices.Contains(atTop, role) {
		r := v.root.Signed.Roles[role]
		return []authority{{v.root.Signed.Keys, r.KeyIDs, r.Threshold}}
	}
	var all []authority
	for _, t := range v.targets {
		for _, d := range delegated(t) {
			if d.Name == role {
				all = append(all, authority{t.Signed.Delegations.Keys, d.KeyIDs, d.Threshold})
			}
		}
	}
	return all
}

// can tells whether enough private keys are at hand to sign a role as it will be.
func (e *Edit) can(role string) bool {
	all := e.View().authorities(role)
	for _, a := range all {
		if len(a.local(e.keys)) < a.threshold {
			return false
		}
	}
	return len(all) > 0
}

// seal signs a file for its role as all of must ask, and, as far as keys are at hand, as may ask.
func seal[T metadata.Roles](k *Keychain, role string, m *metadata.Metadata[T], must, may []authority) ([]byte, error) {
	message, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	if len(must) == 0 {
		return nil, fmt.Errorf("%s: no role delegates to it", role)
	}
	m.ClearSignatures()
	for i, a := range slices.Concat(must, may) {
		local := a.local(k)
		if len(local) < a.threshold && i < len(must) {
			return nil, fmt.Errorf("%s needs %d of its %d keys, the keychain %s has %d: %w: it lacks %s",
				role, a.threshold, len(a.ids), dirOf(k), len(local), ErrNoKey, missing(a, local))
		}
		for _, id := range local[:min(a.threshold, len(local))] {
			if err := countersign(m, k, role, id, canonicalID(a.keys[id]), message); err != nil {
				return nil, err
			}
		}
	}
	return m.ToBytes(false)
}

func dirOf(k *Keychain) string {
	if k == nil {
		return "(none)"
	}
	return k.Dir()
}

// missing names the keys of an authority that are not at hand.
func missing(a authority, local []string) string {
	var ids []string
	for _, id := range a.ids {
		if !slices.Contains(local, id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids[:min(len(ids), 8)], ", ")
}

// countersign adds the signature of one key under the id that the metadata has for it.
// TUF: a key that signs twice makes the file one that nobody loads.
func countersign[T metadata.Roles](m *metadata.Metadata[T], k *Keychain, role, id, canonical string, message []byte) error {
	if slices.ContainsFunc(m.Signatures, func(s metadata.Signature) bool { return s.KeyID == id }) {
		return nil
	}
	private, err := k.signer(canonical, role)
	if err != nil {
		return err
	}
	s, err := sign(private, message)
	if err != nil {
		return fmt.Errorf("%s key %s: %w", role, id, err)
	}
	m.Signatures = append(m.Signatures, metadata.Signature{KeyID: id, Signature: s})
	return nil
}
