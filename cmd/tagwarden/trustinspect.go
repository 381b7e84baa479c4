package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/signing"
	"github.com/tagwarden/tagwarden/trust/state"
)

// maxAskedTags is how many tags of an image a registry is asked about, where none was named.
const maxAskedTags = 20

func trustInspectCommand(f *trustFlags) *cobra.Command {
	var pretty bool
	var output string
	c := &cobra.Command{
		Use:   "inspect IMAGE[:TAG] [IMAGE[:TAG]...]",
		Short: "Return low-level information about keys and signatures",
		Args:  checked(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "json" || pretty && c.Flags().Changed("output") {
				return usageError{fmt.Errorf("trust inspect: -o %.80q: json, or --pretty without it", output)}
			}
			cfg, err := f.load(c)
			if err != nil {
				return err
			}
			var pages []trustPage
			for _, image := range args {
				p, err := f.inspect(c, cfg, image)
				if err != nil {
					return err
				}
				pages = append(pages, p)
			}
			if !pretty {
				return printTrustJSON(c.OutOrStdout(), pages)
			}
			for _, p := range pages {
				if err := p.print(c.OutOrStdout(), time.Now()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&pretty, "pretty", false, "print the information in a human friendly format")
	c.Flags().StringVarP(&output, "output", "o", "json", "json")
	return c
}

// inspect returns what is known about one image.
func (f *trustFlags) inspect(c *cobra.Command, cfg *config.Config, image string) (trustPage, error) {
	n, err := imageName(cfg, image)
	if err != nil {
		return trustPage{}, err
	}
	var p trustPage
	if source, ok := f.decided(cfg, n); ok {
		p, err = inspectDecided(c.Context(), cfg, n, source)
	} else {
		p, err = f.inspectSite(c, cfg, n)
	}
	if err != nil {
		return trustPage{}, err
	}
	return p, p.askUpstream(c.Context(), cfg, n)
}

// decided returns the source of an image that only a gateway's own verifier can read: a Notary server, or a repository
// whose targets are not called as these commands do.
func (f *trustFlags) decided(cfg *config.Config, n trust.Name) (string, bool) {
	if f.trust != "" || cfg == nil {
		return "", false
	}
	r, ok := ruleOf(cfg, n.Repository)
	if !ok || r.Source == "" {
		return "", false
	}
	s := cfg.Sources[r.Source]
	return r.Source, s.Notary != nil || s.Target != standardTarget
}

// inspectSite reads a repository of these commands.
func (f *trustFlags) inspectSite(c *cobra.Command, cfg *config.Config, n trust.Name) (trustPage, error) {
	site, err := f.open(c, cfg, n.Repository)
	if err != nil {
		return trustPage{}, err
	}
	v, err := site.Read(c.Context())
	if err != nil {
		return trustPage{}, err
	}
	p := newPage(n, site.place)
	for _, t := range v.Tags(n.Repository) {
		if n.Tag == "" || n.Tag == t.Name.Tag {
			expires := t.Expires
			p.SignedTags = append(p.SignedTags, signedTag{
				SignedTag: t.Name.Tag, Digest: t.Target.Digest.Encoded(), Signers: signerNames(t.Signers), Expires: &expires,
			})
		}
	}
	for _, r := range v.Administrative() {
		p.addVersion(r)
		if word, ok := officeNames[r.Name]; ok {
			p.AdministrativeKeys = append(p.AdministrativeKeys, newKeys(word, r.Keys, r.Threshold))
		}
	}
	for _, r := range v.Signers(n.Repository) {
		p.addVersion(r)
		p.Signers = append(p.Signers, newKeys(r.Name, r.Keys, r.Threshold))
	}
	return p, nil
}

// newPage returns a page of nothing: its lists are there, and empty, as docker prints them.
func newPage(n trust.Name, source string) trustPage {
	return trustPage{
		Name: n.String(), Source: source, SignedTags: []signedTag{}, Signers: []namedKeys{}, AdministrativeKeys: []namedKeys{},
		Versions: []pageVersion{}, Problems: []string{},
	}
}

// officeNames are docker's words for roles.
var officeNames = map[string]string{"root": "Root", "targets": "Repository"}

// signerNames returns the names of roles as docker prints them.
func signerNames(roles []string) []string {
	all := []string{}
	for _, r := range roles {
		if r == "targets" {
			r = repoAdmin
		}
		all = append(all, r)
	}
	return all
}

func newKeys(name string, ids []string, threshold int) namedKeys {
	n := namedKeys{Name: name, Keys: []keyID{}}
	if threshold > 1 {
		n.Threshold = threshold
	}
	for _, id := range ids {
		n.Keys = append(n.Keys, keyID{id})
	}
	return n
}

// addVersion adds the file of a role, or why there is none.
func (p *trustPage) addVersion(r signing.Role) {
	if r.Fault != nil {
		p.Problems = append(p.Problems, fmt.Sprintf("%s: %v", r.Name, r.Fault))
	}
	if r.Version > 0 {
		p.Versions = append(p.Versions, pageVersion{r.Name, r.Version, r.Expires})
	}
}

// inspectDecided asks a source as the gateway does, and keeps nothing.
func inspectDecided(ctx context.Context, cfg *config.Config, n trust.Name, source string) (trustPage, error) {
	kept, err := state.Open(ctx, state.Options{Dir: cfg.State, ReadOnly: true})
	if err != nil {
		return trustPage{}, err
	}
	decider, err := newTrust(cfg, trustOptions{state: kept, clock: kept.Clock(time.Now, sinceNow()), observe: func(trust.Event) {}})
	if err != nil {
		return trustPage{}, err
	}
	defer decider.close()
	ctx, cancel := context.WithTimeout(ctx, onlineTime)
	defer cancel()
	found, err := decider.sources[source].inspect(ctx, n.Repository)
	if err == nil {
		err = found.refused
	}
	if err != nil {
		return trustPage{}, fmt.Errorf("source %s: %w [%s]", source, err, trust.ReasonOf(err))
	}
	tags, _, err := decider.sources[source].Tags(ctx, n.Repository, time.Minute)
	if err != nil {
		return trustPage{}, fmt.Errorf("source %s: %w [%s]", source, err, trust.ReasonOf(err))
	}
	p := newPage(n, "source "+source)
	for tag, s := range tags {
		if n.Tag == "" || n.Tag == tag {
			p.addStatement(tag, s)
		}
	}
	slices.SortFunc(p.SignedTags, func(a, b signedTag) int { return cmp.Compare(a.SignedTag, b.SignedTag) })
	p.addRoles(found)
	return p, nil
}

// addStatement adds a tag if the source's format releases it.
func (p *trustPage) addStatement(tag string, s trust.Statement) {
	var released *trust.Claim
	var roles []string
	for i, c := range s.Claims {
		if c.Released && released == nil {
			released = &s.Claims[i]
		}
	}
	if released == nil {
		return
	}
	for _, c := range s.Claims {
		// DCT: a release is what signers have said, and no word of its own.
		if c.Target.Digest == released.Target.Digest && c.Role != "targets/releases" {
			roles = append(roles, cmp.Or(c.Signer, c.Role))
		}
	}
	expires := s.Expires
	p.SignedTags = append(p.SignedTags, signedTag{
		SignedTag: tag, Digest: released.Target.Digest.Encoded(), Signers: signerNames(roles), Expires: &expires,
	})
}

// addRoles adds the roles that a source has: their files, and the keys that signed them.
func (p *trustPage) addRoles(found finding) {
	p.AdministrativeKeys = append(p.AdministrativeKeys, newKeys("Root", found.keys, 0))
	for _, v := range found.versions {
		p.Versions = append(p.Versions, pageVersion{v.Role, v.Version, v.Expires})
		switch v.Role {
		case "root", "snapshot", "timestamp", "targets/releases":
		case "targets":
			p.AdministrativeKeys = append(p.AdministrativeKeys, newKeys("Repository", v.Keys, 0))
		default:
			p.Signers = append(p.Signers, newKeys(strings.TrimPrefix(v.Role, "targets/"), v.Keys, 0))
		}
	}
}

// askUpstream asks the registry what it has under the tags now.
func (p *trustPage) askUpstream(ctx context.Context, cfg *config.Config, n trust.Name) error {
	registries, err := registriesFor(cfg, n.Repository)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, onlineTime)
	defer cancel()
	for i := range p.SignedTags[:min(len(p.SignedTags), maxAskedTags)] {
		t := &p.SignedTags[i]
		d, err := registries.Resolve(ctx, n.Repository, t.SignedTag)
		// That the registry does not answer is no reason to keep back what is signed.
		if t.Upstream = d.String(); err != nil {
			t.Upstream = "not known: " + err.Error()
		}
	}
	return nil
}
