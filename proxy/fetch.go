package proxy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

// attempts is how often content is asked for of a cache that answers with the failures of others.
const attempts = 4

// An origin is where the content of a request comes from if it is not in the cache.
type origin struct {
	kind       route.Kind
	repository string
	who        string // the client whose request it is; "" for what no client has asked for
	ask        cache.Origin
}

// An originError is an error of an origin. It says whose, because a fill fails for everybody who waits for it, and what
// one repository does not have, or sends broken, another may have.
type originError struct {
	kind       route.Kind
	repository string
	err        error
}

// Error returns the error of the origin.
func (e *originError) Error() string { return e.err.Error() }

// Unwrap returns the error of the origin.
func (e *originError) Unwrap() error { return e.err }

// An originBody is the body that an origin gave, whose errors say whose they are.
type originBody struct {
	io.ReadCloser
	o origin
}

// Read implements io.Reader.
func (b originBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &originError{b.o.kind, b.o.repository, err}
	}
	return n, err
}

// bring calls use with the content d. Use must be free to fail and be called again: the content is asked for again when it
// failed because somebody else's origin did, or is gone from the cache since, a few times at most. Mine tells whether o was
// asked.
func (h *Handler) bring(ctx context.Context, d digest.Digest, o origin, use func(*cache.Blob) error) (mine bool, err error) {
	registry, _ := names.Split(o.repository)
	q := cache.Request{Digest: d, From: registry, Scope: o.kind.String() + " " + o.repository, Who: o.who}
	ahead := o.who == ""
	if ahead {
		q.Scope = "ahead " + q.Scope // what fails there is not remembered against those who ask
	}
	for attempt := 1; ; attempt++ {
		var asked atomic.Bool
		q.Origin = func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
			asked.Store(true)
			body, size, err := o.ask(ctx, offset)
			if err != nil {
				return nil, 0, &originError{o.kind, o.repository, err}
			}
			return originBody{body, o}, size, nil
		}
		b, err := h.o.Cache.Fill(ctx, q)
		if attempt == 1 && !ahead {
			h.looked(o.kind, err == nil && !asked.Load() && b.Complete())
		}
		if err == nil {
			err = use(b)
		}
		again := errors.Is(err, cache.ErrGone) || !asked.Load() && o.foreign(err)
		if err == nil || attempt == attempts || ctx.Err() != nil || !again {
			return asked.Load(), err
		}
	}
}

// accuse reports content that cannot be what a registry was asked for. Of all who waited for it only the one does whose
// origin was asked, so that it is reported once.
func (h *Handler) accuse(mine bool, k route.Kind, err error) {
	if mine && invalid(err) {
		h.o.Observe(Event{Kind: UpstreamInvalid, Op: k.String(), Err: err})
	}
}

// looked reports whether content was in the cache.
func (h *Handler) looked(k route.Kind, hit bool) {
	e := Event{Kind: Miss, Op: k.String()}
	if hit {
		e.Kind = Hit
	}
	h.o.Observe(e)
}

// foreign tells whether err may be the failure of somebody else's origin, or of content that is gone from the cache since
// it was found there.
func (o origin) foreign(err error) bool {
	if err == nil {
		return false
	}
	var e *originError
	if errors.As(err, &e) {
		return e.kind != o.kind || e.repository != o.repository
	}
	var wrong *cache.ContentError
	gone := errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrDisk)
	return gone || errors.As(err, &wrong)
}

// invalid tells whether err means that a registry sent what cannot be right.
func invalid(err error) bool {
	var wrong *cache.ContentError
	return errors.As(err, &wrong) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, io.ErrUnexpectedEOF)
}

// missing tells whether err means that the registry does not have the content.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrDisk) && !errors.Is(err, cache.ErrGone)
}

// failure returns the reason that an error of bring is, and that a registry lacks something is none of.
func failure(err error) trust.Reason {
	var r *trust.Refusal
	switch {
	case errors.As(err, &r):
		return r.Reason
	case errors.Is(err, cache.ErrDisk) || errors.Is(err, cache.ErrClosed) || errors.Is(err, cache.ErrGone):
		return trust.StateUnavailable
	case invalid(err) || errors.Is(err, cache.ErrTooLarge):
		return trust.UpstreamInvalid
	}
	return trust.UpstreamDown
}
