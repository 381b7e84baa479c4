// Package trust decides which digest a tag means, from metadata it has verified.
//
// The map of the house:
//
//   - names spells image names in one form and matches them;
//   - an Authority applies the rule, freshness and the clock to what a Resolver says, and returns one Decision;
//   - Collections is the Resolver over snapshots: one Verifier per collection, one refresh at a time, bounded memory;
//   - dct verifies Notary v1 metadata and makes Snapshots of it, tuf does so with TUF 1.0;
//   - signing creates and changes TUF 1.0 repositories;
//   - state keeps verified files durably, remote fetches files that are not verified yet.
//
// Nothing here knows HTTP, registries or caches, and nothing logs: what happens in the background is told to Observe.
package trust

import (
	"context"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Name is an image under a tag, in full form: "docker.io/library/nginx" and "1.27".
type Name struct {
	Repository string
	Tag        string
}

// String returns repository:tag, or the repository alone where there is no tag.
func (n Name) String() string {
	if n.Tag == "" {
		return n.Repository
	}
	return n.Repository + ":" + n.Tag
}

// A Target is the content that a tag means.
type Target struct {
	Digest digest.Digest
	// Size is the length in bytes that was signed, which for Notary v1 is only what the signer wrote; 0 when unknown.
	Size int64
	// MediaType is the type that was signed; empty when the format does not sign one.
	MediaType string
	// SHA512 is the second hash that was signed, in hexadecimal; empty when there is none.
	SHA512 string
	// Exact tells that Size was signed as a promise, as TUF 1.0 has it: content of another size is not the target.
	Exact bool
}

// A Claim is one role's signed word for what a name means.
type Claim struct {
	Target Target
	// Role is the role that made the claim, in its format's spelling: "targets/releases".
	Role string
	// Signer is the name by which rules call the role: for Notary v1 "release" for "targets/release".
	Signer string
	// Keys are the canonical ids of the keys that signed the role's file and count for it.
	Keys []string
	// Released tells that the format's own rule lets this claim be the meaning of the name. Of several the first is the
	// meaning, unless a rule asks for signers.
	Released bool
	// Expires is when the claim ends, because its role or one above it does.
	Expires time.Time
}

// A RoleVersion names one verified file that a statement rests on.
type RoleVersion struct {
	Role    string
	Version int64
	Expires time.Time
	// Keys are the canonical ids of the keys that signed it and count for it.
	Keys []string
}

// A Statement is what verified trust data says about one name. It is as good as its Checked and Expires are: those are
// judged at every decision, not when the statement was made.
type Statement struct {
	// Claims is empty when the name is not signed. They stand in the order of the format's own precedence.
	Claims []Claim
	// Checked is when the last successful check with the source began. Zero: never.
	Checked time.Time
	// Expires is when the first of the files ends that the statement rests on.
	Expires time.Time
	// Versions are the files that it rests on, and where they are few all of the collection's: root, timestamp, snapshot and
	// targets first.
	Versions []RoleVersion
	// Listed is how many tags of this repository are released.
	Listed int
	// Failure is why the latest check failed, nil if it did not.
	Failure error
}

// A Resolver says what one source's verified trust data claims about a name. The snapshot formats implement it through
// Collections; a signature format that cannot list tags would implement it by itself. All methods are safe for
// concurrent use.
type Resolver interface {
	// Resolve returns the claims about n, from a check no older than maxAge if one can be had in the time a client may
	// be kept waiting, else from verified data in hand: the caller judges its age. An error is a *Refusal; the statement
	// beside it says what the refusal rests on.
	Resolve(ctx context.Context, n Name, maxAge time.Duration) (Statement, error)
	// Tags returns every tag of the repository that has a claim, in no order, each with what Resolve would say.
	Tags(ctx context.Context, repository string, maxAge time.Duration) (iter.Seq2[string, Statement], Statement, error)
}

// A Source fetches metadata files that nothing has verified. Implementations are safe for concurrent use.
type Source interface {
	// Fetch returns the whole file, of at most limit bytes, by the name under which its format publishes it. The error
	// is fs.ErrNotExist when the source answers that there is none, and a *Refusal with MetadataInvalid when the file is
	// larger than limit; anything else means that the source could not be asked.
	Fetch(ctx context.Context, file string, limit int64) ([]byte, error)
}

// An Event is something that happened in the background, for logs and metrics.
type Event struct {
	// Kind is EventRefresh, or the name of a security event.
	Kind EventKind
	// Source and Collection say whose trust data it is.
	Source, Collection string
	// Err is what failed; nil for a refresh that succeeded.
	Err error
	// Changed tells that a refresh brought new data.
	Changed bool
	// Versions are those in force after a refresh that succeeded.
	Versions []RoleVersion
}

// EventKind names events; security events become the label of a metric.
type EventKind string

// The kinds of events. All but EventRefresh are security events.
const (
	EventRefresh EventKind = "refresh"
	// EventVerification is metadata that failed verification: signature, threshold, rollback, wrong root, mixed files.
	EventVerification EventKind = "verification_failed"
	// EventVanished is a source that answers "not found" for trust data it had before.
	EventVanished EventKind = "trust_data_vanished"
	// EventStateDamaged is a state file that could not be read back as it was written.
	EventStateDamaged EventKind = "state_damaged"
	// EventPinChanged is kept trust data that the config's pins do not allow any more.
	EventPinChanged EventKind = "pin_changed"
	// EventFirstUse is a root that was trusted because it was the first one seen.
	EventFirstUse EventKind = "trusted_on_first_use"
	// EventClockBehind is a machine whose clock says a time well before that of the last successful check.
	EventClockBehind EventKind = "clock_behind"
	// EventLength is a served manifest whose length is not the one that was signed.
	EventLength EventKind = "length_differs"
)
