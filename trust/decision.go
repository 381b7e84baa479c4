package trust

import (
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust/names"
)

// A Verdict is what a decision comes to.
type Verdict uint8

// The verdicts. The zero value is Undecided, which refuses, as Deny does.
const (
	Undecided Verdict = iota
	Deny
	Allow
	// WouldDeny is what Audit says of a tag that Enforce refuses.
	WouldDeny
	// WouldChange is what Audit says of a tag that Enforce serves with other content.
	WouldChange
)

// String returns the word that audit log and metrics carry.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case WouldDeny:
		return "would_deny"
	case WouldChange:
		return "would_change"
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
	// Audit serves a tag as the registry has it, and records what Enforce would have done.
	Audit
	// Exempt serves a tag as the registry has it. The config calls it allow.
	Exempt
)

// String returns the word that the config has for the mode, or "none".
func (m Mode) String() string {
	switch m {
	case Enforce:
		return "enforce"
	case Refuse:
		return "deny"
	case Audit:
		return "audit"
	case Exempt:
		return "allow"
	}
	return "none"
}

// A Rule says how the names that one match selects are treated.
type Rule struct {
	// Name labels the rule in messages, metrics and audit.
	Name  string
	Match names.Match
	Mode  Mode
	// Source names who says what a tag means; for Enforce and Audit.
	Source string
	// Signers are those who must have signed, beyond the format's own rule; nil: that rule alone.
	Signers *Signers
	// Until is when the rule ends, and with it every tag is refused; zero: never. Digests still pass.
	Until time.Time
	// Why is what the config says the rule is for.
	Why string
	// TagTTL is how long the registry's own meaning of a tag may be used again, and StaleIfError how much longer while the
	// registry cannot be asked; for Audit and Exempt.
	TagTTL, StaleIfError time.Duration
	// Prefetch tells that what a tag in use comes to mean is wanted before anybody asks for it; for Enforce.
	Prefetch bool
}

func (r Rule) ended(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// Signers are some of whom must have signed the same content for a tag.
type Signers struct {
	// Of are names of signers as their format has them: for Notary v1 "release" is the role "targets/release".
	Of []string
	// Threshold is how many of them are enough; at least 1 and at most all.
	Threshold int
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
	// target is what was signed; only Admit gives it out.
	target Target
	// open tells that what the registry has under the tag may be served.
	open      bool
	Statement Statement
	Rule      string
	Source    string
	// Signers are the roles that claim the target.
	Signers []string
	// Grace tells that what allowed the target has expired, and serves only by the source's configured grace.
	Grace bool
	// Prefetch is that of the rule.
	Prefetch bool
	// SignWith is the command that would sign the tag at this source.
	SignWith string
	// Err says more about the reason. Nil when the reason says it all.
	Err error
}

// Admit returns the one thing that may be served. False means that nothing may, unless Open; and is what the zero
// Decision says.
func (d Decision) Admit() (Target, bool) {
	if d.Verdict != Allow || d.open {
		return Target{}, false
	}
	return d.target, true
}

// Open tells that the rule lets the tag mean what the registry says, signed or not. That is never so under Enforce.
func (d Decision) Open() bool { return d.open && d.Verdict != Undecided && d.Verdict != Deny }

// Signed returns the digest that trust data names, or "" if it names none or nobody asked; for records, not for serving.
func (d Decision) Signed() digest.Digest { return d.target.Digest }

// Saw returns the decision as it stands when the registry's own meaning of the tag is known.
func (d Decision) Saw(upstream digest.Digest) Decision {
	if d.Mode == Audit && d.Verdict == Allow && d.target.Digest != upstream {
		d.Verdict = WouldChange
	}
	return d
}

// Refused returns the decision turned into a refusal: the content that was admitted could not be had or is not what may
// be served. It keeps the id, so that the record of it is still one.
func (d Decision) Refused(r Reason, err error) Decision {
	d.Verdict, d.Reason, d.Err, d.target, d.open = Deny, r, err, Target{}, false
	return d
}
