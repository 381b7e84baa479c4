package proxy

import (
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// An Event is something that metrics or logs want to know.
type Event struct {
	Kind EventKind
	// Op is what was asked for: "version", "manifest", "blob", "tags", "referrers", or "none" for a request that means
	// nothing.
	Op string
	// Took is the time from request to the end of the answer; for Answered only.
	Took time.Duration
	// Err is what happened, in one line; for the security events and PrefetchFailed.
	Err error
}

// EventKind names events. Those of security events are the label of a metric.
type EventKind string

// The kinds of events.
const (
	// Answered is a request that was answered, whatever the answer.
	Answered EventKind = "answered"
	// Hit is content that was complete in the cache, Miss content that was not.
	Hit  EventKind = "hit"
	Miss EventKind = "miss"
	// UpstreamInvalid is a security event: a registry sent other content than it was asked for.
	UpstreamInvalid EventKind = "upstream_invalid"
	// LengthDiffers is a security event: a manifest has the signed digest, but not the signed length.
	LengthDiffers = EventKind(trust.EventLength)
	// BypassSuspected is a security event: a client was refused a tag and then asked for the digest that its registry has
	// under that tag.
	BypassSuspected EventKind = "bypass_suspected"
	// PrefetchFailed is an image that trust data names and that could not be fetched ahead, for the reason in Err. It is no
	// security event.
	PrefetchFailed EventKind = "prefetch_failed"
)
