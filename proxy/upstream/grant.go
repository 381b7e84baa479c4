package upstream

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	grantLimit    = 30 * time.Second // from a challenge to a grant, credential helper included
	basicLifetime = 5 * time.Minute  // then the credentials are read again
)

// grant is what a scope's requests carry. The zero grant is none: the first requests carry nothing.
type grant struct {
	header    string // of Authorization
	as        string // whom it speaks for, to continue "asked ..."
	until     time.Time
	challenge *challenge // what it answers
}

// granted returns the grant for requests of scope. A scope seen for the first time is expected to be challenged as the
// last one was, which saves the request that would only be refused.
func (c *Client) granted(ctx context.Context, scope string) (grant, error) {
	g, ok := c.grants.Get(scope)
	if ok && c.now().Before(g.until) {
		return g, nil
	}
	ch := c.challenge.Load()
	if ok {
		ch = g.challenge
	}
	if ch == nil {
		return grant{}, nil
	}
	next, err := c.obtain(ctx, scope, ch, "")
	if err != nil {
		// The registry may by now want something else: the next request finds out.
		c.challenge.Store(nil)
	}
	return next, err
}

// renew answers the challenge of res, an answer of 401 to a request that carried used, and closes its body.
func (c *Client) renew(ctx context.Context, scope string, res *http.Response, used grant) (grant, error) {
	ch, err := selectChallenge(res.Header)
	if err != nil {
		return grant{}, statusError(res, err.Error())
	}
	drain(res)
	g, err := c.obtain(ctx, scope, &ch, used.header)
	if err != nil {
		return grant{}, err
	}
	// What was refused once is not sent again: some servers lock accounts.
	if g.header == used.header {
		return grant{}, &Error{Status: http.StatusUnauthorized, Err: errors.New("asked " + g.as + ", and a new try would say the same")}
	}
	c.challenge.Store(&ch)
	return g, nil
}

// obtain returns a grant for scope that answers ch and is not the refused one. Callers with the same wish share one
// answer, which no caller's leaving ends.
func (c *Client) obtain(ctx context.Context, scope string, ch *challenge, refused string) (grant, error) {
	work := context.WithoutCancel(ctx)
	flight := c.flights.DoChan(scope+" "+ch.scheme+" "+ch.params["realm"], func() (any, error) {
		if g, ok := c.grants.Get(scope); ok && g.header != refused && c.now().Before(g.until) {
			return g, nil
		}
		work, cancel := context.WithTimeout(work, grantLimit)
		defer cancel()
		g, err := c.authorize(work, scope, ch)
		if err != nil {
			c.grants.Remove(scope)
			return grant{}, err
		}
		g.challenge = ch
		c.grants.Add(scope, g)
		return g, nil
	})
	select {
	case r := <-flight:
		return r.Val.(grant), r.Err
	case <-ctx.Done():
		return grant{}, context.Cause(ctx)
	}
}

// authorize makes a new grant from the credentials as they are now.
func (c *Client) authorize(ctx context.Context, scope string, ch *challenge) (grant, error) {
	if ch.scheme == "bearer" {
		// The realm is judged before a credential helper runs: a hostile challenge costs nothing.
		u, t, err := c.realm(ch.params["realm"])
		if err != nil {
			return grant{}, err
		}
		cred, as, err := c.credential(ctx)
		if err != nil {
			return grant{}, err
		}
		if cred.RegistryToken != "" {
			return grant{header: "Bearer " + cred.RegistryToken, as: as, until: c.now().Add(basicLifetime)}, nil
		}
		return c.token(ctx, tokenRequest{realm: u, transport: t, service: ch.params["service"], scope: scope, cred: cred, as: as})
	}
	cred, as, err := c.credential(ctx)
	if err != nil {
		return grant{}, err
	}
	if cred.Username == "" {
		return grant{}, &Error{Status: http.StatusUnauthorized, Err: errors.New("it wants a user name and a password, asked " + as)}
	}
	return grant{header: basic(cred), as: as, until: c.now().Add(basicLifetime)}, nil
}

// credential returns the credentials that may be used, perhaps none, and whom they make of us, to continue "asked ...".
func (c *Client) credential(ctx context.Context) (Credential, string, error) {
	if c.credentials == nil {
		return Credential{}, "without credentials", nil
	}
	// PRODUCT: invariant 8, credentials travel over plain http only to loopback. Tokens bought with them are no different.
	if c.origin.scheme != "https" && !loopbackHost(c.origin.host) {
		return Credential{}, "without credentials, which are not sent over plain http to " + c.origin.address() + ": use https", nil
	}
	cred, err := c.credentials(ctx)
	if err != nil {
		return Credential{}, "", err
	}
	as, err := cred.check()
	return cred, as, err
}

// secret tells whether s can stand in a header as it is: visible ASCII, so that no token smuggles in a header.
func secret(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}
