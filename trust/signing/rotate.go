package signing

import (
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Rotate replaces every key of a role whose private key is at hand by a fresh one: "root", "targets", "snapshot",
// "timestamp", or a signer. It needs the keys of the role and those of its delegator: the root keys for the four roles at
// the top, the targets key for a signer. The keys of snapshot and timestamp are the publisher's: they can be rotated only
// in the repository's folder, and a running publisher takes the new ones if its passphrase opens them.
func (e *Edit) Rotate(role string) (err error) {
	defer e.fail(&err)
	if !slices.Contains(atTop, role) {
		return e.rotateSigner(role)
	}
	k := e.keys
	if role == metadata.SNAPSHOT || role == metadata.TIMESTAMP {
		k = e.online
	}
	if k == nil {
		return fmt.Errorf("%s: its keys are the publisher's: rotate them in the repository's folder", role)
	}
	r, err := e.nextRoot()
	if err != nil {
		return err
	}
	own := r.Signed.Roles[role]
	own.KeyIDs, err = e.replace(role, k, r.Signed.Keys, own.KeyIDs)
	if err != nil {
		return err
	}
	maps.DeleteFunc(r.Signed.Keys, func(id string, _ *metadata.Key) bool {
		return !slices.ContainsFunc(atTop, func(role string) bool { return slices.Contains(r.Signed.Roles[role].KeyIDs, id) })
	})
	if role == metadata.TARGETS {
		_, err = e.role(role)
	}
	return err
}

func (e *Edit) rotateSigner(name string) error {
	if _, known := e.delegation(name); !known {
		return fmt.Errorf("role %.80q: there is no such signer, and no such role at the top", name)
	}
	t, err := e.role(metadata.TARGETS)
	if err != nil {
		return err
	}
	all := t.Signed.Delegations
	i := slices.IndexFunc(all.Roles, func(d metadata.DelegatedRole) bool { return d.Name == name })
	all.Roles[i].KeyIDs, err = e.replace(name, e.keys, all.Keys, all.Roles[i].KeyIDs)
	if err != nil {
		return err
	}
	tidy(all)
	_, err = e.role(name)
	return err
}

// replace returns the ids with those replaced whose private keys are at hand, and adds the fresh keys to keys.
func (e *Edit) replace(role string, k *Keychain, keys map[string]*metadata.Key, ids []string) ([]string, error) {
	ids = slices.Clone(ids)
	kept, used := 0, 0
	for i, id := range ids {
		old := keys[id]
		if !k.Has(canonicalID(old)) {
			kept++
			continue
		}
		p, err := e.freshKey(role, used, k, algorithmOf(old))
		if err != nil {
			return nil, err
		}
		used++
		ids[i] = p.ID
		keys[p.ID] = p.key
	}
	if used == 0 {
		return nil, fmt.Errorf("%s: %w %s", role, ErrNoKey, dirOf(k))
	}
	if kept > 0 {
		e.note("%s: %d of its %d keys are not in the keychain, and stay", role, kept, len(ids))
	}
	return ids, nil
}

// freshKey returns the nth fresh key for a role. When a change is made again it gets the keys that were made for it at first.
func (e *Edit) freshKey(role string, n int, k *Keychain, a Algorithm) (PublicKey, error) {
	if n < len(e.fresh[role]) {
		return e.fresh[role][n], nil
	}
	p, err := k.Generate(role, a)
	if err == nil {
		e.fresh[role] = append(e.fresh[role], p)
	}
	return p, err
}

func algorithmOf(k *metadata.Key) Algorithm {
	if k.Type == metadata.KeyTypeEd25519 {
		return Ed25519
	}
	return ECDSA
}

// Renew signs anew, with a new expiry, every role that has less than a third of its validity left and for which enough
// private keys are at hand; or all such roles. It returns their names; roles that are due, but whose keys are elsewhere,
// are named in a note. Snapshot and timestamp of a folder are renewed too: with all always, else when they are due.
func (e *Edit) Renew(all bool) (renewed []string, err error) {
	defer e.fail(&err)
	e.reissue = e.reissue || all
	x := expiryOf(e.base.root)
	roles := []Role{{Name: metadata.ROOT, Expires: e.base.root.Signed.Expires}}
	for role, t := range e.base.targets {
		roles = append(roles, Role{Name: role, Expires: t.Signed.Expires})
	}
	slices.SortFunc(roles[1:], func(a, b Role) int { return compareRoles(a.Name, b.Name) })
	for _, r := range roles {
		due := !e.now.Before(x.due(r.Name, r.Expires))
		switch can := e.can(r.Name); {
		case !can && due:
			e.note("%s is due, it ends on %s, and its keys are not in the keychain", r.Name, r.Expires.UTC().Format("2006-01-02"))
		case can && (due || all):
			if err := e.renew(r.Name); err != nil {
				return nil, err
			}
			renewed = append(renewed, r.Name)
		}
	}
	return renewed, nil
}

func (e *Edit) renew(role string) error {
	if role == metadata.ROOT {
		_, err := e.nextRoot()
		return err
	}
	_, err := e.role(role)
	return err
}

// compareRoles puts "targets" first.
func compareRoles(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == metadata.TARGETS, b != metadata.TARGETS && a < b:
		return -1
	}
	return 1
}
