// Package signing creates and changes TUF 1.0 repositories of image tags.
//
// A repository is a folder that anybody may read, published as it is, and beside it a folder with the two keys that keep
// it fresh:
//
//	trust/metadata/   what is published: N.root.json, N.targets.json, N.<signer>.json, N.snapshot.json, timestamp.json
//	trust/online/     the publisher's keys for snapshot and timestamp, encrypted, and its locks
//
// Root, targets and signers' keys lie in a Keychain of the person who signs, never beside what is published. The
// top-level targets role delegates to one role per signer; what a signer says about a tag is an entry in that role. For
// how long fresh files are valid stands in the root file, so that everybody keeps to it.
//
// Whoever changes something goes through Repository.Change: what is published is read and verified as a gateway does,
// changed by the verbs of an Edit, signed, proved by reading it once more as it will be, and published so that a reader
// sees, at any moment and after a crash at any moment, all of the earlier state or all of the new one. A Publisher is the
// other end: it takes signed role files from anywhere, and issues snapshot and timestamp for them.
//
// Nothing here prompts or logs: passphrases come from a function, and what happened is returned.
package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// Options are what a Repository needs beyond its place.
type Options struct {
	// Keys holds the private keys of whoever changes the repository. Reading needs none.
	Keys *Keychain
	// Root is the pinned root file that everything is verified from. A folder may do without: its oldest root counts then,
	// which is right for whoever owns the folder, and for nobody else.
	Root []byte
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// clock returns the clock, which may be nil.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// A Remote is a repository that a gateway publishes. remote.HTTP is one. Implementations are safe for concurrent use.
type Remote interface {
	trust.Source
	// Put publishes a role file under its versioned name. The error is remote.ErrConflict when the gateway has that
	// version, or not the one before it.
	Put(ctx context.Context, file string, data []byte) error
}

// A Repository is a TUF repository that can be read and changed. It is safe for concurrent use.
type Repository struct {
	o      Options
	source trust.Source
	folder *folder // nil: at a gateway
	remote Remote  // nil: in a folder
}

// OpenDirectory returns the repository in a folder. dir is the folder that is published, or the one that holds it as
// "metadata". Changes need the sibling folder "online" and its keys, whose passphrase Options.Keys is asked for as those
// of the roles "snapshot" and "timestamp".
func OpenDirectory(dir string, o Options) (*Repository, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	if o.Root == nil {
		if o.Root, err = f.oldestRoot(); err != nil {
			return nil, err
		}
	}
	return &Repository{o: o, source: f.source, folder: f}, nil
}

// OpenGateway returns the repository that a gateway publishes. Options.Root is required.
func OpenGateway(r Remote, o Options) (*Repository, error) {
	if len(o.Root) == 0 {
		return nil, errors.New("a repository at a gateway needs the root file that it is verified from")
	}
	return &Repository{o: o, source: r, remote: r}, nil
}

// Read returns what the repository says, verified from the root on; files that have expired are shown as they are.
// The error is a *trust.Refusal.
func (r *Repository) Read(ctx context.Context) (*View, error) {
	return load(ctx, r.source, r.o.Root, clock(r.o.Now)())
}

// A Result is what a change has published.
type Result struct {
	// Files are the names of the files that were published, in that order; none if there was nothing to change.
	Files []string
	// Notes are lines for the person who made the change: what it did beside what was asked, and what it did not do.
	Notes []string
}

// rounds is how often a change is made again at a gateway where others publish at the same time.
const rounds = 5

// Change applies a change and publishes it. The change may be called several times, with the state as it is then: first
// to find out which keys are needed, so that nobody is asked for a passphrase while others wait, and again whenever
// somebody else has published in between. When a verb has failed nothing is published, whatever the change returns.
// After an error nothing was published, except at a gateway, where a change of several roles is several steps, each of
// which leaves the repository valid; made again it goes on from there.
//
// Another writer of a folder is waited for, for up to 5 seconds. At a gateway a change is made again up to 5 times.
func (r *Repository) Change(ctx context.Context, change func(*Edit) error) (Result, error) {
	fresh := make(map[string][]PublicKey)
	var online *Keychain
	if r.folder != nil {
		online = r.folder.online(r.o.Keys)
	}
	edit := func() (*Edit, error) {
		v, err := r.Read(ctx)
		if err != nil {
			return nil, err
		}
		// TUF: 6.2, only consistent snapshots let a reader finish what it began.
		if !v.root.Signed.ConsistentSnapshot {
			return nil, errors.New("the repository has no consistent snapshots, so it cannot be changed while others read it")
		}
		e := &Edit{
			base: v, now: clock(r.o.Now)(), keys: r.o.Keys, online: online, fresh: fresh,
			changed: make(map[string]*targetsFile), adopted: make(map[string][]byte),
		}
		if err := change(e); err != nil {
			return nil, err
		}
		return e, e.failure
	}
	if r.folder != nil {
		return r.folder.change(ctx, edit)
	}
	return publish(ctx, r.remote, edit)
}

// result returns what was published.
func (e *Edit) result(files []file) Result {
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	return Result{Files: names, Notes: slices.Clone(e.notes)}
}

// publish sends what an edit has changed to a gateway, file by file, in an order that leaves the repository valid after
// each, and makes the edit again when somebody else was faster.
func publish(ctx context.Context, r Remote, edit func() (*Edit, error)) (Result, error) {
	var sent []file
	for range rounds {
		e, err := edit()
		if err != nil {
			return Result{}, err
		}
		b, err := e.batch()
		if err != nil {
			return Result{}, err
		}
		err = nil
		for _, f := range b.steps() {
			if err = r.Put(ctx, f.name, f.data); err != nil {
				break
			}
			sent = append(sent, f)
		}
		if err == nil {
			return e.result(sent), nil
		}
		if !conflict(err) {
			return e.result(sent), err
		}
	}
	return Result{}, fmt.Errorf("somebody else published first, %d times: try again", rounds)
}
