package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/dct"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/tagwarden/tagwarden/trust/tuf"
)

// A source is one that was built, with what it was built from.
type source struct {
	*trust.Collections
	// inspect asks the source about an image repository, for people who decide what to pin.
	inspect   func(ctx context.Context, repository string) (finding, error)
	publisher *publisher // nil: somebody else publishes it
	cfg       config.Source
	egress    string
	print     [sha256.Size]byte // of the files that cfg names
}

// A finding is what a source says now, and whether the configuration lets it speak.
type finding struct {
	versions []trust.RoleVersion
	keys     []string // of the root
	tags     int
	refused  error
}

// signWith is the command that signs a tag at the source.
func signWith(s config.Source) string {
	if s.Notary != nil {
		return "docker trust sign"
	}
	return "tagwarden trust sign"
}

// nearRefresh is how old a check of a folder may be, which costs a look at two files.
const nearRefresh = time.Second

// refreshOf is how old a check of the source may be: what is published into a folder here holds at once.
func refreshOf(s config.Source) time.Duration {
	if s.Dir != "" {
		return min(s.Refresh, nearRefresh)
	}
	return s.Refresh
}

// newSource builds one source, or returns the one of before that is the same.
func newSource(cfg *config.Config, name string, s config.Source, o trustOptions) (source, error) {
	built := source{egress: fmt.Sprint(cfg.EgressProxy), cfg: s, print: printOf(sourceFiles(s))}
	if o.before != nil {
		if old, ok := o.before.sources[name]; ok && reflect.DeepEqual(old.cfg, built.cfg) && old.print == built.print && old.egress == built.egress {
			return old, nil
		}
	}
	format, err := built.format(cfg, name, o)
	if err != nil {
		return source{}, err
	}
	if s.Publish != nil && o.publish != nil {
		if built.publisher, err = o.publisherOf(s); err != nil {
			return source{}, err
		}
	}
	built.Collections = trust.NewCollections(trust.CollectionsOptions{
		Source: name, Format: format, Memory: cfg.TrustMemory / int64(len(cfg.Sources)), Refresh: refreshOf(s),
		Now: o.clock.Now, Confirm: o.clock.Raise, Observe: o.observe,
	})
	return built, nil
}

// format builds the format of the source, and what inspects it.
func (b *source) format(cfg *config.Config, name string, o trustOptions) (trust.Format, error) {
	if b.cfg.Notary != nil {
		f, err := newNotary(cfg, name, b.cfg, o)
		b.inspect = func(ctx context.Context, repository string) (finding, error) {
			found, err := f.Inspect(ctx, repository)
			return finding{found.Versions, found.Keys, found.Tags, found.Refused}, err
		}
		return f, err
	}
	f, err := newTUF(cfg, name, b.cfg, o)
	b.inspect = func(ctx context.Context, repository string) (finding, error) {
		collection, _ := f.Locate(trust.Name{Repository: repository})
		found, err := f.Inspect(ctx, collection)
		return finding{found.Versions, found.Keys, found.Tags, found.Refused}, err
	}
	return f, err
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
		Source: name, GUN: s.GUN, Pins: pins, State: o.state, Now: o.clock.Now, Observe: o.observe,
		Fetcher: func(gun string) trust.Source {
			base := *s.Notary
			base.Path += "/v2/" + gun + "/_trust/tuf"
			return remote.HTTP{Base: &base, Client: client.Scoped("repository:" + gun + ":pull")}
		},
	})
}

// newTUF builds the format of one TUF 1.0 source.
func newTUF(cfg *config.Config, name string, s config.Source, o trustOptions) (*tuf.Format, error) {
	fetcher, err := tufFetcher(cfg, name, s, o.sent)
	if err != nil {
		return nil, err
	}
	return tuf.New(tuf.Options{
		Source: name, Target: s.Target, PerName: s.PerName(), State: o.state, Now: o.clock.Now, Observe: o.observe, Fetcher: fetcher,
		Root: func(collection string) ([]byte, error) { return os.ReadFile(named(s.Root, collection)) },
	})
}

// tufFetcher returns where the files of a TUF source come from.
func tufFetcher(cfg *config.Config, name string, s config.Source, sent func(upstream.Event)) (func(collection string) trust.Source, error) {
	if s.Dir != "" {
		return func(collection string) trust.Source { return remote.Dir(named(s.Dir, collection)) }, nil
	}
	client, err := newClient(upstream.Options{
		Name: name, What: "source", URL: s.TUF, TokenRealms: s.TokenRealms, RedirectHosts: s.RedirectHosts,
		EgressProxy: cfg.EgressProxy, Observe: sent,
	}, s.CA, s.Credentials, s.TUF.Host)
	if err != nil {
		return nil, err
	}
	return func(collection string) trust.Source {
		base := *s.TUF
		base.Path = named(base.Path, collection)
		return remote.HTTP{Base: &base, Client: client.Scoped("")}
	}, nil
}

// named puts the name of a collection where the template has a place for it.
func named(template, collection string) string {
	return strings.Replace(template, "{name}", collection, 1)
}
