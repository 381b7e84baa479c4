package signing

import (
	"context"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/tuf"
)

// load reads and verifies a repository as a gateway does, but that it takes files that have expired: whoever is about to
// renew them has to read them.
func load(ctx context.Context, source trust.Source, root []byte, now time.Time) (*View, error) {
	r, err := tuf.Read(ctx, tuf.ReadOptions{Root: root, Source: source, Now: now, Expired: true})
	if err != nil {
		return nil, err
	}
	return &View{
		root: r.Root, timestamp: r.Timestamp, snapshot: r.Snapshot, targets: r.Targets, broken: r.Broken, raw: r.Raw, pinned: root,
	}, nil
}
