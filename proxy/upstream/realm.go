package upstream

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// builtinRealms are the token servers of registries that keep theirs on another host. All speak https on its own port.
var builtinRealms = map[string]string{
	"registry-1.docker.io": "auth.docker.io",
	"index.docker.io":      "auth.docker.io",
	"notary.docker.io":     "auth.docker.io",
	"registry.gitlab.com":  "gitlab.com",
}

// realm returns the URL that a challenge means by realm, and the transport that may go there. The error says what to
// change if the realm is right after all. Nothing is sent before it is nil.
// PRODUCT: invariant 8, credentials go only to the host they belong to and its token realms, over TLS.
func (c *Client) realm(realm string) (*url.URL, *http.Transport, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return nil, nil, fmt.Errorf("token realm %.200q is not a URL", realm)
	}
	at := originOf(u)
	// The same host on another port is not its own: it may belong to somebody else.
	own := at.host == c.origin.host && at.port == c.origin.port
	switch {
	case u.User != nil || strings.Contains(realm, "#"):
		return nil, nil, fmt.Errorf("token realm %.80q carries a user name or a fragment", at)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, nil, fmt.Errorf("token realm %.200q is not an https URL", realm)
	case u.Scheme == "http" && at != c.origin && !loopbackHost(at.host):
		return nil, nil, fmt.Errorf("token realm %.200q refused: not https", realm)
	case own || c.tokenRealms.has(at):
		return u, c.open, nil
	case c.builtinRealm(at):
		return u, c.public, nil
	}
	return nil, nil, fmt.Errorf("token realm %.200q refused: it is not on the host of the registry; add %q to token_realms if it is right",
		realm, at.entry())
}

// builtinRealm tells whether at is known to give the tokens of the configured host.
func (c *Client) builtinRealm(at origin) bool {
	return c.origin.scheme == "https" && c.origin.port == "443" && at == origin{"https", builtinRealms[c.origin.host], "443"}
}
