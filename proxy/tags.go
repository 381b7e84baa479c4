package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
)

// maxPage is the most tags that one answer lists, whatever was asked for.
const maxPage = 10000

// tags answers with the tags that would be served, a page of them. Nobody is asked but the Decider.
// OCI: end-8a, end-8b
func (h *Handler) tags(w http.ResponseWriter, r *http.Request, q route.Request) error {
	tags, d, err := h.list(r, q)
	if err != nil {
		return err
	}
	if d.Open() {
		tags, err = h.askTags(r, d)
		if missing(err) {
			return &refusal{status: http.StatusNotFound, code: "NAME_UNKNOWN", message: fmt.Sprintf("%s: %s", d.Name, oneLine(err.Error()))}
		}
		if err != nil {
			d = d.Refused(failure(err), err)
		}
	}
	if _, ok := d.Admit(); !ok && !d.Open() {
		w.Header()["Tagwarden-Decision"] = []string{d.ID}
		if err := h.record(r, q, d, ""); err != nil {
			return h.unrecorded(d, err)
		}
		return h.refused(d, q)
	}
	tags, more := page(tags, q)
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{q.Path, tags})
	if err != nil {
		return err
	}
	head := w.Header()
	if more {
		// The path is what the client asked for, so that it stays with the registry it has named.
		q.Paged, q.N, q.Last = true, len(tags), tags[len(tags)-1]
		head.Set("Link", "<"+q.URL().String()+`>; rel="next"`)
	}
	head["Content-Type"] = jsonType
	head["Cache-Control"] = revalidated
	h.write(w, r, http.StatusOK, body)
	return nil
}

// askTags returns the tags that the registry lists, sorted and each once.
// CLIENTS: 3.1 item 5, whatever order and pages the registry has.
func (h *Handler) askTags(r *http.Request, d trust.Decision) ([]string, error) {
	release, err := h.referrers.acquire(r.Context(), d.Name.Repository)
	if err != nil {
		return nil, err
	}
	defer release()
	tags, err := h.o.Upstream.Tags(r.Context(), d.Name.Repository)
	slices.Sort(tags)
	return slices.Compact(tags), err
}

// list returns all tags that would be served, unless the decision beside them refuses. The error means that the request
// has no meaning.
func (h *Handler) list(r *http.Request, q route.Request) ([]string, trust.Decision, error) {
	repository, err := h.names.repository(r.Host, q)
	switch u, ok := err.(*unknown); {
	case ok:
		return nil, h.unknown(u, q), nil
	case err != nil:
		return nil, trust.Decision{}, err
	}
	tags, d := h.o.Decider.Tags(r.Context(), h.o.NewID(), repository)
	return tags, d, nil
}

// page returns the tags that q asks for, never nil, and whether there are more behind them. A page of none is the last.
// Sort, then last, then n.
func page(tags []string, q route.Request) (page []string, more bool) {
	if q.Last != "" {
		at, found := slices.BinarySearch(tags, q.Last)
		if found {
			at++
		}
		tags = tags[at:]
	}
	n := maxPage
	if q.Paged {
		n = min(n, q.N)
	}
	if len(tags) > n {
		tags, more = tags[:n], n > 0
	}
	if len(tags) == 0 {
		return []string{}, false
	}
	return tags, more
}
