package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// origin is a place requests go to. Two URLs with equal origins reach the same server.
type origin struct{ scheme, host, port string }

// originOf returns the origin of u: host in lower case, default port filled in.
func originOf(u *url.URL) origin {
	o := origin{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return o
}

// address is host and port, as a dialler takes them.
func (o origin) address() string { return net.JoinHostPort(o.host, o.port) }

// entry is o as the operator would list it: the host, and the port unless it is the usual one.
func (o origin) entry() string {
	if o.scheme == "https" && o.port == "443" && !strings.Contains(o.host, ":") {
		return o.host
	}
	return o.address()
}

func (o origin) String() string { return o.scheme + "://" + o.address() }

// hosts is a set of "host", which means any port, and "host:port".
type hosts map[string]bool

// parseHosts reads hosts as the operator writes them. An IPv6 address is written in brackets.
func parseHosts(list []string) (hosts, error) {
	h := hosts{}
	for _, entry := range list {
		u, err := url.Parse("//" + entry)
		if err != nil || u.Host != entry || u.Hostname() == "" || strings.ContainsAny(entry, "*%@ ") || strings.HasSuffix(entry, ":") ||
			strings.Contains(u.Hostname(), ":") && entry[0] != '[' {
			return nil, fmt.Errorf("%.80q is neither host nor host:port", entry)
		}
		key := strings.ToLower(u.Hostname())
		if u.Port() != "" {
			key = net.JoinHostPort(key, u.Port())
		}
		h[key] = true
	}
	return h, nil
}

// has tells whether o is listed.
func (h hosts) has(o origin) bool { return h[o.host] || h[o.address()] }

// loopbackHost tells whether host can only be this machine. The dialler holds "localhost" to that.
func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// special are the address ranges that are not the public Internet, or not one place of it: those of the IANA registries of
// special-purpose addresses, and the addresses at which clouds answer only to their own machines.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a shared (carrier NAT)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud platform's"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a protocol"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved"},
	{netip.MustParsePrefix("2001::/23"), "a protocol or tunnel"},
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4"},
	{netip.MustParsePrefix("3fff::/20"), "a documentation"},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
)

// publicAddress returns nil for an address of the public Internet, and what else it is for any other. IPv4 addresses in
// IPv6 clothes are judged as what they are: mapped ones and those of the well-known NAT64 prefix, by which machines
// without IPv4 reach it.
func publicAddress(a netip.Addr) error {
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, s := range special {
		if s.prefix.Contains(a) {
			return fmt.Errorf("%s is %s address", a, s.what)
		}
	}
	if !a.Is4() && !globalUnicast.Contains(a) {
		return fmt.Errorf("%s is not a global address", a)
	}
	return nil
}

// privateNames are the endings of names that mean something else in every network.
var privateNames = []string{"localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"}

// publicName returns nil for a host that, by its name, belongs to the public Internet, and what is wrong with any other.
// It stands in for publicAddress where a proxy resolves the name.
func publicName(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return publicAddress(a)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, p := range privateNames {
		if host == p || strings.HasSuffix(host, "."+p) {
			return fmt.Errorf("%.80q is a name of private networks", host)
		}
	}
	// A proxy, or the encoding of international names, may fold other characters into something listed above.
	if strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-_", r) }) {
		return fmt.Errorf("%.80q is not a plain host name", host)
	}
	last := host[strings.LastIndex(host, ".")+1:]
	if last == host {
		return fmt.Errorf("%.80q is a name without a dot", host)
	}
	// Resolvers read 127.1, 0177.0.0.1 and 0x7f.0.0.1 as addresses; no public name ends in a label with a leading digit.
	if last == "" || last[0] >= '0' && last[0] <= '9' {
		return fmt.Errorf("%.80q is an address in disguise", host)
	}
	return nil
}

// errNotPublic marks a dial that the guard refused.
var errNotPublic = errors.New("only public addresses may be reached there")

// guardPublic lets a dialler connect to public addresses only. It runs after the name was resolved and before the
// connection is made, for every address of a name, so a name that changes its mind gains nothing.
// PRODUCT: invariant 8, non-public addresses are refused at dial time.
func guardPublic(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%.80q is not an address: %w", address, errNotPublic)
	}
	if err := publicAddress(a.Addr()); err != nil {
		return fmt.Errorf("%w: %w", err, errNotPublic)
	}
	return nil
}

// guardLoopback lets a dialler connect to this machine only.
func guardLoopback(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("localhost resolves to %.80q, which is not a loopback address", address)
	}
	return nil
}
