package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/oklog/ulid/v2"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
)

func explainCommand(file *string) *cobra.Command {
	var output, admin string
	c := &cobra.Command{
		Use:   "explain IMAGE[:TAG|@DIGEST]|DECISION",
		Short: "Show the decision for one reference, or a past one by its id, every step of it, and how to mend a refusal",
		Args:  exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("explain: -o %q: text or json", output)}
			}
			id, err := ulid.ParseStrict(args[0])
			past := err == nil
			if admin != "" && !past {
				// The running gateway has the configuration.
				e, err := askRunning(c.Context(), admin, args[0])
				if err != nil {
					return err
				}
				return e.end(c.OutOrStdout(), output)
			}
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if past {
				return explainPast(cfg, id.String(), c.OutOrStdout())
			}
			e, err := explainHere(c.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			return e.end(c.OutOrStdout(), output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&admin, "admin", "", "ask the running gateway whose admin port is at this `URL`")
	return c
}

// An explainer has what it takes to explain.
type explainer struct {
	cfg        *config.Config
	decider    *trustHalf
	registries upstream.Registries
}

// explainHere decides one reference as the gateway would, from the kept trust data and the source, and keeps nothing.
func explainHere(ctx context.Context, cfg *config.Config, image string) (explanation, error) {
	kept, err := state.Open(ctx, state.Options{Dir: cfg.State, ReadOnly: true})
	if err != nil {
		return explanation{}, err
	}
	decider, err := newTrust(cfg, trustOptions{state: kept, clock: kept.Clock(time.Now, sinceNow()), observe: func(trust.Event) {}})
	if err != nil {
		return explanation{}, err
	}
	defer decider.close()
	registries, err := newRegistries(cfg, nil)
	if err != nil {
		return explanation{}, err
	}
	return explainer{cfg, decider, registries}.explain(ctx, image)
}

// explain decides one reference.
func (x explainer) explain(ctx context.Context, image string) (explanation, error) {
	repository, named, err := locate(x.cfg, image)
	if named == nil {
		return explanation{}, usageError{fmt.Errorf("explain: %w", err)}
	}
	if err != nil {
		return explanation{Image: image, Mode: trust.NoMode.String(), Verdict: trust.Deny.String(), Reason: string(trust.UnknownRegistry), Message: err.Error()}, nil
	}
	var e explanation
	if d, ok := named.(reference.Digested); ok {
		e = explained(repository+"@"+d.Digest().String(), x.decider.Digest(notRecorded, repository, d.Digest()))
	} else {
		name := trust.Name{Repository: repository, Tag: reference.TagNameOnly(named).(reference.Tagged).Tag()}
		d := x.decider.Decide(ctx, notRecorded, name)
		upstream := x.upstream(ctx, name, string(d.Reason))
		if has := digest.Digest(upstream); has.Validate() == nil {
			d = d.Saw(has)
		}
		e = explained(name.String(), d)
		e.Upstream = upstream
	}
	if r, ok := x.decider.Find(repository); ok {
		e.Why = fmt.Sprintf("%s is the most specific match", r.Match)
		e.Pin = pinOf(x.cfg.Sources[r.Source], repository)
		if r.Signers != nil {
			e.Signers = fmt.Sprintf("%d of %s, %d found", r.Signers.Threshold, strings.Join(r.Signers.Of, ", "), e.found(r.Signers.Of))
		}
	}
	if d := digest.Digest(e.Digest); d.Validate() == nil {
		e.Cached = cache.Has(x.cfg.Cache.Dir, d)
	}
	return e, nil
}

// pinOf says which pin of the source governs the repository: the root file of a TUF source is one.
func pinOf(s config.Source, repository string) string {
	if s.Root != "" {
		return "root " + named(s.Root, repository)
	}
	var pins names.Index[config.Pin]
	for _, p := range s.Pins {
		pins.Add(p.Match, p)
	}
	p, ok := pins.Find(repository)
	switch {
	case !ok:
		return ""
	case p.TOFU:
		return fmt.Sprintf("%s: trust on first use", p.Match)
	case p.CA != "":
		return fmt.Sprintf("%s: ca %s", p.Match, p.CA)
	}
	return fmt.Sprintf("%s: keys %s", p.Match, strings.Join(p.Keys, ", "))
}

// locate reads an image as a shell or a Pod has it, the gateway's prefix included, and returns the full name of its
// repository. Without a reference beside it the error means that it is no image at all.
func locate(cfg *config.Config, image string) (repository string, named reference.Named, err error) {
	if named, err = reference.ParseNormalizedNamed(image); err != nil {
		return "", nil, fmt.Errorf("%.200q is not an image: %w", image, err)
	}
	n := namesOf(cfg)
	// Named as the registry's own, or below one of the gateway's hosts.
	if repository, err = n.Repository("localhost", named.Name()); err == nil {
		return repository, named, nil
	}
	below, berr := n.Repository(reference.Domain(named), reference.Path(named))
	if berr != nil {
		return "", named, err // of the two the one that names the registry
	}
	return below, named, nil
}

// notRecorded stands for the id of a decision that only explains.
const notRecorded = "not recorded"

// upstream says what the registry has under the tag now. It is not asked about what is denied.
func (x explainer) upstream(ctx context.Context, n trust.Name, reason string) string {
	if reason == string(trust.RuleDeny) {
		return "not asked"
	}
	ctx, cancel := context.WithTimeout(ctx, onlineTime)
	defer cancel()
	d, err := x.registries.Resolve(ctx, n.Repository, n.Tag)
	if err != nil {
		return err.Error()
	}
	return d.String()
}

var _ proxy.Decider = (*trustHalf)(nil)
