package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Put publishes a role file, "5.alice.json", that is signed by its delegator's keys, is the next version, has not expired,
// and holds nothing that a gateway would refuse; and a snapshot and timestamp with it. Only the top-level targets role
// delegates, to signers. The signatures are the authorisation: whoever sends it is not asked for more. Putting again what is
// published already succeeds. A root has at most 512 KiB, another file 4 MiB.
//
// The error is ErrConflict if it is not the next version, a *trust.Refusal with MetadataInvalid, MetadataExpired,
// ThresholdNotMet or RootMismatch if it may never be published, and anything else if it could not be now.
func (p *Publisher) Put(ctx context.Context, file string, data []byte) error {
	role, version, ok := parseName(file)
	if !ok || role == metadata.SNAPSHOT || role == metadata.TIMESTAMP {
		return refuse(trust.MetadataInvalid, "%.80q is not the name of a role's file that signers publish", file)
	}
	if role == metadata.ROOT && len(data) > maxRoot {
		return refuse(trust.MetadataInvalid, "%s is larger than %d bytes", file, maxRoot)
	}
	if len(data) > maxPut {
		return refuse(trust.MetadataInvalid, "%.80s is larger than %d bytes, which hold about 18000 tags: let more signers share the repositories", file, maxPut)
	}
	err := p.take(ctx, role, version, data)
	if errors.Is(err, ErrNoKey) {
		return &trust.Refusal{Reason: trust.MetadataInvalid, Text: file + " asks for keys that the publisher does not have", Err: err}
	}
	return err
}

// take reads the file while others may publish, and publishes it if it still is what it was: the next one.
func (p *Publisher) take(ctx context.Context, role string, version int64, data []byte) error {
	v, err := p.published(ctx)
	if err != nil {
		return err
	}
	if done, err := v.next(role, version, data); done || err != nil {
		return err
	}
	// PRODUCT: invariant 9, files are read one at a time.
	if err := p.reading.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.reading.Release(1)
	if v, err = p.published(ctx); err != nil {
		return err
	}
	b, err := admit(v, role, version, data, p.now())
	if err != nil {
		return err
	}
	return p.publish(ctx, func(now *View) (*batch, error) {
		if done, err := now.next(role, version, data); done || err != nil {
			return nil, err
		}
		if now != v && !now.lets(role, b) {
			return nil, fmt.Errorf("%s: who signs it has changed: %w", fileName(role, version), ErrConflict)
		}
		b.base = now
		return b, nil
	})
}

// published returns what is published now.
func (p *Publisher) published(ctx context.Context) (*View, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(ctx)
}

// next tells whether the file is the next one of its role, or, with done, the one that is published.
//
// TUF: 5.3.5, exactly the next version, or two people who sign at once undo each other.
func (v *View) next(role string, version int64, data []byte) (done bool, err error) {
	file, at := fileName(role, version), v.version(role)
	switch {
	case version == at && bytes.Equal(v.raw[file], data):
		return true, nil
	case version != at+1:
		return false, fmt.Errorf("%s: version %d is published: %w", file, at, ErrConflict)
	}
	return false, nil
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
