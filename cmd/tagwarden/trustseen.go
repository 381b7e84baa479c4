package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/signing"
	"golang.org/x/sync/errgroup"
)

// lookAtOnce is how many images registries are asked about at the same time.
const lookAtOnce = 4

// A seenPlan is what is to be signed in one repository.
type seenPlan struct {
	site    site
	view    *signing.View
	tags    []*seenTag
	entries []signing.Entry
}

// signSeen signs what an audit log says was served.
func (s *signFlags) signSeen(c *cobra.Command, cfg *config.Config) error {
	if cfg == nil && s.trust == "" {
		return usageError{errors.New("trust sign: --from-audit needs the configuration, whose rules say where an image is signed, or --trust")}
	}
	seen, bad, err := readSeen(c.Context(), s.audit, c.InOrStdin())
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return fmt.Errorf("%s: no tag was served according to it, and %d lines are no decisions: is it the audit log?", safe(s.audit), bad)
	}
	if bad > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "tagwarden: %s: %d lines are no decisions and were left out\n", safe(s.audit), bad)
	}
	plans, err := s.plan(c, cfg, seen)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	total, failed := 0, 0
	for _, p := range plans {
		n, err := p.look(c.Context(), cfg)
		if err != nil {
			return err
		}
		failed += n
		total += len(p.entries)
		p.print(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if total == 0 && failed == 0 {
		_, err := fmt.Fprintln(c.OutOrStdout(), "Nothing to sign: what was served is signed, or its rule has no TUF source")
		return err
	}
	if total > 0 {
		if err := s.confirm(c, fmt.Sprintf("Sign %s?", count(total, "tag", "tags"))); err != nil {
			return err
		}
	}
	for _, p := range plans {
		if len(p.entries) > 0 {
			if err := s.publish(c, p.site, p.entries); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s: %s of the list could not be signed: the list says why", safe(s.audit), count(failed, "tag", "tags"))
	}
	return nil
}

// plan sorts tags by the repository that speaks for them. Those without one, and those that are signed so already, are
// left out.
func (s *signFlags) plan(c *cobra.Command, cfg *config.Config, seen []*seenTag) ([]*seenPlan, error) {
	var all []*seenPlan
	plans := make(map[string]*seenPlan)
	for _, t := range seen {
		key := s.place(cfg, t.name)
		if key == "" {
			continue
		}
		p := plans[key]
		if p == nil {
			site, err := s.open(c, cfg, t.name.Repository)
			if err != nil {
				return nil, err
			}
			p = &seenPlan{site: site}
			if p.view, err = site.Read(c.Context()); err != nil {
				return nil, err
			}
			plans[key] = p
			all = append(all, p)
		}
		if !p.signed(t, s.signer) {
			p.tags = append(p.tags, t)
		}
	}
	return all, nil
}

// place returns what tells repositories apart: "" where there is none for the image.
func (s *signFlags) place(cfg *config.Config, n trust.Name) string {
	if s.trust != "" {
		return s.trust
	}
	r, ok := ruleOf(cfg, n.Repository)
	if !ok || r.Source == "" || cfg.Sources[r.Source].Notary != nil {
		return ""
	}
	if cfg.Sources[r.Source].PerName() {
		return r.Source + " " + n.Repository
	}
	return r.Source
}

// signed tells whether the tag is signed as it was served, by the signer if one is named.
func (p *seenPlan) signed(t *seenTag, signer string) bool {
	tag, ok := p.view.Tag(t.name)
	return ok && tag.Target.Digest == t.digest && (signer == "" || slices.Contains(tag.Signers, signer))
}

// look asks the registries for what an entry needs, and returns how many tags cannot be signed.
func (p *seenPlan) look(ctx context.Context, cfg *config.Config) (failed int, err error) {
	targets := make([]trust.Target, len(p.tags))
	byHost := make(map[string]upstream.Registries)
	var all errgroup.Group
	all.SetLimit(lookAtOnce)
	for i, t := range p.tags {
		host, _ := names.Split(t.name.Repository)
		registries, ok := byHost[host]
		if !ok {
			if registries, err = registriesFor(cfg, t.name.Repository); err != nil {
				return 0, errors.Join(err, all.Wait())
			}
			byHost[host] = registries
		}
		all.Go(func() error {
			found, err := look(ctx, registries, t.name, t.digest)
			t.fault, targets[i] = err, found.target
			return ctx.Err()
		})
	}
	if err := all.Wait(); err != nil {
		return 0, err
	}
	for i, t := range p.tags {
		if t.fault != nil {
			failed++
			continue
		}
		p.entries = append(p.entries, signing.Entry{Name: t.name, Target: targets[i]})
	}
	return failed, nil
}

// print lists the tags.
func (p *seenPlan) print(w io.Writer) {
	if len(p.tags) == 0 {
		return
	}
	fmt.Fprintln(w, "IMAGE:TAG\tDIGEST\tTIMES SEEN\tLAST SEEN\t")
	for _, t := range p.tags {
		note := ""
		if n := len(t.others); n > 1 {
			note = fmt.Sprintf("the last of %d digests", n)
		}
		if tag, ok := p.view.Tag(t.name); ok && tag.Target.Digest != t.digest {
			note = join(note, "signed as "+tag.Target.Digest.String()+" until now")
		}
		if t.fault != nil {
			note = join(note, "cannot be signed: "+t.fault.Error())
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", t.name, t.digest, t.times, stamp(t.last), note)
	}
}

// join puts two remarks behind each other.
func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
