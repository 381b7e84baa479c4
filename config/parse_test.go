package config

import (
	"net/url"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	keyA = "5f0c6a3b1d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
	keyB = "aa0c6a3b1d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8"
)

func parseFile(t *testing.T, file string) *Config {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/etc/tagwarden/tagwarden.yaml", data, present, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func match(t *testing.T, s string) names.Match {
	t.Helper()
	m, err := names.ParseMatch(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestSmallestConfigHasAllDefaults(t *testing.T) {
	c := parseFile(t, "testdata/smallest.yaml")
	library := match(t, "docker.io/library/*")
	same(t, c, &Config{
		Listen:      ":5000",
		Admin:       Admin{Listen: "127.0.0.1:5001"},
		State:       "/var/lib/tagwarden",
		Cache:       Cache{Dir: "/var/cache/tagwarden", Size: 107374182400},
		TrustMemory: 268435456,
		Audit:       AuditLog{File: "", OnFull: Drop},
		Registries:  map[string]Registry{},
		Sources: map[string]Source{"corp": {
			Notary:   &url.URL{Scheme: "https", Host: "notary.example.com"},
			GUN:      "{name}",
			Pins:     []Pin{{Match: library, Keys: []string{keyA}}},
			Refresh:  time.Minute,
			MaxStale: 72 * time.Hour,
		}},
		Rules: []Rule{{Match: library, Name: "docker.io/library/*", Mode: Enforce, Source: "corp"}},
	})
	same(t, c.KnownRegistries(), map[string]Registry{
		"docker.io": {URL: &url.URL{Scheme: "https", Host: "registry-1.docker.io"}},
	})
}

func TestAllOfIt(t *testing.T) {
	c := parseFile(t, "testdata/all.yaml")
	same(t, c.Registries, map[string]Registry{
		"registry.example.com": {
			URL:           &url.URL{Scheme: "https", Host: "registry.internal:5000"},
			Path:          "corp",
			CA:            "/etc/tagwarden/ca.pem",
			Credentials:   &Credentials{Username: "puller", PasswordFile: "/etc/tagwarden/secret"},
			TokenRealms:   []string{"auth.example.com"},
			RedirectHosts: []string{"blobs.internal", "10.1.2.3:8443"},
		},
		"127.0.0.1:5005": {
			URL:         &url.URL{Scheme: "http", Host: "127.0.0.1:5005"},
			Path:        "lab",
			Credentials: &Credentials{DockerConfig: "/root/.docker/config.json"},
		},
		"quay.io": {URL: &url.URL{Scheme: "https", Host: "quay.io"}},
	})
	same(t, c.Sources, map[string]Source{
		"corp": {
			Notary: &url.URL{Scheme: "https", Host: "notary.example.com", Path: "/trust"},
			GUN:    "mirror/{name}",
			Pins: []Pin{
				{Match: match(t, "registry.example.com/team-a/**"), Keys: []string{keyA, keyB}},
				{Match: match(t, "registry.example.com/team-b/**"), CA: "/etc/tagwarden/team-b-ca.pem"},
				{Match: match(t, "registry.example.com/lab/**"), TOFU: true},
			},
			CA:            "/etc/tagwarden/notary-ca.pem",
			Credentials:   &Credentials{Username: "reader", PasswordFile: "/etc/secret"},
			TokenRealms:   []string{"auth.example.com:443"},
			RedirectHosts: []string{"[fd00::1]:8443"},
			Refresh:       500 * time.Millisecond,
			MaxStale:      72 * time.Hour,
			Grace:         12 * time.Hour,
		},
		"hub": {
			Notary:   &url.URL{Scheme: "https", Host: "notary.hub.example"},
			GUN:      "{name}",
			Pins:     []Pin{{Match: match(t, "**"), TOFU: true}},
			Refresh:  time.Minute,
			MaxStale: 72 * time.Hour,
		},
	})
	same(t, c.Rules, []Rule{
		{
			Match: match(t, "registry.example.com/**"), Name: "corp", Mode: Enforce, Source: "corp",
			Signers: &Signers{Of: []string{"release", "qa"}, Threshold: 2}, Prefetch: true,
		},
		{
			Match: match(t, "docker.io/library/nginx"), Name: "docker.io/library/nginx", Mode: Enforce, Source: "hub",
			Signers: &Signers{Of: []string{"release", "teams/web_2/qa-1"}, Threshold: 1},
		},
		{
			Match: match(t, "registry.example.com/lab/**"), Name: "registry.example.com/lab/**", Mode: Audit, Source: "corp",
			Signers: &Signers{Of: []string{"a", "b", "c"}, Threshold: 2},
			Until:   time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC), Reason: "the lab begins to sign, ticket 7",
			TagTTL: time.Minute, StaleIfError: 7 * day,
		},
		{Match: match(t, "quay.io/scratch/**"), Name: "quay.io/scratch/**", Mode: Audit, Source: "hub"},
		{
			Match: match(t, "ghcr.io/public/*"), Name: "ghcr.io/public/*", Mode: Allow,
			Until: time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), Reason: `Übergang, "ticket" 42`,
			TagTTL: day, StaleIfError: 30 * day,
		},
		{Match: match(t, "docker.io/bad/**"), Name: "docker.io/bad/**", Mode: Deny, Reason: "CVE-2027-0001"},
		{
			Match: match(t, "docker.io/bad/old"), Name: "docker.io/bad/old", Mode: Allow,
			Until: time.Date(2001, 1, 2, 0, 0, 0, 0, time.UTC), Reason: "x",
		},
		{Match: match(t, "**"), Name: "**", Mode: Enforce, Source: "hub"},
	})
	c.Registries, c.Sources, c.Rules = nil, nil, nil
	same(t, c, &Config{
		Listen:          ":5000",
		Hosts:           []string{"images.corp:5000"},
		TLS:             &TLS{Cert: "/etc/tagwarden/tls.crt", Key: "/etc/tagwarden/tls.key"},
		Admin:           Admin{Listen: "127.0.0.1:5001"},
		State:           "/var/lib/tagwarden",
		Cache:           Cache{Dir: "/var/cache/tagwarden", Size: 100 << 30, Platforms: []string{"linux/amd64", "linux/arm64/v8"}},
		TrustMemory:     256 << 20,
		Audit:           AuditLog{File: "/var/log/tagwarden/audit.jsonl", OnFull: Drop},
		EgressProxy:     &url.URL{Scheme: "http", Host: "proxy:3128"},
		DefaultRegistry: "docker.io",
	})
}

