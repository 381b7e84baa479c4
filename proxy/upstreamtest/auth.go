package upstreamtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxForm is how many bytes of a request for a token are read.
const maxForm = 64 << 10

// Auth is whom a Registry serves. The zero Auth is everybody.
type Auth struct {
	// Realm is the URL where tokens are got, presumably that of the handler Tokens; Service is told along with it. Without
	// a realm the password itself is wanted with every request.
	Realm, Service string
	// Username and Password are the only ones accepted. Without a user name anonymous clients get tokens.
	Username, Password string
	// IdentityToken is accepted in place of the password by the token server.
	IdentityToken string
	// Lifetime is told with tokens, in seconds. Tokens are accepted until Revoke, however long that takes.
	Lifetime int
}

// Require changes whom r serves.
func (r *Registry) Require(a Auth) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = a
}

// Revoke makes all tokens useless that were handed out before.
func (r *Registry) Revoke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = nil
}

// admit tells whether req may be served, and how to refuse it.
func (r *Registry) admit(req *http.Request) (answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auth.Realm == "" && r.auth.Username == "" {
		return answer{}, true
	}
	challenge := `Basic realm="registry"`
	if r.auth.Realm != "" {
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		scope, ok := r.tokens[token]
		if ok && covers(scope, req.URL.Path) {
			return answer{}, true
		}
		// The scope that is suggested is not the one that is needed: clients know by themselves what they ask for.
		challenge = fmt.Sprintf(`Bearer realm=%q,service=%q,scope="registry:catalog:*"`, r.auth.Realm, r.auth.Service)
	} else if user, password, _ := req.BasicAuth(); user == r.auth.Username && password == r.auth.Password {
		return answer{}, true
	}
	a := refuse(http.StatusUnauthorized, "UNAUTHORIZED")
	a.header.Set("WWW-Authenticate", challenge)
	return a, false
}

// covers tells whether a token of scope is good for path.
func covers(scope, path string) bool {
	name, ok := strings.CutPrefix(strings.TrimSuffix(scope, ":pull"), "repository:")
	return path == "/v2/" || ok && strings.HasPrefix(path, "/v2/"+name+"/")
}

// Tokens returns the token server of r, which may listen anywhere. Its requests are remembered by r.
func (r *Registry) Tokens() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(req.Body, maxForm)) // half a form is refused below
		r.remember(req, string(body))
		if f, ok := r.fault(req.URL.Path); ok {
			f.write(w, req, r.token(req, string(body)))
			return
		}
		r.token(req, string(body)).write(w, req)
	})
}

// token answers a request for a token.
func (r *Registry) token(req *http.Request, body string) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	form := req.URL.Query()
	user, password, _ := req.BasicAuth()
	allowed := r.auth.Username == "" || user == r.auth.Username && password == r.auth.Password
	if req.Method == http.MethodPost {
		form, _ = url.ParseQuery(body) // half a form is refused below
		allowed = r.auth.IdentityToken != "" && form.Get("refresh_token") == r.auth.IdentityToken
	}
	if !allowed || form.Get("service") != r.auth.Service {
		return refuse(http.StatusUnauthorized, "UNAUTHORIZED")
	}
	r.issued++
	token := fmt.Sprintf("token-%d", r.issued)
	if r.tokens == nil {
		r.tokens = map[string]string{}
	}
	r.tokens[token] = form.Get("scope")
	doc := map[string]any{"token": token}
	if r.auth.Lifetime > 0 {
		doc["expires_in"] = r.auth.Lifetime
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, content: encode(doc)}
}
