// Package upstream talks to the registries behind the gateway, and builds the one guarded, authenticated HTTP client.
//
// A Client starts requests at one configured host only, follows redirects by itself and without credentials, refuses
// non-public addresses that nobody listed when it dials them, and answers token and Basic challenges. A Registry asks a
// Client for manifests, blobs and referrers; Registries finds the Registry of a full repository name. Nothing here judges
// or hashes content: whoever stores it does.
package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

const (
	userAgent = "tagwarden"
	maxScopes = 1024 // scopes whose grant is remembered; the least recently used is forgotten first
)

// Options say which host a Client talks to, as whom, and where that host may send it.
type Options struct {
	// Name is what the operator calls the registry or source; errors and events carry it.
	Name string
	// What is the word before Name in errors. Empty means "registry"; a source of trust metadata says "source".
	What string
	// URL is the one place where requests may start: scheme http or https, a host, perhaps a port and a path.
	URL *url.URL
	// Roots vouch for the host of URL and for the hosts of TokenRealms and RedirectHosts; nil means the system's. Other
	// hosts are verified with the system's roots only.
	Roots *x509.CertPool
	// Credentials are asked for when the host wants them; nil means anonymous.
	Credentials Credentials
	// TokenRealms are the hosts, beyond the host of URL and the built-in ones, that may be asked for tokens and see the
	// credentials: "host" means any port, "host:port" that port.
	TokenRealms []string
	// RedirectHosts are the hosts that redirects may reach at non-public addresses, written as TokenRealms are.
	RedirectHosts []string
	// EgressProxy, an http or https URL, carries all requests but those to loopback. Names are then resolved by the
	// proxy, so hosts are judged by their name instead of their address.
	EgressProxy *url.URL
	// Now is the clock for the lifetime of tokens; nil means time.Now.
	Now func() time.Time
	// Observe is told of every HTTP exchange, redirects and token requests included; nil means nobody is. It must not
	// block and must be safe for concurrent use.
	Observe func(Event)
}

// Event is one HTTP exchange.
type Event struct {
	// Name is Options.Name.
	Name string
	// Code is the class of the answer, "2xx" to "5xx", or "error" if there was none.
	Code string
}

// Client sends requests to one configured host. It is safe for concurrent use. It bounds time and size of everything but
// a body's length, and leaves the number of requests in flight to its callers.
type Client struct {
	name, what    string
	base          *url.URL
	origin        origin
	credentials   Credentials
	tokenRealms   hosts
	redirectHosts hosts
	proxied       bool
	now           func() time.Time
	observe       func(Event)

	// Two transports, hence two connection pools: a request judged by address never meets a connection that was dialled
	// without that judgement.
	open   *http.Transport // any address: the configured host and the listed ones
	public *http.Transport // public addresses only

	grants    *lru.Cache[string, grant] // by scope
	challenge atomic.Pointer[challenge] // the last one met, for scopes seen for the first time
	flights   singleflight.Group
}

// NewClient returns a Client for o. It dials nothing. The error names the option that cannot be used.
func NewClient(o Options) (*Client, error) {
	if err := checkURL(o.URL); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if err := checkProxy(o.EgressProxy); err != nil {
		return nil, fmt.Errorf("egress_proxy: %w", err)
	}
	realms, err := parseHosts(o.TokenRealms)
	if err != nil {
		return nil, fmt.Errorf("token_realms: %w", err)
	}
	redirects, err := parseHosts(o.RedirectHosts)
	if err != nil {
		return nil, fmt.Errorf("redirect_hosts: %w", err)
	}
	grants, err := lru.New[string, grant](maxScopes)
	if err != nil {
		return nil, err
	}
	base := *o.URL
	if base.Path == "" {
		base.Path = "/"
	}
	c := &Client{
		name: o.Name, what: o.What, base: &base, origin: originOf(&base),
		credentials: o.Credentials, tokenRealms: realms, redirectHosts: redirects, proxied: o.EgressProxy != nil,
		now: o.Now, observe: o.Observe, grants: grants,
		open: openTransport(o.Roots, o.EgressProxy), public: publicTransport(o.EgressProxy),
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.observe == nil {
		c.observe = func(Event) {}
	}
	return c, nil
}

// checkURL tells whether requests may start at u.
func checkURL(u *url.URL) error {
	switch {
	case u == nil:
		return errors.New("missing")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("scheme %q is neither https nor http", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("carries a user name: credentials have their own option")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("carries a query or a fragment")
	}
	return nil
}

// checkProxy tells whether u can be an egress proxy; nil, none, can.
func checkProxy(u *url.URL) error {
	if u == nil {
		return nil
	}
	bare := *u
	bare.User = nil
	return checkURL(&bare)
}
