// Package tuf verifies TUF 1.0 metadata with go-tuf.
//
// The library reads files, checks signatures and holds the rules for root, timestamp and snapshot; its updater is not used.
// What is done here is what a gateway needs beside that: no file reaches the library that two readers could read
// differently; every root that was verified is kept, and what was seen is never fallen behind, not even across a restart;
// each delegation is verified by itself; and one bad role or entry refuses the names that depend on it, and no others.
// "TUF: section" above a check names the place in version 1.0.34 of the specification.
//
// An update is all or nothing. It runs over a Source that nobody trusts and yields one complete set of files, which is
// kept durably before it is used; see update.run for the order. Requests are answered from a flat form of it. What an
// update verified before it failed serves nobody, but is kept too, and nothing older is believed again; see seen.
package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"golang.org/x/sync/semaphore"
)

// Whole is the name of the one collection of a source that is one repository for all images.
const Whole = "all"

// touchEvery is how often the time of an unchanged check is noted on disk.
const touchEvery = 5 * time.Minute

// Options are what a Format needs.
type Options struct {
	// Source names the source in events and in the state folder.
	Source string
	// Target makes the target path of an image. {tag} stands for its tag, once; {name} for its full name, at most once,
	// before {tag} and with : or / between them.
	Target string
	// Root returns the file of the root to trust for a collection. It is asked until the collection has been verified once.
	Root func(collection string) ([]byte, error)
	// Fetcher returns the source of one collection's files.
	Fetcher func(collection string) trust.Source
	// PerName tells that each image repository has a TUF repository of its own.
	PerName bool
	State   *state.Store
	Now     func() time.Time
	Observe func(trust.Event)
}

// A Format reads TUF 1.0 repositories for Collections. It is safe for concurrent use.
type Format struct {
	o        Options
	template template
	heavy    *semaphore.Weighted
}

// New returns the format. The error says what is wrong with the template.
func New(o Options) (*Format, error) {
	t, err := parseTemplate(o.Target)
	if err != nil {
		return nil, err
	}
	return &Format{o: o, template: t, heavy: semaphore.NewWeighted(heavyBytes)}, nil
}

// Locate implements trust.Format. A collection is the repository of all images, named Whole, or where there is one for
// each image the image's full name.
func (f *Format) Locate(n trust.Name) (collection, target string) {
	if f.o.PerName {
		return n.Repository, f.template.target(n)
	}
	return Whole, f.template.target(n)
}

// Tag implements trust.Format.
func (f *Format) Tag(repository, target string) (string, bool) {
	n, ok := f.template.image(target)
	return n.Tag, ok && (!f.template.named || n.Repository == repository)
}

// Open implements trust.Format.
func (f *Format) Open(collection string) trust.Verifier { return f.open(collection) }

func (f *Format) open(collection string) *verifier {
	return &verifier{f: f, collection: collection, place: f.o.State.Collection(f.o.Source, collection), src: f.o.Fetcher(collection)}
}

// A verifier keeps one repository verified.
type verifier struct {
	f          *Format
	collection string
	src        trust.Source
	place      *state.Collection

	loaded  bool
	base    *trusted // what was verified whole before
	held    bool     // base is so under the pinned root, and serves
	seen    *seen    // what no file may be older than; nil as long as there is nothing
	flat    *trust.Snapshot
	touched time.Time
}

// pin returns the root to trust.
func (v *verifier) pin() ([]byte, error) {
	raw, err := v.f.o.Root(v.collection)
	if err != nil {
		return nil, &trust.Refusal{Reason: trust.RootNotPinned, Text: "root of source " + v.f.o.Source, Err: err}
	}
	return raw, nil
}

