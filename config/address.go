package config

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// hostForm is a host name in lower case. An IP address is read with net/netip instead.
var hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*$`)

// splitHost parts host, host:port, [ipv6] or [ipv6]:port, in lower case. The brackets go, and port is -1 if there is
// none.
func splitHost(s string) (host string, port int, ok bool) {
	s, port = strings.ToLower(s), -1
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != s[i+1:] {
			return "", 0, false
		}
		host, port = s[:i], int(n)
	}
	if in, bracketed := strings.CutPrefix(host, "["); bracketed {
		in, closed := strings.CutSuffix(in, "]")
		a, err := netip.ParseAddr(in)
		return in, port, closed && err == nil && a.Is6() && a.Zone() == ""
	}
	return host, port, len(host) <= 253 && hostForm.MatchString(host)
}

// loopback tells whether a host can only be this machine.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// listenAddress reads a host:port to listen on. The host may be empty: all interfaces.
func (r *reader) listenAddress(v value) string {
	text, ok := r.scalar(v, "host:port")
	if !ok {
		return ""
	}
	host, port, ok := splitHost(text)
	if rest, all := strings.CutPrefix(text, ":"); all {
		host, port, ok = splitHost("localhost:" + rest)
	}
	if !ok || port < 0 || host == "" {
		r.problem(v.place, `%.80q is no address to listen on: write ":5000" or "127.0.0.1:5000"`, text)
		return ""
	}
	return strings.ToLower(text)
}

// sameListener tells whether two addresses to listen on get into each other's way.
func sameListener(a, b string) bool {
	i, j := strings.LastIndexByte(a, ':'), strings.LastIndexByte(b, ':')
	everywhere := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "[::]" }
	return a[i:] == b[j:] && a[i:] != ":0" && (a[:i] == b[:j] || everywhere(a[:i]) || everywhere(b[:j]))
}

// host reads a host or host:port, in lower case. A text that may hold a password is never shown.
func (r *reader) host(v value) string {
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	if strings.Contains(text, "@") {
		r.problem(v.place, "user and password do not stand in a host name")
		return ""
	}
	if _, port, ok := splitHost(text); !ok || port == 0 {
		r.problem(v.place, `%.80q is no host: write "images.corp" or "images.corp:5000", without scheme and path`, text)
		return ""
	}
	return strings.ToLower(text)
}

// address reads the http or https address of a server without path.
func (r *reader) address(v value) *url.URL {
	u := r.addressWithPath(v)
	if u != nil && u.Path != "" {
		r.problem(v.place, "path %.80q: only scheme, host and port stand here", u.Path)
		return nil
	}
	return u
}

// addressWithPath reads the http or https address of a server, and trims a slash at its end.
func (r *reader) addressWithPath(v value) *url.URL {
	return r.addressAround(v, "")
}

// addressAround is addressWithPath for an address whose path may hold the word, once. A text that may hold a password is
// never shown.
func (r *reader) addressAround(v value, word string) *url.URL {
	text, ok := r.text(v)
	if !ok {
		return nil
	}
	u, err := url.Parse(text)
	if strings.Contains(text, "@") {
		r.problem(v.place, "user and password do not stand in an address: registries and sources have credentials for them")
		return nil
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.problem(v.place, `%.80q is no address: write "https://host" or "https://host:port"`, text)
		return nil
	}
	u.Host = strings.ToLower(u.Host)
	if _, port, ok := splitHost(u.Host); !ok || port == 0 {
		r.problem(v.place, "%.80q has no host that could be asked", text)
		return nil
	}
	if strings.ContainsAny(text, "?#") {
		r.problem(v.place, "%.80q has a query or fragment: only scheme, host, port and path stand here", text)
		return nil
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	fixed := strings.Replace(u.Path, word, "", 1)
	if u.Path != "" && (path.Clean(u.Path) != u.Path || strings.Trim(fixed, pathLetters) != "" || strings.Contains(text, "%")) {
		shown, also := u.Path, ""
		if strings.Contains(text, "%") {
			shown = u.EscapedPath()
		}
		if word != "" {
			also = ", and " + word + " once"
		}
		r.problem(v.place, "path %.80q: only letters, digits and . _ ~ - between single slashes%s", shown, also)
		return nil
	}
	u.RawPath = "" // which only says that the braces of the word stood there unescaped
	return u
}

// pathLetters are what needs no escape in the path of an address.
const pathLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-/"
