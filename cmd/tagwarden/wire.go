package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/dct"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/tagwarden/tagwarden/trust/state"
)

// trustOptions are what the trust half needs besides the configuration.
type trustOptions struct {
	state   *state.Store // nil: nothing will be asked
	observe func(trust.Event)
	sent    func(upstream.Event)
	before  *trustHalf // whose sources are kept where they are configured as before; nil: none
}

// A trustHalf decides.
type trustHalf struct {
	*trust.Authority
	sources map[string]source
}

// A source is one that was built, with what it was built from.
type source struct {
	*trust.Collections
	format *dct.Format
	cfg    config.Source
	egress string
	print  [sha256.Size]byte // of the files that cfg names
}

// close ends the refreshes.
func (t *trustHalf) close() { t.closeAllBut(&trustHalf{}) }

// closeAllBut ends the refreshes of the sources that next does not have.
func (t *trustHalf) closeAllBut(next *trustHalf) {
	for name, s := range t.sources {
		if next == nil || next.sources[name].Collections != s.Collections {
			s.Close()
		}
	}
}

// newTrust builds what decides from the configuration.
func newTrust(cfg *config.Config, o trustOptions) (*trustHalf, error) {
	t := &trustHalf{sources: make(map[string]source)}
	policy := trust.Policy{Sources: make(map[string]trust.SourcePolicy), Now: time.Now}
	for name, s := range cfg.Sources {
		built, err := newSource(cfg, name, s, o)
		if err != nil {
			t.closeAllBut(o.before)
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		t.sources[name] = built
		policy.Sources[name] = trust.SourcePolicy{
			Resolver: built, Refresh: s.Refresh, MaxStale: s.MaxStale, Grace: s.Grace, SignWith: "docker trust sign",
		}
	}
	for _, r := range cfg.Rules {
		policy.Rules = append(policy.Rules, trust.Rule{
			Name: r.Name, Match: r.Match, Mode: modes[r.Mode], Source: r.Source, Signers: (*trust.Signers)(r.Signers), Until: r.Until, Why: r.Reason,
			TagTTL: r.TagTTL, StaleIfError: r.StaleIfError,
		})
	}
	var err error
	t.Authority, err = trust.NewAuthority(policy)
	return t, err
}

// newSource builds one source, or returns the one of before that is the same.
func newSource(cfg *config.Config, name string, s config.Source, o trustOptions) (source, error) {
	built := source{egress: fmt.Sprint(cfg.EgressProxy), cfg: s, print: printOf(sourceFiles(s))}
	if o.before != nil {
		if old, ok := o.before.sources[name]; ok && reflect.DeepEqual(old.cfg, built.cfg) && old.print == built.print && old.egress == built.egress {
			return old, nil
		}
	}
	format, err := newNotary(cfg, name, s, o)
	if err != nil {
		return source{}, err
	}
	built.format = format
	built.Collections = trust.NewCollections(trust.CollectionsOptions{
		Source: name, Format: format, Memory: cfg.TrustMemory / int64(len(cfg.Sources)), Refresh: s.Refresh, Observe: o.observe,
	})
	return built, nil
}

// modes are the rule modes by their word. A word that is not here is NoMode, which allows nothing.
var modes = map[config.Mode]trust.Mode{
	config.Enforce: trust.Enforce, config.Audit: trust.Audit, config.Allow: trust.Exempt, config.Deny: trust.Refuse,
}

// newNotary builds the format of one Notary v1 source.
func newNotary(cfg *config.Config, name string, s config.Source, o trustOptions) (*dct.Format, error) {
	client, err := newClient(upstream.Options{
		Name: name, What: "source", URL: s.Notary, TokenRealms: s.TokenRealms, RedirectHosts: s.RedirectHosts,
		EgressProxy: cfg.EgressProxy, Observe: o.sent,
	}, s.CA, s.Credentials, s.Notary.Host)
	if err != nil {
		return nil, err
	}
	var pins names.Index[dct.Pin]
	for _, p := range s.Pins {
		pin := dct.Pin{Keys: p.Keys, TOFU: p.TOFU}
		if pin.CA, err = readPool(p.CA); err != nil {
			return nil, fmt.Errorf("pin %s: %w", p.Match, err)
		}
		pins.Add(p.Match, pin)
	}
	return dct.New(dct.Options{
		Source: name, GUN: s.GUN, Pins: pins, State: o.state, Now: time.Now, Observe: o.observe,
		Fetcher: func(gun string) trust.Source {
			base := *s.Notary
			base.Path += "/v2/" + gun + "/_trust/tuf"
			return remote.HTTP{Base: &base, Client: client.Scoped("repository:" + gun + ":pull")}
		},
	})
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
