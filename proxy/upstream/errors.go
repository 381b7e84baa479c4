package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxErrorBody = 64 << 10         // bytes read of the body of a refusal
	errorLimit   = 10 * time.Second // for all of them
	maxQuote     = 200              // bytes of upstream's own words in an error
	maxLine      = 1000             // bytes of an error
)

// Kind tells what an Error means for whoever asked.
type Kind uint8

const (
	// Unreachable means that upstream gave no answer: the network failed, the guard refused, or upstream answered 401,
	// 403, 429, 5xx or something else that says nothing about the content. Asking again later may help.
	Unreachable Kind = iota
	// Invalid means that upstream gave an answer that cannot be right: too large, shorter than announced, encoded, of
	// another range or type than asked for; or that it has no such range.
	Invalid
	// NotFound means that upstream says it does not have it: 404, or a code that means the same.
	NotFound
)

// Error is the only error type of Client and Registries, bodies included. By errors.Is, NotFound is fs.ErrNotExist, Invalid
// is fs.ErrInvalid, and a caller's context that ended is its own error; nothing else matches.
type Error struct {
	// Registry is the name of the registry or source that was asked.
	Registry string
	// Status is the HTTP status that was answered; 0 if it is not what matters.
	Status int
	// Kind says what the error means.
	Kind Kind
	// After is for how long upstream wants to be left alone, up to a day; 0 if it does not say.
	After time.Duration
	// Err says more; nil if Status says it all.
	Err error

	what string
}

// Error is one line of printable text, without credentials and with upstream's own words quoted and cut.
func (e *Error) Error() string {
	what := e.what
	if what == "" {
		what = "registry"
	}
	s := what + " " + e.Registry + ": "
	if e.Status != 0 {
		s += strings.TrimSpace(strconv.Itoa(e.Status) + " " + strings.ToLower(http.StatusText(e.Status)))
	}
	if e.Status != 0 && e.Err != nil {
		s += ", "
	}
	if e.Err != nil {
		s += e.Err.Error()
	}
	return printable(s)
}

// Unwrap returns Err if a context is the reason, and nil otherwise: a password file that does not exist, or a connection
// that ended early, must not be taken for what they would say of content.
func (e *Error) Unwrap() error {
	if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
		return e.Err
	}
	return nil
}

// RetryAfter returns After.
func (e *Error) RetryAfter() time.Duration { return e.After }

// Is makes NotFound match fs.ErrNotExist, Invalid fs.ErrInvalid, and an answer of 401 or 403 fs.ErrPermission.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Kind == NotFound
	case fs.ErrInvalid:
		return e.Kind == Invalid
	case fs.ErrPermission:
		return e.Kind == Unreachable && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
	}
	return false
}

// printable makes one line of s that a terminal and a log can take.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return cut(s, maxLine)
}

// cut shortens s to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// invalid returns an error of kind Invalid; fail completes it.
func invalid(format string, args ...any) *Error {
	return &Error{Kind: Invalid, Err: fmt.Errorf(format, args...)}
}

// fail makes err an *Error of this client. It must not be called with nil.
func (c *Client) fail(err error) error {
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Err: err}
	}
	f := *e // an *Error may be shared by several callers
	f.Registry, f.what = c.name, c.what
	return &f
}

// statusError returns what an answer other than 2xx means, and closes its body. The detail follows the status.
func statusError(res *http.Response, detail string) *Error {
	code, message := refusal(res)
	e := &Error{Status: res.StatusCode}
	notFound := code == "MANIFEST_UNKNOWN" || code == "BLOB_UNKNOWN" || code == "NAME_UNKNOWN"
	switch {
	case res.StatusCode == http.StatusNotFound:
		e.Kind = NotFound
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		e.Kind = Invalid
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusTooManyRequests:
	case res.StatusCode/100 == 4 && notFound:
		e.Kind = NotFound
	}
	var words []string
	if detail != "" {
		words = append(words, detail)
	}
	if e.After = retryAfter(res.Header.Get("Retry-After")); e.After > 0 {
		words = append(words, fmt.Sprintf("retry after %.0f s", e.After.Seconds()))
	}
	if message != "" {
		words = append(words, "it says "+strconv.QuoteToASCII(cut(message, maxQuote)))
	}
	if len(words) > 0 {
		e.Err = errors.New(strings.Join(words, ", "))
	}
	return e
}

// refusal reads the first code of upstream's error body, and its words.
func refusal(res *http.Response) (code, message string) {
	if b, ok := res.Body.(*body); ok {
		b.within(errorLimit)
	}
	data, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody)) // what arrived is all there is to say
	res.Body.Close()
	var doc struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(data, &doc) == nil && len(doc.Errors) > 0 {
		first := doc.Errors[0]
		return first.Code, strings.TrimSpace(first.Code + " " + first.Message)
	}
	return "", strings.TrimSpace(string(data))
}

// retryAfter reads a Retry-After header that is a number of seconds up to a day; anything else is 0.
func retryAfter(header string) time.Duration {
	n, err := strconv.Atoi(header)
	if err != nil || n < 0 || n > 86400 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// cause prefers the reason for which this package ended the context over the error that this led to, unless that already
// says what upstream answered.
func cause(ctx context.Context, err error) error {
	if _, ok := err.(*Error); ok {
		return err
	}
	if c := context.Cause(ctx); errors.Is(c, errNoAnswer) || errors.Is(c, errNoByte) || errors.Is(c, errSlow) {
		return c
	}
	return err
}
