package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/semaphore"
)

// ErrConflict is returned by Publisher.Put when the version is not the next one: somebody else was first.
var ErrConflict = errors.New("not the next version")

// Limits in bytes: on what a gateway reads, and on a role's file that somebody sends, which is less because go-tuf takes
// some fifty times its size in memory.
const (
	maxRoot      = 512 << 10
	maxTimestamp = 64 << 10
	maxPublished = 16 << 20
	maxPut       = 4 << 20
)

// PublisherOptions are what a Publisher needs.
type PublisherOptions struct {
	// Dir is the folder that is published, or the one that holds it as "metadata".
	Dir string
	// Root is the pinned root file, which must be of one chain with the oldest one in the folder; nil: the oldest one in the
	// folder is trusted.
	Root []byte
	// Passphrase opens the keys of the roles "snapshot" and "timestamp", which lie in the sibling folder "online". It is
	// asked again for keys that come later.
	Passphrase Passphrase
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Waiting is called, at most once, before OpenPublisher waits for another publisher to end; nil: nobody is told.
	Waiting func()
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

	reading *semaphore.Weighted // one file that was sent is held in go-tuf's form at a time
	mu      sync.Mutex          // one change at a time, so that they queue here and not for the lock
	last    *View               // as it was read last
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
	p := &Publisher{folder: f, root: o.Root, keys: like.at(f.private, o.Passphrase), now: clock(o.Now), reading: semaphore.NewWeighted(1)}
	if p.root == nil {
		if p.root, err = f.oldestRoot(); err != nil {
			return nil, err
		}
	}
	waiting := o.Waiting
	if waiting == nil {
		waiting = func() {}
	}
	p.alone, err = lock(ctx, filepath.Join(f.private, "publisher.lock"), waiting)
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
	if err := p.chained(ctx, v); err != nil {
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

// chained tells whether the folder's oldest root and the pinned one are of one chain, so that whoever begins at either ends
// at the same: the pinned one leads to it, or it to the pinned one.
func (p *Publisher) chained(ctx context.Context, v *View) error {
	oldest, err := p.folder.oldestRoot()
	if err != nil || contains(v, oldest) {
		return err
	}
	from, err := load(ctx, p.folder.source, oldest, p.now())
	if err == nil && contains(from, p.root) {
		return nil
	}
	return errors.Join(fmt.Errorf("%s: its oldest root and the pinned root file are of different repositories", p.folder.metadata), err)
}

// contains tells whether the root file says what one of those says that the view was verified by.
func contains(v *View, file []byte) bool {
	want, err := unfold(file)
	if err != nil {
		return false
	}
	for name, raw := range v.raw {
		role, _, _ := parseName(name)
		if role != metadata.ROOT {
			continue
		}
		if got, err := unfold(raw); err == nil && bytes.Equal(canonical(nil, got.signed), canonical(nil, want.signed)) {
			return true
		}
	}
	return false
}

// Open returns one of the published files, and nothing else in the folder, to be read and closed by the caller; and its size
// in bytes, at most 16 MiB. What was opened stays as it is. The error matches fs.ErrNotExist where there is no such file.
func (p *Publisher) Open(ctx context.Context, file string) (io.ReadCloser, int64, error) {
	if _, _, ok := parseName(file); !ok && file != timestampName {
		return nil, 0, fmt.Errorf("%.80q: %w", file, fs.ErrNotExist)
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	// PRODUCT: invariant 9, opening a pipe must not wait for who writes it.
	f, err := os.OpenFile(filepath.Join(p.folder.metadata, file), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, 0, fmt.Errorf("%.80q: %w", file, fs.ErrNotExist)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPublished) {
		err = fmt.Errorf("%s is not a regular file of at most %d bytes", f.Name(), maxPublished)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Renew issues snapshot and timestamp anew if less than a third of their validity is left. It returns when it is due next.
func (p *Publisher) Renew(ctx context.Context) (due time.Time, err error) {
	err = p.publish(ctx, func(v *View) (*batch, error) { return &batch{base: v}, nil })
	if err != nil {
		return time.Time{}, err
	}
	v, err := p.published(ctx)
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
