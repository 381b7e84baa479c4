package signing

import (
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// An Expiry says for how long fresh files of each role are valid. The root file carries it, signed, so that whoever signs
// later, anywhere, keeps to it. Zero fields mean the default.
type Expiry struct {
	// Root, Targets and Signers default to 365 days.
	Root, Targets, Signers time.Duration
	// Snapshot and Timestamp default to 30 days, which suits a folder that somebody renews once a week. Where a publisher
	// runs, 7 days and 1 day bound better for how long readers can be kept from news.
	Snapshot, Timestamp time.Duration
}

// The bounds of every duration.
const (
	minExpiry = time.Second
	maxExpiry = 10 * 365 * 24 * time.Hour
)

// expiryField is the member of the root file that holds durations by role. TUF lets a file have members of one's own.
const expiryField = "x-tagwarden-expiry"

// signers is what the durations of all signers' roles are called.
const signers = "signers"

// Set sets the duration of one role: "root", "targets", "signers", "snapshot" or "timestamp"; a whole number of seconds,
// at least one and at most ten years.
func (x *Expiry) Set(role string, d time.Duration) error {
	field := x.field(role)
	if field == nil {
		return fmt.Errorf("expiry of %.60q: there are root, targets, signers, snapshot and timestamp", role)
	}
	if d < minExpiry || d > maxExpiry || d%time.Second != 0 {
		return fmt.Errorf("expiry of %s: %s is not a whole number of seconds between 1s and ten years", role, d)
	}
	*field = d
	return nil
}

func (x *Expiry) field(role string) *time.Duration {
	switch role {
	case metadata.ROOT:
		return &x.Root
	case metadata.TARGETS:
		return &x.Targets
	case metadata.SNAPSHOT:
		return &x.Snapshot
	case metadata.TIMESTAMP:
		return &x.Timestamp
	case signers:
		return &x.Signers
	}
	return nil
}

// of returns for how long a file of the role is valid.
func (x Expiry) of(role string) time.Duration {
	field := x.field(role)
	if field == nil {
		field = &x.Signers
	}
	if *field != 0 {
		return *field
	}
	if role == metadata.SNAPSHOT || role == metadata.TIMESTAMP {
		return 30 * 24 * time.Hour
	}
	return 365 * 24 * time.Hour
}

// due returns when a file of the role that ends at expires has a third of its validity left.
func (x Expiry) due(role string, expires time.Time) time.Time { return expires.Add(-x.of(role) / 3) }

// member returns the durations as the root file has them.
func (x Expiry) member() map[string]any {
	m := make(map[string]any)
	for _, role := range append([]string{signers}, atTop...) {
		m[role] = x.of(role).String()
	}
	return m
}

// expiryOf reads the durations from a root file. What is not there, or does not make sense, is the default.
func expiryOf(r *rootFile) Expiry {
	var x Expiry
	m, _ := r.Signed.UnrecognizedFields[expiryField].(map[string]any) // somebody else's root has none
	for role, v := range m {
		s, _ := v.(string)
		if d, err := time.ParseDuration(s); err == nil {
			_ = x.Set(role, d) // out of bounds: the default
		}
	}
	return x
}
