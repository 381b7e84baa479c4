package trust

import (
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust/names"
)

// A Verdict is what a decision comes to.
type Verdict uint8

// The verdicts. The zero value is Undecided, and everything but Allow refuses.
const (
	Undecided Verdict = iota
	Deny
	Allow
)

// String returns the word that audit log and metrics carry.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return "undecided"
}

// A Mode is how a rule treats the names it matches.
type Mode uint8

// The modes. The zero value is NoMode, which is what a name has that no rule matches.
const (
	NoMode Mode = iota
	// Enforce serves a tag only as its signed digest.
	Enforce
	// Refuse serves nothing, neither tags nor digests. The config calls it deny.
	Refuse
)

// String returns the word that the config has for the mode, or "none".
func (m Mode) String() string {
	switch m {
	case Enforce:
		return "enforce"
	case Refuse:
		return "deny"
	}
	return "none"
}

// A Rule says how the names that one match selects are treated.
type Rule struct {
	// Name labels the rule in messages, metrics and audit.
	Name  string
	Match names.Match
	Mode  Mode
	// Source names who says what a tag means; for Enforce only.
	Source string
}

// A Decision is the answer to one request about a tag or digest. There is no error beside it: "could not decide" is a
// decision too, and refuses. A Decision is a value; nothing in it changes after it was made.
type Decision struct {
	// ID is what client, audit log and message share.
	ID      string
	Time    time.Time
	Name    Name
	Verdict Verdict
	Mode    Mode
	// Reason is empty when the verdict is Allow.
	Reason Reason
	// Target is what may be served; only Admit gives it out.
	target    Target
	Statement Statement
	Rule      string
	Source    string
	// Signers are the roles that claim the target.
	Signers []string
	// Grace tells that what allowed the target has expired, and serves only by the source's configured grace.
	Grace bool
	// SignWith is the command that would sign the tag at this source.
	SignWith string
	// Err says more about the reason. Nil when the reason says it all.
	Err error
}

// Admit returns what may be served. False means that nothing may, and is what the zero Decision says.
func (d Decision) Admit() (Target, bool) {
	if d.Verdict != Allow {
		return Target{}, false
	}
	return d.target, true
}

// Digest returns the digest that may be served, or "" for a refusal; for records, not for serving.
func (d Decision) Digest() digest.Digest {
	t, _ := d.Admit()
	return t.Digest
}

// Refused returns the decision turned into a refusal: the content that was admitted could not be had or is not what may
// be served. It keeps the id, so that the record of it is still one.
func (d Decision) Refused(r Reason, err error) Decision {
	d.Verdict, d.Reason, d.Err, d.target = Deny, r, err, Target{}
	return d
}
