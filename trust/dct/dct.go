// Package dct verifies Notary v1 (Docker Content Trust) metadata.
//
// It is a strict reader of what "docker trust" writes: everything that genuine clients and servers produce is accepted,
// and where the genuine client is lax in a way that somebody could use, this one refuses. The rules are quoted above the
// checks: "DCT: W1" to "DCT: W16" are the known weaknesses, "DCT: section" the format itself.
//
// An update is all or nothing. It runs over a Source that nobody trusts and yields one complete set of files, which is
// kept durably before it is used; see update.run for the order. What verified before an update failed serves nobody, but is
// kept too, and nothing older is believed again; see seen.
package dct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
	"golang.org/x/sync/semaphore"
)

const (
	// probeEvery is how often a newer root is asked for although nothing hints at one.
	probeEvery = time.Hour
	// touchEvery is how often the time of an unchanged check is noted on disk.
	touchEvery = 5 * time.Minute
	// light files are fetched and parsed at any time; of others, so many bytes at most arrive, and are parsed, at the same
	// time.
	light         = 256 << 10
	bytesArriving = 2 * maxTargets
	bytesParsed   = maxTargets
)

// Options are what a Format needs.
type Options struct {
	// Source names the source in events and in the state folder.
	Source string
	// GUN makes the name under which the source knows a repository: "{name}" stands for the full name of the image, and
	// whatever surrounds it is literal.
	GUN string
	// Pins say which root may speak for which names. A name without a pin is refused.
	Pins names.Index[Pin]
	// Fetcher returns the source of one GUN's files.
	Fetcher func(gun string) trust.Source
	State   *state.Store
	Now     func() time.Time
	Observe func(trust.Event)
}

// A Format reads Notary v1 repositories for Collections. A collection is a repository; its name is the full image name.
type Format struct {
	o              Options
	prefix, suffix string
	large          budget
}

// New returns the format. The error says what is wrong with the GUN template.
func New(o Options) (*Format, error) {
	prefix, suffix, ok := strings.Cut(o.GUN, "{name}")
	if !ok || strings.Contains(suffix, "{name}") {
		return nil, fmt.Errorf("gun %q: {name} must stand in it once", o.GUN)
	}
	return &Format{o: o, prefix: prefix, suffix: suffix, large: budget{semaphore.NewWeighted(bytesArriving), semaphore.NewWeighted(bytesParsed)}}, nil
}

// Locate implements trust.Format.
func (f *Format) Locate(n trust.Name) (collection, target string) { return n.Repository, n.Tag }

// Tag implements trust.Format. Notary signs names that cannot be tags, too; they are passed over.
func (f *Format) Tag(_, target string) (string, bool) { return target, names.Tag(target) == nil }

// Open implements trust.Format.
func (f *Format) Open(collection string) trust.Verifier {
	v := &verifier{f: f, gun: f.prefix + collection + f.suffix}
	v.pin, v.pinned = f.o.Pins.Find(collection)
	v.place = f.o.State.Collection(f.o.Source, v.gun)
	v.src = f.o.Fetcher(v.gun)
	return v
}

// A verifier keeps one repository verified.
type verifier struct {
	f      *Format
	gun    string
	pin    Pin
	pinned bool
	src    trust.Source
	place  *state.Collection

	loaded          bool
	held            *trusted // under the pin
	floors          *trusted // held, or what was verified under another pin
	foreign         bool     // what is on disk was verified under another pin, and gives way only to a set under this one
	seen            seen     // under the pin: what verified since held, whatever became of the files behind it, and held's roots
	written         seen     // what of seen is on disk
	flat            *trust.Snapshot
	probed, touched time.Time
}

