package dct

import (
	"context"
	"errors"
	"fmt"

	"github.com/tagwarden/tagwarden/trust"
	"golang.org/x/sync/semaphore"
)

// delegations verifies targets and everything that it reaches.
func (u *update) delegations(ctx context.Context) error {
	u.next.roles, u.next.order = make(map[string]*targets), nil
	t, err := u.role(ctx, child{role: "targets", by: u.next.root().roles["targets"]})
	if err != nil {
		return err
	}
	if t.refusal != nil {
		return t.refusal
	}
	if err := u.current(t.document, t.expires); err != nil {
		return err
	}
	t.paths, t.until = []string{""}, t.expires
	return u.descend(ctx, t, 1)
}

// descend verifies the delegations of a role, depth first and in the order in which it lists them.
//
// DCT: section 3.5, W9: bounded in number and depth.
func (u *update) descend(ctx context.Context, parent *targets, depth int) error {
	u.next.roles[parent.role] = parent
	u.next.order = append(u.next.order, parent.role)
	for _, c := range parent.children {
		if _, ok := u.next.snapshot.meta[c.role]; !ok {
			if err := u.unlisted(parent, c); err != nil {
				return err
			}
			continue
		}
		if len(u.next.order) >= maxRoles || depth >= maxNesting {
			return invalid(parent.role, fmt.Errorf("more than %d delegated roles, or deeper than %d", maxRoles, maxNesting))
		}
		t, err := u.role(ctx, c)
		if err != nil {
			return err
		}
		t.paths, t.until = grant(parent.paths, c.paths), t.expires
		if parent.until.Before(t.until) {
			t.until = parent.until
		}
		if t.refusal != nil {
			// What a role delegates to that is not valid cannot be known.
			u.next.roles[c.role] = t
			u.next.order = append(u.next.order, c.role)
			continue
		}
		if err := u.descend(ctx, t, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unlisted judges a delegation that the snapshot does not list. One that nobody has signed for yet is in no snapshot, and
// that is well. One that was in use cannot leave it: then somebody hides it. If its parent has changed since, it may have
// been removed and added again: then it is unusable until it is signed for, and the rest is not.
//
// DCT: W2.
func (u *update) unlisted(parent *targets, c child) error {
	used := u.floors.document(c.role) != nil || u.next.retired[c.role] != nil
	if !used {
		return nil
	}
	r := &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("snapshot v%d no longer lists %s, which an earlier one did", u.next.snapshot.version, c.role)}
	if u.floors != nil && u.floors.roles[c.role] != nil && u.floors.roles[c.role].refusal == nil {
		if was := u.floors.roles[parent.role]; was == nil || was.sum == parent.sum {
			return r
		}
	}
	u.next.roles[c.role] = &targets{document: &document{role: c.role}, paths: grant(parent.paths, c.paths), until: parent.until, refusal: r}
	u.next.order = append(u.next.order, c.role)
	return nil
}

// role verifies the file of one role that the snapshot lists. Too few signatures make the role unusable, and only the
// role: its parent may have changed its keys before it was signed anew. Everything else spoils the update.
func (u *update) role(ctx context.Context, c child) (*targets, error) {
	// PRODUCT: section 8, hostile metadata keeps peak memory bounded: large files arrive a few at a time, and are parsed one
	// after the other.
	info := u.next.snapshot.meta[c.role]
	leave, err := take(ctx, u.large.arriving, min(info.length, maxTargets))
	if err != nil {
		return nil, err
	}
	defer leave()
	raw, err := u.named(ctx, c.role, info, maxTargets)
	if err != nil {
		return nil, err
	}
	done, err := take(ctx, u.large.parsed, int64(len(raw)))
	if err != nil {
		return nil, err
	}
	defer done()
	t, err := parseTargets(c.role, raw)
	if err != nil {
		return nil, err
	}
	err = u.accept(t.document, c.by)
	switch trust.ReasonOf(err) {
	case trust.ThresholdNotMet, trust.SignatureInvalid:
		t.broken(err)
		return t, nil
	}
	if err == nil {
		return t, nil
	}
	return nil, err
}

// A budget bounds the bytes of large files in memory, over all updates of a source.
type budget struct{ arriving, parsed *semaphore.Weighted }

// take takes a large file's part of a budget, and returns how to give it back. Small files need none.
func take(ctx context.Context, from *semaphore.Weighted, bytes int64) (giveBack func(), err error) {
	if bytes <= light {
		return func() {}, nil
	}
	if err := from.Acquire(ctx, bytes); err != nil {
		return nil, &trust.Refusal{Reason: trust.SourceUnreachable, Text: "too many large files are being read", Err: err}
	}
	return func() { from.Release(bytes) }, nil
}

// retire keeps the last valid files of roles that are no longer reached, or not valid any more.
//
// DCT: W4, their floors outlive their absence.
func (u *update) retire() {
	u.next.retired = make(map[string]*document)
	if u.floors == nil {
		return
	}
	keep := func(role string, d *document) {
		if now := u.next.roles[role]; (now == nil || now.refusal != nil) && len(u.next.retired) < maxRoles {
			u.next.retired[role] = d
		}
	}
	for role, d := range u.floors.retired {
		keep(role, d)
	}
	for role, t := range u.floors.roles {
		if t.refusal == nil {
			keep(role, t.document)
		}
	}
}

// failures returns the roles that are not valid, as one error; nil if there are none.
func (t *trusted) failures() error {
	var all []error
	for _, role := range t.order {
		if r := t.roles[role].refusal; r != nil {
			all = append(all, r)
		}
	}
	return errors.Join(all...)
}
