package main

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"go.uber.org/zap"
)

// trustOptions are what the trust half needs besides the configuration.
type trustOptions struct {
	state   *state.Store
	clock   *state.Clock
	observe func(trust.Event)
	sent    func(upstream.Event)
	before  *trustHalf  // whose sources are kept where they are configured as before; nil: none
	publish *zap.Logger // where what is published is told; nil: nothing is published
}

// A trustHalf decides.
type trustHalf struct {
	*trust.Authority
	sources map[string]source
}

// close ends the refreshes.
func (t *trustHalf) close() { t.closeAllBut(nil) }

// closeAllBut ends the refreshes of the sources that next does not have, and what they publish unless it does.
func (t *trustHalf) closeAllBut(next *trustHalf) {
	kept := make(map[*publisher]bool)
	if next != nil {
		for _, s := range next.sources {
			kept[s.publisher] = true
		}
	}
	for name, s := range t.sources {
		if next == nil || next.sources[name].Collections != s.Collections {
			s.Close()
		}
		if s.publisher != nil && !kept[s.publisher] {
			kept[s.publisher] = true
			s.publisher.close()
		}
	}
}

// newTrust builds what decides from the configuration.
func newTrust(cfg *config.Config, o trustOptions) (*trustHalf, error) {
	t := &trustHalf{sources: make(map[string]source)}
	policy := trust.Policy{Sources: make(map[string]trust.SourcePolicy), Now: o.clock.Now, Wall: o.clock.Wall, Floor: o.clock.Floor}
	for name, s := range cfg.Sources {
		built, err := newSource(cfg, name, s, o)
		if err != nil {
			t.closeAllBut(o.before)
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		t.sources[name] = built
		policy.Sources[name] = trust.SourcePolicy{
			Resolver: built, Refresh: refreshOf(s), MaxStale: s.MaxStale, Grace: s.Grace, SignWith: signWith(s), Near: s.Dir != "",
		}
	}
	for _, r := range cfg.Rules {
		policy.Rules = append(policy.Rules, trust.Rule{
			Name: r.Name, Match: r.Match, Mode: modes[r.Mode], Source: r.Source, Signers: (*trust.Signers)(r.Signers), Until: r.Until, Why: r.Reason,
			TagTTL: r.TagTTL, StaleIfError: r.StaleIfError, Prefetch: r.Prefetch,
		})
	}
	var err error
	if t.Authority, err = trust.NewAuthority(policy); err != nil {
		t.closeAllBut(o.before)
		return nil, err
	}
	return t, nil
}

// modes are the rule modes by their word. A word that is not here is NoMode, which allows nothing.
var modes = map[config.Mode]trust.Mode{
	config.Enforce: trust.Enforce, config.Audit: trust.Audit, config.Allow: trust.Exempt, config.Deny: trust.Refuse,
}

// newRegistries builds what asks the registries.
func newRegistries(cfg *config.Config, sent func(upstream.Event)) (upstream.Registries, error) {
	var all []*upstream.Registry
	for name, r := range cfg.KnownRegistries() {
		client, err := newClient(upstream.Options{
			Name: name, URL: r.URL, TokenRealms: r.TokenRealms, RedirectHosts: r.RedirectHosts,
			EgressProxy: cfg.EgressProxy, Observe: sent,
		}, r.CA, r.Credentials, name)
		if err != nil {
			return upstream.Registries{}, fmt.Errorf("registry %s: %w", name, err)
		}
		all = append(all, upstream.NewRegistry(name, client))
	}
	return upstream.NewRegistries(all...), nil
}

// newClient completes the options with the files that the configuration names.
func newClient(o upstream.Options, ca string, c *config.Credentials, host string) (*upstream.Client, error) {
	var err error
	if o.Roots, err = readPool(ca); err != nil {
		return nil, err
	}
	switch {
	case c == nil:
	case c.DockerConfig != "":
		o.Credentials = upstream.DockerCredentials(c.DockerConfig, host)
	default:
		o.Credentials = upstream.StaticCredentials(c.Username, c.PasswordFile)
	}
	return upstream.NewClient(o)
}

// readPool reads certificates in PEM. No file is no pool.
func readPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}

// newIDs returns the maker of decision ids: they sort by time and never repeat.
func newIDs() func() string {
	var mu sync.Mutex
	entropy := ulid.Monotonic(rand.Reader, 0)
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		id, err := ulid.New(ulid.Now(), entropy)
		if err != nil {
			// More ids in one millisecond than fit behind each other: begin anew with fresh randomness.
			entropy = ulid.Monotonic(rand.Reader, 0)
			id = ulid.MustNew(ulid.Now(), rand.Reader)
		}
		return id.String()
	}
}
