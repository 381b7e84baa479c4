package proxy

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

const (
	// suspicious is how long after a refused tag a request by digest may be the sign of a way around the gateway.
	suspicious = 10 * time.Minute
	// suspectTime is how long one may be looked into.
	suspectTime = 10 * time.Second
	// maxSuspicions is how many of those are looked into at a time; more are let go.
	maxSuspicions = 8
)

// A pull is what one client does with one repository.
type pull struct{ client, repository string }

// A denial is the last tag that a pull was refused.
type denial struct {
	tag string
	at  time.Time
}

// A suspect is one digest that a pull asked for.
type suspect struct {
	pull
	digest digest.Digest
}

// around tells whether a client could get around the refusal by asking the registry: it may be asked, and has the tag
// for all we know.
func around(d trust.Decision) bool {
	return meaning(d.Reason).status != http.StatusNotFound && meaning(d.Reason).status != http.StatusBadGateway &&
		d.Reason != trust.RuleDeny && d.Reason != trust.UnknownRegistry
}

// remember remembers a refused tag.
func (h *Handler) remember(r *http.Request, d trust.Decision) {
	p := pull{client(r), d.Name.Repository}
	if before, ok := h.denials.Get(p); ok && before.tag != d.Name.Tag {
		h.cleared.Purge() // what was cleared was cleared of another tag
	}
	h.denials.Add(p, denial{d.Name.Tag, h.o.Now()})
}

// forgive forgets a refused tag that has been served since: its digest is ours to ask for again.
func (h *Handler) forgive(r *http.Request, n trust.Name) {
	p := pull{client(r), n.Repository}
	if refused, ok := h.denials.Get(p); ok && refused.tag == n.Tag {
		h.denials.Remove(p)
	}
}

// suspect looks into a request by digest of a client that was refused a tag of the repository. If the digest is what the
// registry has under that tag, the client has asked the registry itself: it goes around the gateway.
// CLIENTS: 1.1, a mirror entry is never enforcement; the digest comes back to the mirror.
func (h *Handler) suspect(r *http.Request, repository string, d digest.Digest) {
	p := pull{client(r), repository}
	refused, ok := h.denials.Get(p)
	if !ok || h.o.Now().Sub(refused.at) > suspicious {
		return
	}
	if _, known := h.cleared.Get(suspect{p, d}); known {
		return
	}
	select {
	case h.suspicions <- struct{}{}:
	default:
		return
	}
	h.o.Go(func() {
		defer func() { <-h.suspicions }()
		ctx, cancel := context.WithTimeout(context.Background(), suspectTime)
		defer cancel()
		release, err := h.manifests.acquire(ctx, repository)
		if err != nil {
			return
		}
		defer release()
		n := trust.Name{Repository: repository, Tag: refused.tag}
		if has, err := h.o.Upstream.Resolve(ctx, repository, refused.tag); err != nil || has != d {
			h.cleared.Add(suspect{p, d}, struct{}{})
			return
		}
		if h.denials.Remove(p) {
			h.o.Observe(Event{Kind: BypassSuspected, Op: "manifest", Err: fmt.Errorf("client %s was refused %s and then asked for %s, which the registry has under that tag: it asks the registry itself", p.client, n, d)})
		}
	})
}
