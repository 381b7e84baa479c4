package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// maxWarning is the most bytes of a message that a Warning header repeats.
const maxWarning = 1024

// A refusal is an answer without content. Handlers return it, as they return *route.Error.
type refusal struct {
	status     int
	code       string // of the distribution specification
	message    string // one line that stands alone
	retryAfter int    // seconds; 0 for none
	detail     *detail
}

// A detail is what programs read of a refusal that somebody decided.
type detail struct {
	Reason                 trust.Reason
	Rule, Source, Decision string
}

// Error returns the message.
func (x *refusal) Error() string { return x.message }

// denied returns the refusal that a decision is.
func denied(d trust.Decision) *refusal {
	x := meaning(d.Reason)
	x.message = message(d)
	x.detail = &detail{Reason: d.Reason, Rule: d.Rule, Source: d.Source, Decision: d.ID}
	return x
}

// meaning returns the status and code of a reason. One that is not listed is a matter of trust, and final.
// PRODUCT: section 4, the second table.
func meaning(reason trust.Reason) *refusal {
	switch reason {
	case trust.SignedDigestGone:
		return &refusal{status: http.StatusNotFound, code: "MANIFEST_UNKNOWN"}
	case trust.UpstreamDown, trust.UpstreamInvalid:
		return &refusal{status: http.StatusBadGateway, code: "UNKNOWN"}
	case trust.SourceUnreachable, "clock_behind":
		return &refusal{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", retryAfter: 10}
	case trust.MetadataStale, trust.StateUnavailable:
		return &refusal{status: http.StatusServiceUnavailable, code: "UNAVAILABLE", retryAfter: 30}
	}
	return &refusal{status: http.StatusForbidden, code: "DENIED"}
}

// message returns the line for a decision. Where trust data has no part in it, neither has the decision's own message.
func message(d trust.Decision) string {
	switch {
	case d.Reason == trust.UnknownRegistry:
		return fmt.Sprintf("%v [%s %s]", d.Err, d.Reason, d.ID)
	case errors.Is(d.Err, cache.ErrDisk) || errors.Is(d.Err, cache.ErrClosed) || errors.Is(d.Err, cache.ErrGone):
		return fmt.Sprintf("%s cannot be served now: %s [%s %s]", d.Name, oneLine(d.Err.Error()), d.Reason, d.ID)
	case d.Reason == "":
		return fmt.Sprintf("%s is refused: there is nothing that may be served for it [%s]", d.Name, d.ID)
	}
	return d.Message()
}

// fail writes the answer that err is. It is the only place that does.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	x, ok := err.(*refusal)
	if !ok {
		x = h.refusalOf(err)
	}
	head := w.Header()
	head["Content-Type"] = jsonType
	head["Cache-Control"] = noStore
	head["Warning"] = []string{warning(x.message)}
	if x.retryAfter > 0 {
		head.Set("Retry-After", strconv.Itoa(x.retryAfter))
	}
	if x.status == http.StatusMethodNotAllowed {
		head.Set("Allow", "GET, HEAD")
	}
	// A body is not read, and what follows it on the connection is no request.
	if hasBody(r) || x.status == http.StatusMethodNotAllowed {
		head.Set("Connection", "close")
		// The server would read some of the body before it closes, for as long as the client likes. That there is no such
		// deadline for a connection of this kind is no concern.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	h.write(w, r, x.status, x.body())
}

// refusalOf returns the refusal that is within err, or that err is.
func (h *Handler) refusalOf(err error) *refusal {
	var x *refusal
	var e *route.Error
	switch {
	case errors.As(err, &x):
		return x
	case errors.As(err, &e):
		return &refusal{status: e.Status, code: e.Code, message: e.Text}
	}
	h.o.Log.Error("request failed", zap.Error(err))
	return &refusal{status: http.StatusInternalServerError, code: "UNKNOWN", message: "the gateway failed; its log says why"}
}

// body returns the JSON that the distribution specification wants.
func (x *refusal) body() []byte {
	b := make([]byte, 0, 2*len(x.message)+512)
	b = append(b, `{"errors":[{`...)
	b = appendMember(b, "code", x.code)
	b = appendMember(append(b, ','), "message", x.message)
	if t := x.detail; t != nil {
		b = append(b, `,"detail":{`...)
		b = appendMember(b, "reason", string(t.Reason))
		b = appendMember(append(b, ','), "rule", t.Rule)
		b = appendMember(append(b, ','), "source", t.Source)
		b = appendMember(append(b, ','), "decision", t.Decision)
		b = append(b, '}')
	}
	return append(b, "}]}"...)
}

// warning returns a Warning header that says message; some clients show it where they show no body.
// HTTP: RFC 7234 5.5, warn-code SP warn-agent SP warn-text, the text a quoted-string.
func warning(message string) string {
	if len(message) > maxWarning {
		message = message[:maxWarning]
	}
	return `299 tagwarden "` + escaper.Replace(oneLine(message)) + `"`
}

// escaper makes text the content of a quoted-string.
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// oneLine leaves of s what is printable ASCII.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

// hasBody tells whether the client says that a body follows.
func hasBody(r *http.Request) bool { return r.ContentLength != 0 || len(r.TransferEncoding) > 0 }

// write sends a whole answer, or for HEAD its head. The client has idleLimit to take it.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	h.extend(w)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has left is the only way to fail, and nobody is left to tell
	}
}
