package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
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
			id, notPast := ulid.ParseStrict(args[0])
			var e explanation
			if admin != "" && notPast != nil {
				// The running gateway has the configuration.
				var err error
				if e, err = askRunning(c.Context(), admin, args[0]); err != nil {
					return err
				}
				return e.end(c.OutOrStdout(), output)
			}
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if notPast == nil {
				return explainPast(cfg, id.String(), c.OutOrStdout())
			}
			if e, err = explainHere(c.Context(), cfg, args[0]); err != nil {
				return err
			}
			return e.end(c.OutOrStdout(), output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().StringVar(&admin, "admin", "", "ask the running gateway whose admin port is at this `URL`")
	return c
}

// An explanation is everything about one decision.
type explanation struct {
	Image    string        `json:"image"`
	Rule     string        `json:"rule"`
	Why      string        `json:"why"` // the rule won
	Mode     string        `json:"mode"`
	Source   string        `json:"source"`
	Pin      string        `json:"pin"`     // whose root may speak for the image
	Signers  string        `json:"signers"` // that the rule asks for, and those found
	Checked  *time.Time    `json:"checked"`
	Versions []roleVersion `json:"versions"`
	Claims   []claim       `json:"claims"`
	Verdict  string        `json:"verdict"`
	Reason   string        `json:"reason"`
	Digest   string        `json:"digest"`
	Message  string        `json:"message"`
	Upstream string        `json:"upstream"` // what the registry has under the tag now, or why that is not known
	Cached   bool          `json:"cached"`   // the digest is in the cache
}

type roleVersion struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	Keys    []string  `json:"keys"`
}

type claim struct {
	Role     string   `json:"role"`
	Signer   string   `json:"signer"`
	Digest   string   `json:"digest"`
	Keys     []string `json:"keys"`
	Released bool     `json:"released"`
}

// end prints the explanation; the command fails for what is refused.
func (e explanation) end(w io.Writer, output string) error {
	if err := e.print(w, output); err != nil {
		return err
	}
	if e.Verdict == trust.Deny.String() || e.Verdict == trust.Undecided.String() {
		return errSaid
	}
	return nil
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

// found returns how many of the signers have a claim.
func (e explanation) found(of []string) int {
	n := 0
	for _, name := range of {
		if slices.ContainsFunc(e.Claims, func(c claim) bool { return c.Signer == name }) {
			n++
		}
	}
	return n
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

// explained lists what the decision rests on.
func explained(image string, d trust.Decision) explanation {
	e := explanation{
		Image: image, Rule: d.Rule, Mode: d.Mode.String(), Source: d.Source, Verdict: d.Verdict.String(), Reason: string(d.Reason),
		Digest: d.Signed().String(), Message: d.Message(),
	}
	if !d.Statement.Checked.IsZero() {
		e.Checked = &d.Statement.Checked
	}
	for _, v := range d.Statement.Versions {
		e.Versions = append(e.Versions, roleVersion{v.Role, v.Version, v.Expires, v.Keys})
	}
	for _, c := range d.Statement.Claims {
		e.Claims = append(e.Claims, claim{c.Role, c.Signer, c.Target.Digest.String(), c.Keys, c.Released})
	}
	return e
}

// print writes the explanation for people, or as JSON.
func (e explanation) print(w io.Writer, output string) error {
	if output == "json" {
		j := json.NewEncoder(w)
		j.SetIndent("", "  ")
		return j.Encode(e)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	row("image", "%s", e.Image)
	row("rule", "%s (%s)", orNone(e.Rule), e.Mode)
	if e.Why != "" {
		row("", "%s", e.Why)
	}
	row("source", "%s", orNone(e.Source))
	if e.Pin != "" {
		row("pin", "%s", e.Pin)
	}
	if e.Signers != "" {
		row("signers", "%s", e.Signers)
	}
	if e.Checked != nil {
		row("checked", "%s", e.Checked.UTC().Format(time.RFC3339))
	}
	for _, v := range e.Versions {
		row("", "%s v%d, expires %s, keys %s", v.Role, v.Version, v.Expires.UTC().Format(time.RFC3339), v.Keys)
	}
	for _, c := range e.Claims {
		row("signed by", "%s as %s, keys %s", c.Role, c.Digest, c.Keys)
	}
	row("verdict", "%s %s", e.Verdict, e.Reason)
	if e.Digest != "" {
		row("digest", "%s", e.Digest)
		row("cached", "%v", e.Cached)
	}
	if e.Upstream != "" {
		row("upstream", "%s", e.Upstream)
	}
	if e.Message != "" {
		row("message", "%s", e.Message)
	}
	return t.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

var _ proxy.Decider = (*trustHalf)(nil)
