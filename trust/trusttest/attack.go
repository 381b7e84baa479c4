package trusttest

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// The verbs below are attacks, and accidents, on a repository that is published. Each leaves the outcome published.

// delegator returns the role that says who may sign the role. Of delegated roles, only those of targets are attacked.
func (r *Repository) delegator(role *Role) *Role {
	if slices.Contains(r.Delegations, role) {
		return r.Targets
	}
	return r.Root
}

// newKey returns a fresh key for the role.
func (r *Repository) newKey(role *Role) *Key {
	if role == r.Root {
		return r.format.rootKey()
	}
	return NewKey(Ed25519)
}

// Impersonate has the role's next version signed by keys that are not the role's: a stranger's, and another role's.
func (r *Repository) Impersonate(role *Role) {
	other := r.Snapshot
	if role == other {
		other = r.Timestamp
	}
	role.Signers = []*Key{r.newKey(role), other.Keys[0]}
	r.Next(role)
}

// Revoke gives the role another key, but has its next version signed by the old one.
func (r *Repository) Revoke(role *Role) {
	role.Signers, role.Keys = role.Keys, []*Key{r.newKey(role)}
	r.Next(role, r.delegator(role))
}

// StripSignature publishes the role's next version without any signature.
func (r *Repository) StripSignature(role *Role) {
	role.Signers = []*Key{}
	r.Next(role)
}

// SpoilSignature changes the last signature of the role's next version.
func (r *Repository) SpoilSignature(role *Role) {
	r.Tamper(role, func(raw []byte) []byte {
		i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`) + 8
		raw[i] = map[bool]byte{true: 'b', false: 'a'}[raw[i] == 'a']
		return raw
	})
}

// Tamper changes the role's next version after it was signed. Files that name it name what it was changed to.
func (r *Repository) Tamper(role *Role, change func([]byte) []byte) {
	role.Tamper = change
	r.Next(role)
}

// require makes the role's threshold two of two keys, and has the next version signed as it is told.
func (r *Repository) require(role *Role, signers ...*Key) {
	role.Keys, role.Threshold, role.Signers = append(slices.Clone(role.Keys), r.newKey(role)), 2, signers
	r.Next(role, r.delegator(role))
}

// FallShort leaves the role's next version one signature short.
func (r *Repository) FallShort(role *Role) { r.require(role, role.Keys[0]) }

// Cosign has the role's next version signed by both of two keys that it then needs.
func (r *Repository) Cosign(role *Role) { r.require(role) }

// DropThreshold makes the role need no signature, and gives its next version none.
func (r *Repository) DropThreshold(role *Role) {
	role.Threshold, role.Signers = 0, []*Key{}
	r.Next(role, r.delegator(role))
}

// CountTwice makes up for a missing signature of the role's next version with a second one by the same key.
func (r *Repository) CountTwice(role *Role) { r.require(role, role.Keys[0], role.Keys[0]) }

// CountAlias gives the role one key under two ids, of which it needs two.
func (r *Repository) CountAlias(role *Role) {
	role.Keys, role.Threshold = r.format.aliases(role.Keys[0]), 2
	r.Next(role, r.delegator(role))
}

// Rollback publishes the role in the version before the one that is published.
func (r *Repository) Rollback(role *Role) {
	role.Version--
	if role == r.Timestamp || role == r.Snapshot {
		role.Version-- // the next is published below
	}
	r.Next()
}

// Expire publishes the role's next version when it has ended already.
func (r *Repository) Expire(role *Role) {
	role.Expires = r.Now.Add(-time.Second)
	r.Next(role)
}

// Freeze lets time pass until the timestamp has ended, while nothing new is published.
func (r *Repository) Freeze() { r.Now = r.Timestamp.Expires.Add(time.Second) }

// Mix publishes the role's next version, but serves the one before in its place.
func (r *Repository) Mix(role *Role) {
	old := r.Files()[r.File(role)]
	r.Next(role)
	r.put(r.File(role), old)
}

// Interrupt publishes the role's next version, but for its own file.
func (r *Repository) Interrupt(role *Role) {
	r.Next(role)
	r.Remove(r.File(role))
}

// Withhold publishes the role's next version, but for the timestamp.
func (r *Repository) Withhold(role *Role) {
	old := r.Files()["timestamp.json"]
	r.Next(role)
	r.put("timestamp.json", old)
}

// Flood publishes the role's next version as a file without end.
func (r *Repository) Flood(role *Role) {
	r.Next(role)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endless = map[string]bool{r.File(role): true, role.Name + ".json": true}
}

// Stall publishes the role's next version, which the server never begins to send. It calls asked when it is asked to.
func (r *Repository) Stall(role *Role, asked func()) {
	r.Next(role)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = map[string]func(){r.File(role): asked, role.Name + ".json": asked}
}

// Recover ends an attack on the server: it answers again, with the given files.
func (r *Repository) Recover(files map[string][]byte) {
	r.Fail(nil)
	r.Serve(files)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endless, r.stalled = nil, nil
}

// Hide leaves the role out of the next snapshot, which names the next versions of the others.
func (r *Repository) Hide(role *Role, others ...*Role) {
	role.Hidden = true
	r.Next(others...)
}

// HideRoot takes the newest root away, as if the one before were the newest.
func (r *Repository) HideRoot() {
	files := r.Files()
	delete(files, fmt.Sprintf("%d.root.json", r.Root.Version))
	if _, ok := files["root.json"]; ok {
		files["root.json"] = files[fmt.Sprintf("%d.root.json", r.Root.Version-1)]
	}
	r.Serve(files)
}

// Reroot serves an older root where the next one would be.
func (r *Repository) Reroot(version int64) {
	r.put(fmt.Sprintf("%d.root.json", r.Root.Version+1), r.Files()[fmt.Sprintf("%d.root.json", version)])
}

// Rekey gives roles other keys and lets their versions begin anew, as after a theft, and publishes the next root.
func (r *Repository) Rekey(roles ...*Role) {
	next := []*Role{r.Root}
	for _, role := range roles {
		r.revoked[role] = role.Keys
		role.Keys, role.Version = []*Key{r.newKey(role)}, 0
		next = append(next, role, r.delegator(role))
	}
	r.Next(next...)
}

// Escape takes from the role the paths that it speaks for; its file stays as it is.
func (r *Repository) Escape(role *Role) {
	role.Paths = []string{"elsewhere"}
	r.Next(r.delegator(role))
}

// Replace returns a change of the first old in a file.
func Replace(old, with string) func([]byte) []byte {
	return func(raw []byte) []byte {
		if !bytes.Contains(raw, []byte(old)) {
			panic("nothing to replace: " + old)
		}
		return bytes.Replace(raw, []byte(old), []byte(with), 1)
	}
}
