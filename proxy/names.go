package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust/names"
)

// Names say which registry a request means.
type Names struct {
	// Hosts are the gateway's own names, "images.corp:5000"; one without a port means any port. Loopback and IP addresses
	// are implied.
	Hosts []string
	// Registries maps each known registry, in full form, to the path component under which it is also reachable, "" for
	// none. What is not in it is refused and never asked.
	Registries map[string]string
	// Default is the registry of requests that name none, "" for none. It is one of Registries.
	Default string
}

// Repository returns the full name of the image that a client means which asks host, port included, for path. The error
// says in one line why there is none.
func (n Names) Repository(host, path string) (string, error) {
	return n.compile().repository(host, route.Request{Path: path})
}

// maxQuestionsSeen is how many answers to which repository a request means are remembered.
const maxQuestionsSeen = 4096

// A question is all of a request that says which repository it means.
type question struct{ host, namespace, path string }

// compiled are Names as look-ups.
type compiled struct {
	seen       *lru.Cache[question, string]
	hosts      []string          // lower case, without the https port
	registries map[string]bool   // full form
	paths      map[string]string // registry by path component
	standard   string
}

// compile makes look-ups of n.
func (n Names) compile() compiled {
	seen, _ := lru.New[question, string](maxQuestionsSeen) // fails only for a size below one
	c := compiled{
		seen:       seen,
		registries: make(map[string]bool, len(n.Registries)),
		paths:      make(map[string]string, len(n.Registries)),
		standard:   n.Default,
	}
	for _, h := range n.Hosts {
		c.hosts = append(c.hosts, strings.TrimSuffix(strings.ToLower(h), ":443"))
	}
	for name, path := range n.Registries {
		c.registries[name] = true
		if path != "" {
			c.paths[path] = name
		}
	}
	return c
}

// An unknown is the error for a request that means no registry which is known. Name is what it asked for, valid by the
// grammar of names at least, for the record.
type unknown struct{ name, text string }

// Error says what to do about it.
func (u *unknown) Error() string { return u.text }

// repository returns the full name of what q is about, host being the request's Host header. The error is an *unknown or
// a *route.Error.
func (c compiled) repository(host string, q route.Request) (string, error) {
	asked := question{host, q.Namespace, q.Path}
	if full, ok := c.seen.Get(asked); ok {
		return full, nil
	}
	registry, path, err := c.split(host, q)
	if err != nil {
		return "", err
	}
	full, err := names.Repository(registry + "/" + path)
	if err != nil {
		return "", &route.Error{Status: http.StatusBadRequest, Code: "NAME_INVALID", Text: err.Error()}
	}
	// Copies, lest whole requests be held.
	c.seen.Add(question{strings.Clone(host), strings.Clone(q.Namespace), strings.Clone(q.Path)}, full)
	return full, nil
}

// split returns the known registry that q means, and the path there.
func (c compiled) split(host string, q route.Request) (registry, path string, err error) {
	// PRODUCT: section 3.1, the gateway stands in for a registry, or has names of its own.
	registry, standsIn := c.known(host)
	if !standsIn && !c.own(host) {
		return "", "", &unknown{q.Path, fmt.Sprintf("host %s is neither a registry that the gateway knows nor one of its own names: add it to hosts", quote(host))}
	}
	// PRODUCT: section 3.2, ns names the registry, and the whole path is the repository.
	if q.Namespace != "" {
		named, ok := c.known(q.Namespace)
		if standsIn && named != registry {
			return "", "", &route.Error{Status: http.StatusBadRequest, Code: "NAME_INVALID", Text: "host and ns name different registries"}
		}
		if !ok {
			return "", "", &unknown{q.Namespace + "/" + q.Path, unknownText(q.Namespace)}
		}
		return named, q.Path, nil
	}
	if standsIn {
		return registry, q.Path, nil
	}
	// PRODUCT: section 3.3, the first component of the path names it, in one of its spellings or as its path.
	first, rest, _ := strings.Cut(q.Path, "/")
	if named, ok := c.paths[first]; ok {
		return named, rest, nil
	}
	if names.LooksLikeHost(first) {
		if named, ok := c.known(first); ok {
			return named, rest, nil
		}
		return "", "", &unknown{q.Path, unknownText(first)}
	}
	// PRODUCT: section 3.4, the default registry.
	if c.standard == "" {
		return "", "", &unknown{q.Path, "the request names no registry, and the gateway has no default_registry: put the registry before the name"}
	}
	return c.standard, q.Path, nil
}

// known returns the full form of a registry, if it is a known one.
func (c compiled) known(host string) (string, bool) {
	if c.registries[host] {
		return host, true
	}
	full, err := names.Host(host)
	return full, err == nil && c.registries[full]
}

// own tells whether host is the gateway itself: one of its names, loopback, or an IP address.
// PRODUCT: section 3.1, any other is refused, also one with two ports. Invariant 9: it is remembered, and so must be short.
func (c compiled) own(host string) bool {
	host = strings.ToLower(host)
	bare := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return false
		}
		host, bare = strings.TrimSuffix(host, ":443"), h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	if bare == "localhost" || slices.Contains(c.hosts, host) || slices.Contains(c.hosts, bare) {
		return true
	}
	ip, err := netip.ParseAddr(bare)
	return err == nil && ip.Zone() == ""
}

// unknownText says that a registry is not known. That nothing unknown is dialled is the point of it.
func unknownText(registry string) string {
	return fmt.Sprintf("registry %s is not known to the gateway: add a rule whose match names it, or an entry under registries", quote(registry))
}

// quote makes what a client sent fit for a message: printable ASCII, cut and in quotes.
func quote(s string) string { return fmt.Sprintf("%+.80q", s) }
