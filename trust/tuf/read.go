package tuf

import (
	"context"
	"errors"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ReadOptions say what Read reads.
type ReadOptions struct {
	// Root is the file of the root to trust.
	Root   []byte
	Source trust.Source
	// Now is when the files must not have expired. It must be set unless Expired is.
	Now time.Time
	// Expired accepts files that have expired, for who is about to renew them.
	Expired bool
}

// A Repository is a whole TUF repository as it is published, verified.
type Repository struct {
	// Roots are the root files from the pinned one to the newest, and Root is the newest.
	Roots     [][]byte
	Root      *metadata.Metadata[metadata.RootType]
	Timestamp *metadata.Metadata[metadata.TimestampType]
	Snapshot  *metadata.Metadata[metadata.SnapshotType]
	// Targets are "targets" and every delegated role that a delegation reaches under whose keys it verifies, by name.
	Targets map[string]*metadata.Metadata[metadata.TargetsType]
	// Raw are the files of all these, by the names under which they are published.
	Raw map[string][]byte
	// Broken is why delegated roles do not verify, by name.
	Broken map[string]error
}

// Read verifies a repository as a gateway that has never seen it does, from the given root on, and keeps nothing. The
// error is a *trust.Refusal.
func Read(ctx context.Context, o ReadOptions) (*Repository, error) {
	if o.Now.IsZero() && !o.Expired {
		return nil, &trust.Refusal{Reason: trust.MetadataExpired, Text: "no time to judge expiry by", Err: errors.ErrUnsupported}
	}
	u := update{pin: o.Root, src: o.Source, now: o.Now, expired: o.Expired, whole: true}
	t, err := u.run(ctx)
	if err != nil {
		return nil, err
	}
	r := &Repository{
		Roots: t.roots, Root: t.root, Timestamp: t.timestamp.md, Snapshot: t.snapshot.md,
		Targets: make(map[string]*metadata.Metadata[metadata.TargetsType]), Raw: make(map[string][]byte), Broken: t.broken(),
	}
	for _, f := range t.files() {
		if f.role == nil || f.role.open {
			r.Raw[f.name] = f.raw
		}
	}
	for _, n := range t.order {
		r.Targets[n.name] = n.role.md
	}
	return r, nil
}

// A published is one file of a set, under the name by which it is published.
type published struct {
	name string
	raw  []byte
	role *node // for the file of targets or of a delegated role
}

// files returns all files of the set, those of roles that may not be used included.
func (t *trusted) files() []published {
	consistent := t.root.Signed.ConsistentSnapshot
	var all []published
	for i, raw := range t.roots {
		version := t.root.Signed.Version - int64(len(t.roots)-1-i)
		all = append(all, published{name: fileName(metadata.ROOT, version, true), raw: raw})
	}
	all = append(all,
		published{name: "timestamp.json", raw: t.timestamp.raw},
		published{name: fileName(metadata.SNAPSHOT, t.snapshot.md.Signed.Version, consistent), raw: t.snapshot.raw})
	for _, n := range t.nodes {
		if n.role != nil {
			all = append(all, published{fileName(n.name, n.role.version, consistent), []byte(n.role.raw), n})
		}
	}
	return all
}