// Load implements trust.Verifier.
//
// PRODUCT: invariant 6: with both copies lost, pinned sources start again from the pin, and trust on first use refuses.
func (v *verifier) Load(ctx context.Context) (*trust.Snapshot, error) {
	if !v.pinned {
		return nil, nil
	}
	record, err := v.place.Load()
	if errors.Is(err, fs.ErrNotExist) {
		v.loaded = true
		return nil, nil
	}
	if err != nil && !errors.Is(err, state.ErrLost) {
		return nil, &trust.Refusal{Reason: trust.StateUnavailable, Text: "cannot read", Err: err}
	}
	if err == nil {
		if v.held, v.seen, err = v.restore(ctx, record, v.pin); err == nil {
			v.loaded, v.floors, v.written = true, v.held, v.seen
			if v.held != nil {
				v.flat, v.touched = v.held.flatten(record.Checked), record.Checked
			}
			return v.flat, nil
		}
	}
	return nil, v.lost(ctx, record, err)
}

// lost judges a record that cannot be used. What only the pin does not allow any more, because the config has changed,
// still is what nothing may be older than.
//
// DCT: W4 and W6.
func (v *verifier) lost(ctx context.Context, record *state.Record, err error) error {
	if ctx.Err() != nil {
		return &trust.Refusal{Reason: trust.StateUnavailable, Text: "not read in time", Err: err}
	}
	if trust.ReasonOf(err) == trust.RootNotPinned {
		if floors, beyond, ferr := v.restore(ctx, record, Pin{TOFU: true}); ferr == nil {
			v.observe(trust.EventPinChanged, err)
			v.loaded, v.floors, v.foreign = true, floors, true
			// PRODUCT: invariant 6, version floors survive restart: also those of an update that failed.
			v.seen = seen{timestamp: beyond.timestamp, snapshot: beyond.snapshot}
			return nil
		}
	}
	v.observe(trust.EventStateDamaged, err)
	if v.pin.TOFU {
		return &trust.Refusal{Reason: trust.StateUnavailable, Text: "what was trusted on first use is lost, and cannot be trusted anew before \"tagwarden state reset\"", Err: err}
	}
	v.loaded = true
	return nil
}

// Refresh implements trust.Verifier.
func (v *verifier) Refresh(ctx context.Context) (*trust.Snapshot, error) {
	// DCT: W6, no root is trusted that nothing in the config allows.
	if !v.pinned {
		return nil, &trust.Refusal{Reason: trust.RootNotPinned, Text: "source " + v.f.o.Source, Err: trust.ErrNoPin}
	}
	// DCT: W4, without what was kept there are no floors.
	if !v.loaded {
		if _, err := v.Load(ctx); err != nil {
			return nil, err
		}
	}
	now := v.f.o.Now()
	u := update{gun: v.gun, pin: v.pin, src: v.src, prev: v.held, seen: v.seen, floors: v.floors, large: v.f.large, now: now, probe: now.Sub(v.probed) >= probeEvery}
	next, err := u.run(ctx)
	// DCT: W4 and W5, what verified is not fallen behind, whatever becomes of the rest.
	if err != nil {
		v.remember(&u.next)
		return nil, err
	}
	if u.probe {
		v.probed = now
	}
	if next == v.held {
		return v.unchanged(now), nil
	}
	if err := v.place.Save(next.record(now)); err != nil {
		return nil, &trust.Refusal{Reason: trust.StateUnavailable, Text: "cannot keep", Err: err}
	}
	if v.held == nil && v.pin.TOFU {
		v.observe(trust.EventFirstUse, fmt.Errorf("root v%d of %s", next.roots[0].version, v.gun))
	}
	if err := next.failures(); err != nil {
		v.observe(trust.EventVerification, err)
	}
	v.held, v.floors, v.flat, v.touched = next, next, next.flatten(now), now
	v.seen = seen{roots: next.roots}
	v.written, v.foreign = v.seen, false
	return v.flat, nil
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
	v.f.o.Observe(trust.Event{Kind: kind, Source: v.f.o.Source, Collection: v.gun, Err: err})
}
