package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"go.uber.org/zap"
)

const (
	// opinionTime is how long it may take to learn what enforce would have done, while the client has its answer.
	opinionTime = 40 * time.Second
	// maxOpinions is how many of those are awaited at a time of one source. Beyond it, what is in hand has to do.
	maxOpinions = 256
	// askTime is how long a registry has to say what a tag means.
	askTime = 60 * time.Second
)

// An answered question is what a registry said of a tag.
type answered struct {
	digest digest.Digest
	at     time.Time
}

// openManifest answers a request for a tag that means what its registry says. What enforce would have done is found out
// beside it and recorded, and holds nothing up.
// PRODUCT: section 4, audit and allow.
func (h *Handler) openManifest(w http.ResponseWriter, r *http.Request, q route.Request, repository string, rule trust.Rule) error {
	n := trust.Name{Repository: repository, Tag: q.Tag}
	id := h.o.NewID()
	w.Header()["Tagwarden-Decision"] = []string{id}
	opinion := h.opinion(r.Context(), id, n, rule)
	var m manifest
	d, err := h.resolve(r.Context(), n, rule)
	if err == nil {
		m, err = h.content(r.Context(), client(r), repository, d)
	}
	defer m.release()
	if err != nil && r.Context().Err() != nil {
		opinion(func(o trust.Decision) error { return h.record(r, q, o, "") })
		panic(http.ErrAbortHandler) // nobody is there to answer
	}
	var final trust.Decision
	unrecorded := opinion(func(o trust.Decision) error {
		switch final = o.Saw(d); {
		case err == nil:
			return h.record(r, q, final, d)
		case missing(err):
			return h.record(r, q, final, "")
		}
		final = o.Refused(failure(err), err)
		return h.record(r, q, final, "")
	})
	switch {
	case unrecorded != nil:
		return h.unrecorded(trust.Decision{ID: id}, unrecorded)
	case missing(err):
		return &refusal{status: http.StatusNotFound, code: "MANIFEST_UNKNOWN", message: fmt.Sprintf("%s: %s", n, oneLine(err.Error()))}
	case err != nil:
		return h.refused(trust.Decision{ID: id, Name: n, Mode: rule.Mode, Rule: rule.Name, Source: rule.Source}.Refused(failure(err), err), q)
	}
	h.writeManifest(w, r, q, m)
	return nil
}

// opinion asks the Decider about n and returns how to use its decision: at once if it is there, else as soon as it is.
// Only of a use at once is there an error.
func (h *Handler) opinion(ctx context.Context, id string, n trust.Name, rule trust.Rule) func(use func(trust.Decision) error) error {
	ctx = context.WithoutCancel(ctx)
	opinions := h.opinionsOf(rule.Source)
	select {
	case opinions <- struct{}{}:
	default:
		// An ended context makes the Decider say what it has in hand.
		over, cancel := context.WithCancel(ctx)
		cancel()
		d := h.o.Decider.Decide(over, id, n)
		return func(use func(trust.Decision) error) error { return use(d) }
	}
	decided := make(chan trust.Decision, 1)
	decide := func() {
		defer func() { <-opinions }()
		ctx, cancel := context.WithTimeout(ctx, opinionTime)
		defer cancel()
		decided <- h.o.Decider.Decide(ctx, id, n)
	}
	if rule.Mode == trust.Exempt {
		decide() // nobody is asked
	} else {
		h.o.Go(decide)
	}
	return func(use func(trust.Decision) error) error {
		select {
		case d := <-decided:
			return use(d)
		default:
		}
		// PRODUCT: section 2, on_full: refuse. What will have to be recorded must be possible to record.
		if err := h.o.Recordable(); err != nil {
			return err
		}
		h.o.Go(func() {
			if err := use(<-decided); err != nil {
				h.o.Log.Error("decision not recorded", zap.String("decision", id), zap.Error(err))
			}
		})
		return nil
	}
}

// opinionsOf returns what holds one element for each decision that rests on a source and is awaited beside an answer.
func (h *Handler) opinionsOf(source string) chan struct{} {
	c, _ := h.opinions.LoadOrStore(source, make(chan struct{}, maxOpinions))
	return c.(chan struct{})
}

// resolve returns what the registry says that n means: one question for all who ask at the same time, and none within the
// rule's tag_ttl. While the registry cannot be asked, its last word counts for the rule's stale_if_error.
func (h *Handler) resolve(ctx context.Context, n trust.Name, rule trust.Rule) (digest.Digest, error) {
	known, ok := h.meanings.Get(n)
	if ok && h.o.Now().Sub(known.at) < rule.TagTTL {
		return known.digest, nil
	}
	asked := h.asking.DoChan(n.String(), func() (any, error) {
		// PRODUCT: invariant 9, questions go on when their clients have left, and so must be few.
		registry, _ := names.Split(n.Repository)
		pending := h.pending[registry]
		select {
		case pending <- struct{}{}:
			defer func() { <-pending }()
		default:
			return digest.Digest(""), errBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		release, err := h.manifests.acquire(ctx, n.Repository)
		if err != nil {
			return digest.Digest(""), err
		}
		defer release()
		at := h.o.Now()
		d, err := h.o.Upstream.Resolve(ctx, n.Repository, n.Tag)
		if err == nil {
			h.meanings.Add(n, answered{d, at})
		}
		return d, err
	})
	select {
	case a := <-asked:
		if a.Err == nil {
			return a.Val.(digest.Digest), nil
		}
		if ok && down(a.Err) && h.o.Now().Sub(known.at) < rule.TagTTL+rule.StaleIfError {
			return known.digest, nil
		}
		return "", a.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// down tells whether err means that the registry could not be asked, or limits us: everything that is not an answer.
func down(err error) bool {
	return !missing(err) && !invalid(err) && !errors.Is(err, fs.ErrPermission)
}
