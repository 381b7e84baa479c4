package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/tuf"
)

const (
	// source is what the one source is called.
	source = "suite"
	// pinned and kept are the names, in the folder of the metadata, of the pinned root and of the state folder.
	pinned = "pinned"
	kept   = "state"
)

// A client is a verifier as a gateway has it, over the suite's repository.
type client struct {
	o        options
	files    *onDemand
	targets  trust.Source
	store    *state.Store
	place    *state.Collection
	verifier trust.Verifier
	snapshot *trust.Snapshot // nil: nothing was verified whole yet
}

// begin trusts the root, and asks for nothing.
func begin(dir, root string) error {
	raw, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, pinned), raw, 0o600), os.WriteFile(filepath.Join(dir, "root.json"), raw, 0o600))
}

// open returns a client with what was trusted before.
func open(ctx context.Context, o options, by remote.Doer, now time.Time, log io.Writer) (*client, error) {
	store, err := state.Open(ctx, state.Options{Dir: filepath.Join(o.dir, kept)})
	if err != nil {
		return nil, err
	}
	c := &client{o: o, store: store, place: store.Collection(source, tuf.Whole)}
	c.files = newOnDemand(remote.HTTP{Base: o.base, Client: by})
	if o.targets != nil {
		c.targets = remote.HTTP{Base: o.targets, Client: by}
	}
	format, err := tuf.New(tuf.Options{
		Source: source, Target: "{name}:{tag}", State: store,
		Root:    func(string) ([]byte, error) { return os.ReadFile(filepath.Join(o.dir, pinned)) },
		Fetcher: func(string) trust.Source { return c.files },
		Now:     func() time.Time { return now },
		Observe: func(e trust.Event) { fmt.Fprintln(log, "conformance:", e.Kind, e.Err) },
	})
	if err == nil {
		c.verifier = format.Open(tuf.Whole)
		c.snapshot, err = c.verifier.Load(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return c, nil
}

// close shows what is trusted now.
func (c *client) close() error { return errors.Join(c.show(), c.store.Close()) }

// refresh updates the metadata, as far as it was asked for.
func (c *client) refresh(ctx context.Context) error {
	for {
		s, err := c.verifier.Refresh(ctx)
		if err == nil {
			c.snapshot = s
			return nil
		}
		if !c.files.release(err) {
			return err
		}
	}
}

// lookup says what the metadata says of a target. Where it cannot say for want of a role, the role is fetched.
func (c *client) lookup(ctx context.Context, target string) (trust.Entry, error) {
	for {
		e := c.snapshot.Lookup(target)
		if e.Refusal == nil || !c.files.release(e.Refusal) {
			return e, nil
		}
		if err := c.refresh(ctx); err != nil {
			return trust.Entry{}, err
		}
	}
}
