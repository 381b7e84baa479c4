package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// maxRotations bounds how many newer roots of the source one update walks.
const maxRotations = 256

// walkRoots goes from the pinned root to the newest, one version at a time: through the roots that were verified before
// as far as they lead, and then through the source's. Only the last of them must not have expired.
//
// TUF: section 5.3. What was verified before is not forgotten: a source that hides a newer root does not take us back to
// an older one.
func (u *update) walkRoots(ctx context.Context) error {
	if err := u.anchor(); err != nil {
		return err
	}
	for walked := 0; ; {
		n := u.set.Root.Signed.Version + 1
		if raw := u.history(n); raw != nil && u.follow(n, raw) == nil {
			continue
		}
		raw, err := u.fetch(ctx, fileName(metadata.ROOT, n, true), maxRoot)
		// TUF: section 5.3.3; and stores answer "forbidden" for what is not there.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return u.settled()
		}
		if err != nil {
			return err
		}
		if walked++; walked > maxRotations && u.kept == nil {
			return &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("more than %d roots to walk", maxRotations)}
		}
		if err := u.follow(n, raw); err != nil {
			return err
		}
	}
}

// anchor begins at the newest root in hand, or at the pinned one.
func (u *update) anchor() error {
	if u.held {
		u.set = &trustedmetadata.TrustedMetadata{Root: u.seen.root}
		u.next.roots, u.next.root = u.seen.roots, u.seen.root
	} else {
		md, err := parseRoot(u.pin)
		if err == nil {
			err = guard(metadata.ROOT, func() error {
				u.set, err = trustedmetadata.New(u.pin)
				return err
			})
		}
		if err != nil {
			return &trust.Refusal{Reason: trust.RootNotPinned, Text: "the pinned file is no root", Err: refusal(metadata.ROOT, err)}
		}
		u.next.roots, u.next.root = [][]byte{u.pin}, md
	}
	u.set.Targets = make(map[string]*metadata.Metadata[metadata.TargetsType])
	// At the zero time nothing has expired yet; the library would take the machine's clock.
	if u.set.RefTime = (time.Time{}); !u.expired {
		u.set.RefTime = u.now
	}
	return nil
}

// history returns the root of that version as it was verified before, perhaps under another pin, nil if there is none.
func (u *update) history(version int64) []byte {
	if u.held {
		return nil
	}
	return u.seen.rootOf(version)
}

// follow takes in the root of version n, which must be signed by the keys of the root before it and by its own.
//
// TUF: sections 5.3.4 and 5.3.5.
func (u *update) follow(n int64, raw []byte) error {
	md, err := parseRoot(raw)
	if err != nil {
		return err
	}
	if md.Signed.Version != n {
		return &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("%d.root.json holds v%d", n, md.Signed.Version)}
	}
	if _, err := rootAuthority(u.set.Root, metadata.ROOT).verify(metadata.ROOT, n, md, md.Signatures); err != nil {
		return &trust.Refusal{Reason: trust.RootMismatch, Text: fmt.Sprintf("root v%d is not signed by the keys of the trusted root v%d", n, n-1), Err: err}
	}
	if err := u.step(metadata.ROOT, n, md.Signed.Expires, func() error {
		_, err := u.set.UpdateRoot(raw)
		return err
	}); err != nil {
		return err
	}
	u.next.roots, u.next.root = append(slices.Clip(u.next.roots), raw), md
	return nil
}

// settled ends the walk. A root that the newest one's keys have signed, and that was verified before, must not be missing:
// somebody hides what leads to it.
func (u *update) settled() error {
	if u.seen == nil || u.held {
		return nil
	}
	was, now := u.seen.root, u.set.Root
	if was.Signed.Version <= now.Signed.Version {
		return nil
	}
	if _, err := rootAuthority(now, metadata.ROOT).verify(metadata.ROOT, was.Signed.Version, was, was.Signatures); err != nil {
		return nil
	}
	return &trust.Refusal{Reason: trust.MetadataRollback, Text: fmt.Sprintf("root v%d is older than v%d, which was verified before, and nothing leads from it to there", now.Signed.Version, was.Signed.Version)}
}
