package upstream

import (
	"net/netip"
	"net/url"
	"testing"
)

// PRODUCT: invariant 8
func TestPublicAddress(t *testing.T) {
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2606:4700::1", "2a00::1", "2001:200::1", "3ffe::1",
		"::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
	} {
		if err := publicAddress(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v, want public", s, err)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255", "127.0.0.1",
		"127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.192", "192.0.2.1",
		"192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2a00::1%eth0", "fec0::1", "ff02::1",
		"100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1", "5f00::1",
		"2002:7f00:1::", "2002:a9fe:a9fe::", "2002:101:101::",
		"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1",
	} {
		a := netip.MustParseAddr(s)
		if err := publicAddress(a); err == nil {
			t.Errorf("%s passes as public", s)
		}
		if err := guardPublic(t.Context(), "tcp", netip.AddrPortFrom(a, 443).String(), nil); err == nil {
			t.Errorf("%s may be dialled", s)
		}
	}
	if err := guardPublic(t.Context(), "tcp", "[::ffff:1.1.1.1]:443", nil); err != nil {
		t.Error(err)
	}
	if err := guardPublic(t.Context(), "tcp", "blobs.example.com:443", nil); err == nil {
		t.Error("an address that is none may be dialled")
	}
}

func TestPublicName(t *testing.T) {
	for _, s := range []string{"cdn.example.com", "CDN.Example.com.", "1.example.com", "8.8.8.8", "xn--bcher-kva.example", "a_b.example.com"} {
		if err := publicName(s); err != nil {
			t.Errorf("%s: %v, want public", s, err)
		}
	}
	for _, s := range []string{
		"localhost", "LOCALHOST.", "a.localhost", "blobs", "blobs.", "metadata.google.internal", "nas.local", "x.home.arpa", "x.corp",
		"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1",
		"127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "a.0x7f", "a..", ".", "",
		"foo.ⓛocal", "１２７.0.0.1", "ex%61mple.com", "a b.com",
	} {
		if err := publicName(s); err == nil {
			t.Errorf("%q passes as public", s)
		}
	}
}

func TestLoopbackHost(t *testing.T) {
	for s, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"a.localhost": false, "127.1": false, "10.0.0.1": false, "example.com": false, "": false, "0.0.0.0": false,
	} {
		if got := loopbackHost(s); got != want {
			t.Errorf("loopbackHost(%q) = %v", s, got)
		}
	}
	for s, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "10.0.0.1:80": false, "8.8.8.8:80": false, "localhost:80": false,
	} {
		if err := guardLoopback(t.Context(), "tcp", s, nil); (err == nil) != ok {
			t.Errorf("guardLoopback(%q) = %v", s, err)
		}
	}
}

// A bare host means any port, host:port is exact.
func TestHosts(t *testing.T) {
	h, err := parseHosts([]string{"Auth.example.com", "blobs.example.com:5000", "[::1]:7", "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{
		"https://auth.example.com": true, "https://AUTH.example.com:99": true, "https://a.auth.example.com": false,
		"https://blobs.example.com:5000": true, "https://blobs.example.com": false, "https://blobs.example.com:50000": false,
		"https://[::1]:7": true, "https://[::1]": false, "https://10.0.0.1:1": true, "https://10.0.0.1.": false,
		"https://auth.example.com.evil.example": false, "https://example.com": false,
	} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.has(originOf(u)); got != want {
			t.Errorf("%s listed: %v", s, got)
		}
	}
	for _, s := range []string{
		"", "*", "*.example.com", "https://example.com", "example.com/", "example.com/x", "u@example.com", "example.com?x",
		"example.com#x", "example.com:", "example.com:x", ":5000", "::1", "a b", "exa%6dple.com",
	} {
		if _, err := parseHosts([]string{s}); err == nil {
			t.Errorf("%q passes as a host", s)
		}
	}
}

func TestOrigin(t *testing.T) {
	for s, want := range map[string][2]string{
		"https://Example.com/x":    {"https://example.com:443", "example.com"},
		"https://example.com:443":  {"https://example.com:443", "example.com"},
		"https://example.com:5000": {"https://example.com:5000", "example.com:5000"},
		"https://[::1]/":           {"https://[::1]:443", "[::1]:443"},
		"http://example.com":       {"http://example.com:80", "example.com:80"},
		"http://[::1]:5000/":       {"http://[::1]:5000", "[::1]:5000"},
	} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		o := originOf(u)
		if o.String() != want[0] || o.entry() != want[1] {
			t.Errorf("origin of %s is %s, listed as %s, want %s", s, o, o.entry(), want)
		}
		if h, err := parseHosts([]string{o.entry()}); err != nil || !h.has(o) {
			t.Errorf("the entry of %s does not list it: %v", s, err)
		}
	}
}
