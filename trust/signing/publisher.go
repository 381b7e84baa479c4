package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrConflict is returned by Publisher.Put when the version is not the next one: somebody else was first.
var ErrConflict = errors.New("not the next version")

// Limits on what signers may publish, in bytes: what a gateway reads.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 64 << 10
	maxTargets   = 16 << 20
)

// PublisherOptions are what a Publisher needs.
type PublisherOptions struct {
	// Dir is the folder that is published, or the one that holds it as "metadata".
	Dir string
	// Root is the pinned root; nil: the oldest one in the folder.
	Root []byte
	// Passphrase opens the keys of the roles "snapshot" and "timestamp", which lie in the sibling folder "online". It is
	// asked again for keys that come later.
	Passphrase Passphrase
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// A Publisher publishes the role files that signers send it, and keeps snapshot and timestamp fresh. There is exactly one
// of a repository at a time; people who change the folder by hand, through Repository.Change, may do so beside it. It is
// safe for concurrent use.
type Publisher struct {
	folder *folder
	root   []byte
	keys   *Keychain
	now    func() time.Time
	alone  *os.File

	mu   sync.Mutex // one change at a time, so that they queue here and not for the lock
	last *View      // as it was read last
}

// OpenPublisher takes the publisher's lock, for which it waits until ctx ends, reads and verifies the repository, and
// opens the keys.
func OpenPublisher(ctx context.Context, o PublisherOptions) (*Publisher, error) {
	return openPublisher(ctx, o, OpenKeychain("", o.Passphrase))
}

// openPublisher is OpenPublisher with a keychain after whose likeness the publisher's is made.
func openPublisher(ctx context.Context, o PublisherOptions, like *Keychain) (*Publisher, error) {
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	p := &Publisher{folder: f, root: o.Root, keys: like.at(f.private, o.Passphrase), now: clock(o.Now)}
	if p.root == nil {
		if p.root, err = f.oldestRoot(); err != nil {
			return nil, err
		}
	}
	p.alone, err = lock(ctx, filepath.Join(f.private, "publisher.lock"))
	if err != nil {
		return nil, fmt.Errorf("%s has another publisher, or none can be: %w", f.metadata, err)
	}
	if err := p.unlock(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// unlock opens the keys that the root asks for, to find out now, not at midnight, whether the passphrase is the right one.
func (p *Publisher) unlock(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, err := p.read(ctx)
	if err != nil {
		return err
	}
	for _, role := range []string{metadata.SNAPSHOT, metadata.TIMESTAMP} {
		for _, a := range v.authorities(role) {
			local := a.local(p.keys)
			if len(local) < a.threshold {
				return fmt.Errorf("%s: %s has %d of the %d keys that must sign: %w", role, p.keys.Dir(), len(local), a.threshold, ErrNoKey)
			}
			for _, id := range local[:a.threshold] {
				if _, err := p.keys.signer(canonicalID(a.keys[id]), role); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// read returns what is published now. Whoever sends nonsense must not make it be verified again and again.
// The caller holds mu.
func (p *Publisher) read(ctx context.Context) (*View, error) {
	if p.last != nil && p.folder.current(p.last) {
		return p.last, nil
	}
	v, err := load(ctx, p.folder.source, p.root, p.now())
	if err == nil {
		p.last = v
	}
	return v, err
}

// Close gives the lock back.
func (p *Publisher) Close() error { return p.alone.Close() }

// Fetch implements trust.Source over the published files, and over nothing else in the folder.
func (p *Publisher) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	if _, _, ok := parseName(file); !ok && file != timestampName {
		return nil, fmt.Errorf("%.80q: %w", file, fs.ErrNotExist)
	}
	return p.folder.source.Fetch(ctx, file, limit)
}

// Renew issues snapshot and timestamp anew if less than a third of their validity is left. It returns when it is due next.
func (p *Publisher) Renew(ctx context.Context) (due time.Time, err error) {
	err = p.publish(ctx, func(v *View) (*batch, error) { return &batch{base: v}, nil })
	if err != nil {
		return time.Time{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v, err := p.read(ctx)
	if err != nil {
		return time.Time{}, err
	}
	x := expiryOf(v.root)
	due = x.due(metadata.TIMESTAMP, v.timestamp.Signed.Expires)
	if s := x.due(metadata.SNAPSHOT, v.snapshot.Signed.Expires); s.Before(due) {
		due = s
	}
	return due, nil
}

// publish makes a batch from what is published now, and publishes it.
func (p *Publisher) publish(ctx context.Context, make func(*View) (*batch, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := p.folder.lock(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	v, err := p.read(ctx)
	if err != nil {
		return err
	}
	b, err := make(v)
	if err != nil || b == nil {
		return err
	}
	files, err := p.folder.issue(ctx, b, issuer{keys: p.keys, now: p.now()})
	if err != nil {
		return err
	}
	return p.folder.put(files)
}

// Put publishes a role file, "5.alice.json", that is signed by its delegator's keys, is the next version, has not expired,
// and holds nothing that a gateway would refuse; and a snapshot and timestamp with it. The signatures are the
// authorisation: whoever sends it is not asked for more. Putting again what is published already succeeds.
//
// The error is ErrConflict if it is not the next version, a *trust.Refusal with MetadataInvalid, MetadataExpired,
// ThresholdNotMet or RootMismatch if it may never be published, and anything else if it could not be now.
func (p *Publisher) Put(ctx context.Context, file string, data []byte) error {
	role, version, ok := parseName(file)
	if !ok || role == metadata.SNAPSHOT || role == metadata.TIMESTAMP {
		return refuse(trust.MetadataInvalid, "%.80q is not the name of a role's file that signers publish", file)
	}
	limit := maxTargets
	if role == metadata.ROOT {
		limit = maxRoot
	}
	if len(data) > limit {
		return refuse(trust.MetadataInvalid, "%s is larger than %d bytes", file, limit)
	}
	err := p.publish(ctx, func(v *View) (*batch, error) {
		// TUF: 5.3.5, exactly the next version, or two people who sign at once undo each other.
		switch at := v.version(role); {
		case version == at && bytes.Equal(v.raw[file], data):
			return nil, nil
		case version != at+1:
			return nil, fmt.Errorf("%s: version %d is published: %w", file, at, ErrConflict)
		}
		if role == metadata.ROOT {
			return admitRoot(v, version, data, p.now())
		}
		return admit(v, role, version, data, p.now())
	})
	if errors.Is(err, ErrNoKey) {
		return &trust.Refusal{Reason: trust.MetadataInvalid, Text: file + " asks for keys that the publisher does not have", Err: err}
	}
	return err
}

// version returns which version of a role is published.
func (v *View) version(role string) int64 {
	if role == metadata.ROOT {
		return v.root.Signed.Version
	}
	if m := v.listed(role); m != nil {
		return m.Version
	}
	return 0
}

func refuse(reason trust.Reason, format string, a ...any) error {
	return &trust.Refusal{Reason: reason, Text: fmt.Sprintf(format, a...)}
}
