package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Doer sends requests of one token scope.
type Doer struct {
	client *Client
	scope  string
}

// Scoped returns a Doer whose tokens are asked for with scope, such as "repository:library/nginx:pull"; what a challenge
// says about scope is not listened to. The empty scope asks for a token without one.
func (c *Client) Scoped(scope string) Doer { return Doer{client: c, scope: scope} }

// Do sends req and returns the answer, whatever its status but 401, once its headers have arrived: at most 60 s later.
// The caller closes the body; its Read fails after 60 s without a byte, and is otherwise bounded by the context of req.
//
// Only GET and HEAD are sent, without a body, and only to the configured host. Authorization and cookies are the client's
// own affair: those of req are dropped. Up to five redirects are followed. An answer of 401 is met with a token or the
// credentials and one more try. Every error, those of the body included, is an *Error.
func (d Doer) Do(req *http.Request) (*http.Response, error) {
	c := d.client
	if err := c.mayStart(req); err != nil {
		return nil, c.fail(err)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(answerLimit, func() { cancel(errNoAnswer) })
	res, err := c.exchange(ctx, d.scope, req)
	if err == nil {
		err = usable(res)
	}
	timer.Stop()
	if err != nil {
		err = c.fail(cause(ctx, err))
		cancel(nil)
		return nil, err
	}
	res.Request = req // the one that was sent carries credentials
	res.Body = newBody(c, ctx, cancel, res.Body)
	return res, nil
}

// mayStart refuses requests that are not for the configured host, before anything is dialled.
func (c *Client) mayStart(req *http.Request) error {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return fmt.Errorf("method %.20q is never sent", req.Method)
	}
	if req.Body != nil && req.Body != http.NoBody {
		return errors.New("a request with a body is never sent")
	}
	// PRODUCT: invariant 8, requests start only at configured hosts.
	if at := originOf(req.URL); at != c.origin || req.URL.User != nil || req.URL.Opaque != "" {
		return fmt.Errorf("request to %.80q is not to the configured %s", at, c.origin)
	}
	return nil
}

// exchange sends req, answers at most one challenge, and follows redirects.
func (c *Client) exchange(ctx context.Context, scope string, req *http.Request) (*http.Response, error) {
	g, err := c.granted(ctx, scope)
	if err != nil {
		return nil, err
	}
	res, err := c.start(ctx, req, g)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		if g, err = c.renew(ctx, scope, res, g); err != nil {
			return nil, err
		}
		if res, err = c.start(ctx, req, g); err != nil {
			return nil, err
		}
		if res.StatusCode == http.StatusUnauthorized {
			return nil, statusError(res, "asked "+g.as)
		}
	}
	return c.follow(ctx, req, res)
}

// start sends req to the configured host, with what g grants.
func (c *Client) start(ctx context.Context, req *http.Request, g grant) (*http.Response, error) {
	h := req.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie"} {
		h.Del(name)
	}
	if g.header != "" {
		h.Set("Authorization", g.header)
	}
	return c.send(ctx, c.open, req.Method, req.URL, h)
}

// send is the one place where requests leave. It never follows, retries, or adds credentials.
func (c *Client) send(ctx context.Context, t *http.Transport, method string, u *url.URL, h http.Header) (*http.Response, error) {
	return c.roundTrip(t, (&http.Request{Method: method, URL: u, Host: u.Host, Header: h}).WithContext(ctx))
}

// roundTrip gives req to t and tells the observer.
func (c *Client) roundTrip(t *http.Transport, req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept-Encoding", "identity")
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		c.observe(Event{Name: c.name, Code: "error"})
		return nil, err
	}
	c.observe(Event{Name: c.name, Code: fmt.Sprintf("%dxx", res.StatusCode/100)})
	return res, nil
}

// usable refuses an answer whose body is not the content itself.
func usable(res *http.Response) error {
	encoding := strings.Join(res.Header.Values("Content-Encoding"), ", ")
	if res.StatusCode/100 != 2 || encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	res.Body.Close()
	return invalid("content encoding %.80q, where only identity was accepted", encoding)
}
