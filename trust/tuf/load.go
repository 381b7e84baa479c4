package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"
)

const (
	// fetchers is how many roles are fetched at a time.
	fetchers = 8
	// light files are parsed at any time; of others, heavyBytes at most are parsed at the same time.
	light      = 256 << 10
	heavyBytes = maxTargets
)

// load gives roles their files: those in hand if they are what the snapshot names, else the source's. An error means that
// the source could not be asked, or has lost what it had; what is wrong with a file is the role's own refusal.
func (u *update) load(ctx context.Context, nodes []*node) error {
	files := make([][]byte, len(nodes))
	group, fetching := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for i, n := range nodes {
		info := u.set.Snapshot.Signed.Meta[n.name+".json"]
		was := u.base.file(n.name)
		kept, broken := u.kept[n.name]
		n.disputed = u.disputed(n.name)
		switch {
		case broken:
			n.refuse(&trust.Refusal{Reason: kept.Reason, Text: kept.Text}, kept.Final)
		case info == nil:
			n.refuse(invalid(metadata.SNAPSHOT, fmt.Errorf("v%d does not list %.80q, to which a role delegates: a signer who was added has to sign once, or to be removed", u.next.snapshot.md.Signed.Version, n.name)), true)
		case was != nil && u.same(n, was, info):
			n.role = was
		default:
			group.Go(func() (err error) {
				files[i], err = u.roleFile(fetching, n, info)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, n := range nodes {
		if files[i] == nil {
			continue
		}
		if err := u.read(ctx, n, files[i]); err != nil {
			return err
		}
		files[i] = nil
	}
	return u.regress(nodes)
}

// regress returns an error where a role that serves would lose its file to what nobody signed: the source lacks the file
// that the snapshot names, or gives another.
//
// PRODUCT: section 8, new data that is malformed is not taken; the earlier stands.
func (u *update) regress(nodes []*node) error {
	if !u.held {
		return nil
	}
	for _, n := range nodes {
		if was := u.base.nodes[n.name]; n.refusal != nil && !n.final && was != nil && was.open {
			return n.refusal
		}
	}
	return nil
}

// same tells whether the role's file in hand is the one that the snapshot names. Without a hash that is one of the version
// that is signed as it must be now: it may have been signed anew for other keys.
func (u *update) same(n *node, was *role, info *metadata.MetaFiles) bool {
	if was.version != info.Version || info.VerifyLengthHashes([]byte(was.raw)) != nil {
		return false
	}
	v, ok := u.base.verdict(was, n.by.sum())
	return len(info.Hashes) > 0 || ok && v.err == nil
}

// roleFile fetches a role's file. It returns none, and notes why, where the source has not what the snapshot names.
func (u *update) roleFile(ctx context.Context, n *node, info *metadata.MetaFiles) ([]byte, error) {
	limit, err := bound(n.name, info, maxTargets)
	if err != nil {
		n.refuse(refusal(n.name, err), true)
		return nil, nil
	}
	file := fileName(n.name, info.Version, u.set.Root.Signed.ConsistentSnapshot)
	raw, err := u.fetch(ctx, file, limit)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// PRODUCT: section 8, a file that verified data names but the source lacks.
		err = nil
		n.refuse(lacks(file), false)
	} else if err == nil {
		if err = guard(n.name, func() error { return info.VerifyLengthHashes(raw) }); err != nil {
			err = refusal(n.name, err)
		}
	}
	var r *trust.Refusal
	if errors.As(err, &r) && r.Reason == trust.MetadataInvalid {
		n.refuse(r, false)
		return nil, nil
	}
	return raw, err
}

// bound returns the most bytes that a named file may have.
func bound(role string, info *metadata.MetaFiles, limit int64) (int64, error) {
	if len(info.Hashes) == 0 {
		limit = min(limit, maxNameless)
	}
	if info.Length > limit {
		return 0, invalid(role, fmt.Errorf("signed length %d is more than %d", info.Length, limit))
	}
	if info.Length > 0 {
		limit = info.Length
	}
	return limit, nil
}

// read takes in a role's file as far as it can be without knowing who may sign it.
func (u *update) read(ctx context.Context, n *node, raw []byte) error {
	if u.heavy != nil && len(raw) > light {
		// PRODUCT: section 8, hostile metadata keeps peak memory bounded.
		if err := u.heavy.Acquire(ctx, int64(len(raw))); err != nil {
			return &trust.Refusal{Reason: trust.SourceUnreachable, Text: "too many large files are being read", Err: err}
		}
		defer u.heavy.Release(int64(len(raw)))
	}
	info := u.set.Snapshot.Signed.Meta[n.name+".json"]
	r, err := newRole(n.name, raw)
	switch {
	case err != nil:
		n.refuse(refusal(n.name, err), len(info.Hashes) > 0)
	case r.version != info.Version:
		n.refuse(invalid(n.name, fmt.Errorf("is v%d, where verified data names v%d", r.version, info.Version)), len(info.Hashes) > 0)
	case u.now.After(r.expires) && !u.expired:
		// PRODUCT: section 8, new data that is authentic but expired is not taken.
		n.refuse(ended(n.name, r.version, r.expires), true)
	default:
		n.role = r
		if len(raw) > light && !u.whole {
			// What the library read of it takes many times its size, and is let go of before the next such file is read.
			u.verify(n.from, n, n.by)
			r.md = nil
		}
	}
	return nil
}

// refuse notes why the role has no file that can be used, and whether that is so for good.
func (n *node) refuse(r *trust.Refusal, final bool) { n.refusal, n.final = r, final }