// TestKnownRegistries: an entry or a rule makes a registry known; being well known does not, nor does "**".
func TestKnownRegistries(t *testing.T) {
	known := parseFile(t, "testdata/all.yaml").KnownRegistries()
	for name, want := range map[string]string{
		"registry.example.com": "https://registry.internal:5000",
		"127.0.0.1:5005":       "http://127.0.0.1:5005",
		"quay.io":              "https://quay.io",
		"docker.io":            "https://registry-1.docker.io",
		"ghcr.io":              "https://ghcr.io",
	} {
		if g, ok := known[name]; !ok || g.URL.String() != want {
			t.Errorf("%s is reached at %v, want %s", name, g.URL, want)
		}
	}
	if len(known) != 5 {
		t.Errorf("known are %v", known)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1MiB": 1 << 20, "512MiB": 512 << 20, "100GiB": 100 << 30, "2TiB": 2 << 40, "2048KiB": 2 << 20,
		"10GB": 10e9, "2MB": 2e6, "2000kB": 2e6, "3TB": 3e12, "1048576": 1 << 20, "8388607TiB": 8388607 << 40,
		"": -1, "GiB": -1, "1.5GiB": -1, "-1GiB": -1, "+1GiB": -1, "10 GB": -1, "10gb": -1, "10KB": -1, "10G": -1, "0x200000": -1,
		"1_000_000_000": -1, "9223372036854775808": -1, "8388608TiB": -1, "99999999999999999999TiB": -1, "1e9": -1, "1GiB\n": -1,
	} {
		if n, ok := ParseSize(text); ok != (want >= 0) || ok && n != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, n, ok, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "500ms": 500 * time.Millisecond, "1m": time.Minute, "1h30m": 90 * time.Minute, "72h": 3 * day, "3d": 3 * day,
		"0d": 0, "65535d": 65535 * day,
		"": -1, "d": -1, "1d12h": -1, "1.5d": -1, "+1d": -1, "-1d": -1, "65536d": -1, "60": -1, "1 m": -1, "1w": -1,
	} {
		if d, ok := ParseDuration(text); ok != (want >= 0) || ok && d != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, d, ok, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "hosts", "tls", "url", "ca", "rules"}
	for word, want := range map[string]string{
		"lisen": "listen", "lsiten": "listen", "Listen": "listen", "host": "hosts", "rule": "rules", "tsl": "tls", "uri": "url",
		"cas": "ca", "xy": "", "": "", "something": "", "tuf": "", "listener": "listen", "listeners": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