// Load implements trust.Verifier.
//
// PRODUCT: invariant 6: with both copies lost, a source starts again from its pin.
func (v *verifier) Load(ctx context.Context) (*trust.Snapshot, error) {
	record, err := v.place.Load()
	if errors.Is(err, fs.ErrNotExist) {
		v.loaded = true
		return nil, nil
	}
	if err != nil && !errors.Is(err, state.ErrLost) {
		return nil, &trust.Refusal{Reason: trust.StateUnavailable, Text: "cannot read", Err: err}
	}
	if err == nil {
		var pin []byte
		if pin, err = v.pin(); err != nil {
			return nil, err
		}
		if v.base, v.seen, err = v.restore(ctx, record, pin); err == nil {
			v.loaded, v.held, v.touched = true, v.base != nil, record.Checked
			if v.held {
				v.flat = v.flatten(record.Checked)
			}
			return v.flat, nil
		}
	}
	return nil, v.lost(ctx, record, err)
}

// lost judges a record that cannot be used. What does not follow from the pinned root any more, because the config has
// changed, still is what nothing may be older than.
func (v *verifier) lost(ctx context.Context, record *state.Record, err error) error {
	if record != nil {
		first, _ := rootsOf(record)
		if base, floors, ferr := v.restore(ctx, record, first); ferr == nil {
			v.observe(trust.EventPinChanged, err)
			v.loaded, v.base, v.seen, v.touched = true, base, floors, record.Checked
			return nil
		}
	}
	if ctx.Err() != nil {
		return &trust.Refusal{Reason: trust.StateUnavailable, Text: "not read in time", Err: err}
	}
	v.observe(trust.EventStateDamaged, err)
	v.loaded, v.base, v.seen = true, nil, nil
	return nil
}

// Refresh implements trust.Verifier.
func (v *verifier) Refresh(ctx context.Context) (*trust.Snapshot, error) {
	// Without what was kept there are no floors.
	if !v.loaded {
		if _, err := v.Load(ctx); err != nil {
			return nil, err
		}
	}
	now := v.f.o.Now()
	u := update{src: v.src, base: v.base, held: v.held, seen: v.seen, now: now, heavy: v.f.heavy}
	if !v.held {
		var err error
		if u.pin, err = v.pin(); err != nil {
			return nil, err
		}
	}
	next, err := u.run(ctx)
	// TUF: sections 5.3.8, 5.4.5 and 5.5.7, what verified is kept whatever becomes of the rest.
	if err != nil {
		v.remember(u.next.seen)
		return nil, err
	}
	if v.held && next == v.base {
		return v.unchanged(now), nil
	}
	if err := v.place.Save(recordOf(next, &next.seen, now)); err != nil {
		return nil, &trust.Refusal{Reason: trust.StateUnavailable, Text: "cannot keep", Err: err}
	}
	if err := next.failures(); err != nil && (v.base == nil || fmt.Sprint(v.base.failures()) != err.Error()) {
		v.observe(trust.EventVerification, err)
	}
	v.base, v.held, v.seen, v.touched = next, true, &next.seen, now
	v.flat = v.flatten(now)
	return v.flat, nil
}

func (v *verifier) flatten(checked time.Time) *trust.Snapshot {
	return v.base.snapshotOf(checked, func(target string) (string, bool) {
		n, ok := v.f.template.image(target)
		if !v.f.template.named {
			n.Repository = v.collection
		}
		return n.Repository, ok
	})
}

// unchanged returns the snapshot in hand, checked now.
func (v *verifier) unchanged(now time.Time) *trust.Snapshot {
	s := *v.flat
	s.Checked = now
	v.flat = &s
	// One that is still to come was noted by a clock that was ahead.
	if now.Sub(v.touched) >= touchEvery || now.Before(v.touched) {
		v.touched = now
		if err := v.place.Touch(now); err != nil {
			// After a restart the data would look older than it is: nothing to refuse for.
			v.observe(trust.EventStateDamaged, err)
		}
	}
	return v.flat
}

func (v *verifier) observe(kind trust.EventKind, err error) {
	v.f.o.Observe(trust.Event{Kind: kind, Source: v.f.o.Source, Collection: v.collection, Err: err})
}
