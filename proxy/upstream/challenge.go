package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	maxChallengeBytes = 8 << 10 // of one WWW-Authenticate header
	maxChallenges     = 16      // of one answer
	maxParams         = 16      // of one challenge
)

// challenge is one way to authenticate that a server offers.
type challenge struct {
	scheme  string            // lower case
	token68 string            // of schemes that are not ours; empty if there are params
	params  map[string]string // by name in lower case
}

// selectChallenge returns the Bearer challenge of an answer, or else its Basic one.
func selectChallenge(h http.Header) (challenge, error) {
	values := h.Values("WWW-Authenticate")
	var all []challenge
	for _, v := range values {
		list, err := parseChallenges(v)
		if err != nil {
			return challenge{}, fmt.Errorf("challenge %.200q: %w", v, err)
		}
		if all = append(all, list...); len(all) > maxChallenges {
			return challenge{}, fmt.Errorf("more than %d challenges", maxChallenges)
		}
	}
	for _, scheme := range []string{"bearer", "basic"} {
		for _, ch := range all {
			if ch.scheme == scheme {
				return ch, nil
			}
		}
	}
	return challenge{}, fmt.Errorf("no Bearer or Basic challenge in %.200q", values)
}

// parseChallenges reads one WWW-Authenticate header strictly.
// HTTP: RFC 9110 11.6.1, WWW-Authenticate = #challenge, challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ].
func parseChallenges(s string) ([]challenge, error) {
	if len(s) > maxChallengeBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxChallengeBytes)
	}
	p := &parser{rest: s}
	var all []challenge
	for p.separators(); p.rest != ""; p.separators() {
		if len(all) == maxChallenges {
			return nil, fmt.Errorf("more than %d challenges", maxChallenges)
		}
		ch, err := p.challenge()
		if err != nil {
			return nil, err
		}
		all = append(all, ch)
	}
	return all, nil
}

// parser reads a header from its front.
type parser struct{ rest string }

// challenge reads one challenge, up to and without the separator before the next.
func (p *parser) challenge() (challenge, error) {
	scheme := p.token()
	if scheme == "" {
		return challenge{}, errors.New("a scheme is missing")
	}
	ch := challenge{scheme: strings.ToLower(scheme), params: map[string]string{}}
	spaces := p.spaces()
	if p.ended() {
		return ch, nil
	}
	if !spaces {
		return challenge{}, fmt.Errorf("%q follows the scheme", p.rest[:1])
	}
	if !p.atParam() {
		return ch, p.readToken68(&ch)
	}
	for len(ch.params) < maxParams {
		if err := p.readParam(ch.params); err != nil {
			return challenge{}, err
		}
		before := p.rest
		if p.separators(); !p.atParam() {
			p.rest = before
			return ch, nil
		}
	}
	return challenge{}, fmt.Errorf("more than %d parameters", maxParams)
}

// readToken68 reads the value of a scheme that has one instead of parameters.
func (p *parser) readToken68(ch *challenge) error {
	n := span(p.rest, isToken68)
	n += span(p.rest[n:], func(c byte) bool { return c == '=' })
	ch.token68, p.rest = p.rest[:n], p.rest[n:]
	p.spaces()
	if n == 0 || ch.token68[0] == '=' || !p.ended() {
		return errors.New("neither parameters nor a token follow the scheme")
	}
	return nil
}

// atParam tells whether an auth-param comes next: a token, an equals sign and the first character of a value.
func (p parser) atParam() bool {
	if p.token() == "" {
		return false
	}
	p.spaces()
	if !strings.HasPrefix(p.rest, "=") {
		return false
	}
	p.rest = p.rest[1:]
	p.spaces()
	return p.rest != "" && (p.rest[0] == '"' || isTokenChar(p.rest[0]))
}

// readParam reads one auth-param into params, up to the end or a comma. Twice the same name has no one meaning.
func (p *parser) readParam(params map[string]string) error {
	name := strings.ToLower(p.token())
	p.spaces()
	p.rest = p.rest[1:] // the equals sign that atParam saw
	p.spaces()
	var value string
	var err error
	if p.rest[0] == '"' {
		value, err = p.quoted()
	} else {
		value = p.token()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, ok := params[name]; ok {
		return fmt.Errorf("%s is there twice", name)
	}
	params[name] = value
	p.spaces()
	if !p.ended() {
		return fmt.Errorf("%q follows the value of %s", p.rest[:1], name)
	}
	return nil
}

// quoted reads a quoted-string. Control characters are refused also where a backslash stands before them.
func (p *parser) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		if c == '"' {
			p.rest = p.rest[i+1:]
			return b.String(), nil
		}
		if c == '\\' {
			if i++; i == len(p.rest) {
				break
			}
			c = p.rest[i]
		}
		if c < 0x20 || c > 0x7e {
			return "", fmt.Errorf("character %q in a quoted string", c)
		}
		b.WriteByte(c)
	}
	return "", errors.New("a quoted string does not end")
}

// token reads a token, empty if there is none.
func (p *parser) token() string {
	n := span(p.rest, isTokenChar)
	t := p.rest[:n]
	p.rest = p.rest[n:]
	return t
}

// spaces skips blanks and tells whether there were any.
func (p *parser) spaces() bool {
	n := span(p.rest, func(c byte) bool { return c == ' ' || c == '\t' })
	p.rest = p.rest[n:]
	return n > 0
}

// separators skips blanks and commas; lists may have empty elements.
func (p *parser) separators() {
	p.rest = strings.TrimLeft(p.rest, " \t,")
}

// ended tells whether the header or this element of its list is over.
func (p *parser) ended() bool { return p.rest == "" || p.rest[0] == ',' }

// span counts the leading bytes of s that f likes.
func span(s string, f func(byte) bool) int {
	for i := 0; i < len(s); i++ {
		if !f(s[i]) {
			return i
		}
	}
	return len(s)
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isToken68(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("-._~+/", c) >= 0 }
