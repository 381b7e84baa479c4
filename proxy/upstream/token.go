package upstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxTokenBody     = 1 << 20
	maxToken         = 32 << 10         // bytes; many are remembered
	defaultLifetime  = 60 * time.Second // of a token whose answer does not tell
	maxTokenLifetime = time.Hour        // however long it claims
)

// tokenRequest is what a token server is asked, as a challenge and the caller's scope make it.
type tokenRequest struct {
	realm          *url.URL
	transport      *http.Transport
	service, scope string
	cred           Credential
	as             string
}

// token asks for a token. The scope is the caller's own, never one that a challenge suggests. Redirects are not followed.
// DCT: 1.4, GET with service, scope and account; POST for an identity token.
func (c *Client) token(ctx context.Context, r tokenRequest) (grant, error) {
	asked := c.now()
	res, err := c.roundTrip(r.transport, r.request(ctx))
	if err != nil {
		return grant{}, fmt.Errorf("token realm %.80q: %w", originOf(r.realm), err)
	}
	if res.StatusCode != http.StatusOK {
		e := statusError(res, fmt.Sprintf("from token realm %.80q, asked %s", originOf(r.realm), r.as))
		e.Kind = Unreachable // a token that is not found says nothing about content
		return grant{}, e
	}
	defer res.Body.Close()
	if err := usable(res); err != nil {
		return grant{}, err
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxTokenBody+1))
	if err != nil {
		return grant{}, fmt.Errorf("token realm %.80q: %w", originOf(r.realm), err)
	}
	token, lifetime, err := parseToken(data)
	if err != nil {
		return grant{}, invalid("token realm %.80q: %w", originOf(r.realm), err)
	}
	// The last sixth of its life is left unused: a request may be long on its way, and clocks differ.
	return grant{header: "Bearer " + token, as: r.as, until: asked.Add(lifetime / 6 * 5)}, nil
}

// request builds the request for a token.
func (r tokenRequest) request(ctx context.Context) *http.Request {
	h := http.Header{"Accept": {"application/json"}}
	q := url.Values{}
	if r.service != "" {
		q.Set("service", r.service)
	}
	if r.scope != "" {
		q.Set("scope", r.scope)
	}
	u := *r.realm
	if r.cred.IdentityToken != "" {
		q.Set("grant_type", "refresh_token")
		q.Set("refresh_token", r.cred.IdentityToken)
		q.Set("client_id", userAgent)
		form := q.Encode()
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		body := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }
		req := &http.Request{Method: http.MethodPost, URL: &u, Host: u.Host, Header: h, GetBody: body, ContentLength: int64(len(form))}
		req.Body, _ = body()
		return req.WithContext(ctx)
	}
	if r.cred.Username != "" {
		q.Set("account", r.cred.Username)
		h.Set("Authorization", basic(r.cred))
	}
	all := u.Query()
	for name, v := range q {
		all[name] = v
	}
	u.RawQuery = all.Encode()
	return (&http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: h}).WithContext(ctx)
}

// parseToken reads the answer of a token server.
func parseToken(data []byte) (token string, lifetime time.Duration, err error) {
	if len(data) > maxTokenBody {
		return "", 0, fmt.Errorf("more than %d bytes", maxTokenBody)
	}
	var doc struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if json.Unmarshal(data, &doc) != nil {
		return "", 0, errors.New("the answer is not the JSON of a token")
	}
	if token = doc.Token; token == "" {
		token = doc.AccessToken
	}
	if token == "" {
		return "", 0, errors.New("the answer has no token")
	}
	if len(token) > maxToken {
		return "", 0, fmt.Errorf("the token has more than %d bytes", maxToken)
	}
	if !secret(token) {
		return "", 0, errors.New("the token has characters that no token has")
	}
	switch {
	case doc.ExpiresIn <= 0:
		return token, defaultLifetime, nil
	case doc.ExpiresIn > int64(maxTokenLifetime/time.Second):
		return token, maxTokenLifetime, nil
	}
	return token, time.Duration(doc.ExpiresIn) * time.Second, nil
}

// basic returns the Authorization header for a user name and password.
// HTTP: RFC 7617 2.
func basic(c Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}
