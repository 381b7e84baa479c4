package trust

import "errors"

// A Reason is why something is refused. Its words are a stable interface: clients, audit log and metrics carry them.
type Reason string

// The reasons that exist.
const (
	UnknownRegistry   Reason = "unknown_registry"      // the request names a registry that the config does not
	NoRule            Reason = "no_rule"               // no rule matches the name
	RuleDeny          Reason = "rule_deny"             // the rule that matches says deny
	ExceptionExpired  Reason = "exception_expired"     // the rule that matches has ended
	SignerMissing     Reason = "signer_missing"        // too few of the signers that the rule asks for have signed
	SignersDisagree   Reason = "signers_disagree"      // they name different digests
	UnsignedTag       Reason = "unsigned_tag"          // verified trust data does not name the tag
	NoTrustData       Reason = "no_trust_data"         // the source has nothing about the repository
	RootNotPinned     Reason = "root_not_pinned"       // the root that the source gives is not the one the config pins
	RootMismatch      Reason = "root_mismatch"         // a new root is not vouched for by the one trusted before
	SignatureInvalid  Reason = "signature_invalid"     // a signature by an authorised key does not verify
	ThresholdNotMet   Reason = "threshold_not_met"     // too few authorised keys signed
	MetadataExpired   Reason = "metadata_expired"      // a file that the answer rests on has ended
	MetadataRollback  Reason = "metadata_rollback"     // the source gives an older version than was verified before
	MetadataInvalid   Reason = "metadata_invalid"      // broken, oversized, or not what a verified file names
	LengthMismatch    Reason = "length_mismatch"       // the signed content has another length than was signed
	MediaTypeMismatch Reason = "media_type_mismatch"   // the manifest is of a type, or of several, that is not served
	SignedDigestGone  Reason = "signed_digest_missing" // the signed content is gone upstream and not in the cache
	UpstreamDown      Reason = "upstream_unreachable"  // the registry behind the gateway could not be asked
	UpstreamInvalid   Reason = "upstream_invalid"      // the registry behind the gateway sent other bytes than asked for
	SourceUnreachable Reason = "source_unreachable"    // the source could not be asked, and nothing verified is in hand
	MetadataStale     Reason = "metadata_stale"        // the last successful check is longer ago than the source's max_stale
	ClockBehind       Reason = "clock_behind"          // the clock says a time that cannot be
	StateUnavailable  Reason = "state_unavailable"     // verified trust data cannot be kept or read back
)

// ErrNoPin is the cause of a refusal with RootNotPinned where the config pins nothing for a name: no fault of the source.
var ErrNoPin = errors.New("no pin covers the name")

// A Refusal is an error with the reason that clients see. Text is one line without newline for the person on call: the
// thing before what is wrong with it. It never carries bytes that were not verified, but quoted and cut.
type Refusal struct {
	Reason Reason
	Text   string
	Err    error // the cause, if one is worth matching
}

// Error returns the text and its cause.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Text + ": " + r.Err.Error()
	}
	return r.Text
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// ReasonOf returns the reason that err carries. An error without one came from something that could not be asked or
// read, so it counts as an unreachable source: a refusal too.
func ReasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return SourceUnreachable
}
