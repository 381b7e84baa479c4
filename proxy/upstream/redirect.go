package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

const (
	maxRedirects = 5
	maxDrain     = 64 << 10 // bytes of an unwanted body read so that its connection can be used again
)

// redirectHeaders are the headers of a request that travel on when it is redirected.
var redirectHeaders = []string{"Accept", "Range", "User-Agent"}

// follow returns res, or what its redirects lead to.
// PRODUCT: invariant 8, redirects: five at most, https, never with credentials.
func (c *Client) follow(ctx context.Context, req *http.Request, res *http.Response) (*http.Response, error) {
	from := req.URL
	for hops := 0; redirects(res.StatusCode); hops++ {
		drain(res)
		if hops == maxRedirects {
			return nil, fmt.Errorf("more than %d redirects", maxRedirects)
		}
		u, t, err := c.redirect(from, res.Header.Get("Location"))
		if err != nil {
			return nil, err
		}
		h := http.Header{}
		for _, name := range redirectHeaders {
			if v := req.Header.Get(name); v != "" {
				h.Set(name, v)
			}
		}
		res, err = c.send(ctx, t, req.Method, u, h)
		if errors.Is(err, errNotPublic) {
			return nil, fmt.Errorf("redirect refused: %w; add %q to redirect_hosts if it is right", err, originOf(u).entry())
		}
		if err != nil {
			return nil, fmt.Errorf("redirect to %.80q: %w", originOf(u), err)
		}
		if res.StatusCode == http.StatusUnauthorized {
			return nil, statusError(res, fmt.Sprintf("from %.80q after a redirect, where no credentials go", originOf(u)))
		}
		from = u
	}
	return res, nil
}

// redirects tells whether an answer with this status means another place.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect returns the URL that location means, seen from from, and the transport that may go there.
func (c *Client) redirect(from *url.URL, location string) (*url.URL, *http.Transport, error) {
	u, err := from.Parse(location)
	if err != nil || location == "" {
		return nil, nil, fmt.Errorf("redirect to %.80q, which is no place", location)
	}
	at := originOf(u)
	switch {
	case u.Scheme != "https":
		return nil, nil, fmt.Errorf("redirect to %.80q refused: not https", at)
	case at.host == "" || u.Opaque != "":
		return nil, nil, fmt.Errorf("redirect to %.80q, which names no host", location)
	case u.User != nil:
		return nil, nil, fmt.Errorf("redirect to %.80q refused: it carries credentials", at)
	case at == c.origin || c.redirectHosts.has(at):
		return u, c.open, nil
	}
	if c.proxied {
		if err := publicName(at.host); err != nil {
			return nil, nil, fmt.Errorf("redirect refused: %w; add %q to redirect_hosts if it is right", err, at.entry())
		}
	}
	return u, c.public, nil
}

// drain reads the rest of a short body, so that the connection can be used again, and closes it.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain) // an error ends the connection, which is all it could mean here
	res.Body.Close()
}
