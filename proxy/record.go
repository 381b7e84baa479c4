package proxy

import (
	"math"
	"net"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// A Record is what the audit log keeps of one request: who asked for what, what was decided, and why. Its JSON form is a
// stable interface, the order of its members included.
type Record struct {
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"` // the id that the client saw
	Client   string    `json:"client"`   // address, without port
	Identity string    `json:"identity"` // empty: clients are not told apart yet
	Method   string    `json:"method"`   // GET or HEAD
	// Name is the full name of the repository, or what the client gave for it where that names no known registry.
	Name   string        `json:"name"`
	Tag    string        `json:"tag"`    // empty for a digest or a list of tags
	Digest digest.Digest `json:"digest"` // that was asked for; empty for a tag
	// Verdict is allow or deny, and the final one: what was allowed but cannot be served for a reason is denied.
	Verdict  string   `json:"verdict"`
	Mode     string   `json:"mode"`
	Reason   string   `json:"reason"` // empty when allowed
	Rule     string   `json:"rule"`   // empty when none matches
	Source   string   `json:"source"` // empty when none was asked
	Versions Versions `json:"versions"`
	Signers  []string `json:"signers"` // the roles that claim the digest; null for none
	// Served is empty when there is no content to serve: after a refusal, or when the registry does not have what was
	// asked for by digest.
	Served digest.Digest `json:"served"`
	// CheckedAge is how long before the decision the last successful check with the source began, in seconds; null when
	// the decision rests on none.
	CheckedAge *float64 `json:"checked_age"`
	// Grace is there, and true, when what allowed the content has expired and served by the source's grace.
	Grace bool `json:"grace,omitempty"`
}

// Versions are the verified files that a decision rests on. Their JSON form is an object of version by role.
type Versions []trust.RoleVersion

// record makes the Record of a decision and hands it over.
// PRODUCT: invariant 10, every decision on a tag or manifest, once, with the id that the client sees.
func (h *Handler) record(r *http.Request, q route.Request, d trust.Decision, served digest.Digest) error {
	return h.o.Record(Record{
		Time: d.Time, Decision: d.ID, Client: client(r), Method: r.Method,
		Name: d.Name.Repository, Tag: q.Tag, Digest: q.Digest,
		Verdict: d.Verdict.String(), Mode: d.Mode.String(), Reason: string(d.Reason), Rule: d.Rule, Source: d.Source,
		Versions: d.Statement.Versions, Signers: d.Signers, Served: served, CheckedAge: age(d), Grace: d.Grace,
	})
}

// unrecorded returns the answer to a request whose decision could not be recorded.
func (h *Handler) unrecorded(d trust.Decision, err error) error {
	h.o.Log.Error("decision not recorded", zap.String("decision", d.ID), zap.Error(err))
	return &refusal{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", message: "audit log is not writable", retryAfter: 10}
}

// client returns the address of the client, and nothing that a header claims.
func client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// age returns the age of the check that a decision rests on, to the millisecond; none for one that the decision waited
// for.
func age(d trust.Decision) *float64 {
	if d.Statement.Checked.IsZero() {
		return nil
	}
	s := math.Round(1000*max(0, d.Time.Sub(d.Statement.Checked).Seconds())) / 1000
	return &s
}
