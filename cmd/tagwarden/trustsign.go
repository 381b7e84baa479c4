package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/signing"
)

// signFlags are what trust sign can be told.
type signFlags struct {
	*trustFlags
	digest string
	signer string
	audit  string // the log whose tags are signed
	yes    bool
}

func trustSignCommand(f *trustFlags) *cobra.Command {
	s := &signFlags{trustFlags: f}
	c := &cobra.Command{
		Use:   "sign IMAGE[:TAG] | sign --from-audit FILE",
		Short: "Sign a tag, or all that an audit log says was served",
		Long: "Sign a tag: as what its registry has under it now, after showing it, or as the digest that is given.\n" +
			"With --from-audit, sign every tag under which something was served, as what was served last, after showing the list:\n" +
			"the way from mode audit to mode enforce.\n\n" +
			"Every signer signs whose private keys are in the keychain and who may sign the image, or the one of --signer.",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case s.audit != "" && (len(args) > 0 || s.digest != ""):
				return usageError{errors.New("trust sign: --from-audit goes with neither an image nor --digest")}
			case s.audit == "" && len(args) != 1:
				return usageError{errors.New("trust sign: one IMAGE[:TAG], or --from-audit FILE")}
			case s.signer != "" && s.signer != "targets":
				if err := signerName(s.signer); err != nil {
					return err
				}
			}
			cfg, err := f.load(c)
			if err != nil {
				return err
			}
			if s.audit != "" {
				return s.signSeen(c, cfg)
			}
			return s.signOne(c, cfg, args[0])
		},
	}
	c.Flags().StringVar(&s.digest, "digest", "", "sign the tag as this `DIGEST`, and ask nothing")
	c.Flags().StringVar(&s.signer, "signer", "", "sign as this signer `NAME` only")
	c.Flags().StringVar(&s.audit, "from-audit", "", "sign what this audit log `FILE` says was served; - is standard input")
	c.Flags().BoolVarP(&s.yes, "yes", "y", false, "do not ask for confirmation")
	return c
}

// signOne signs one tag.
func (s *signFlags) signOne(c *cobra.Command, cfg *config.Config, image string) error {
	n, err := imageName(cfg, image)
	if err != nil {
		return err
	}
	if n.Tag == "" {
		n.Tag = "latest"
	}
	d := digest.Digest(s.digest)
	if d != "" && (d.Validate() != nil || d.Algorithm() != digest.SHA256) {
		return usageError{fmt.Errorf("trust sign: --digest %.100q: write sha256: and 64 hexadecimal digits", s.digest)}
	}
	site, err := s.open(c, cfg, n.Repository)
	if err != nil {
		return err
	}
	view, err := site.Read(c.Context())
	if err != nil {
		return err
	}
	registries, err := registriesFor(cfg, n.Repository)
	if err != nil {
		return err
	}
	found, err := look(c.Context(), registries, n, d)
	if err != nil {
		return err
	}
	if err := found.print(c.OutOrStdout(), n, view); err != nil {
		return err
	}
	if d == "" {
		if err := s.confirm(c, fmt.Sprintf("Sign %s as this digest?", n)); err != nil {
			return err
		}
	}
	return s.publish(c, site, []signing.Entry{{Name: n, Target: found.target}})
}

// errNotConfirmed ends a command whose question was not answered with y.
var errNotConfirmed = errors.New("not confirmed: nothing was changed")

// confirm asks whether to go on, unless --yes says so.
func (s *signFlags) confirm(c *cobra.Command, question string) error {
	return confirm(c, s.yes, question)
}

func confirm(c *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	ok, err := newTerminal(c).confirm(c.Context(), question)
	if errors.Is(err, errNobody) {
		return fmt.Errorf("nobody can be asked, %w: look at it, and give --yes", err)
	}
	if err == nil && !ok {
		err = errNotConfirmed
	}
	return err
}

// print shows what a tag would be signed as, and what it is signed as now.
func (u upstreamImage) print(w io.Writer, n trust.Name, view *signing.View) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n", n)
	fmt.Fprintf(t, "  digest\t%s\n", u.target.Digest)
	fmt.Fprintf(t, "  media type\t%s\n", u.target.MediaType)
	fmt.Fprintf(t, "  platforms\t%s\n", orNone(strings.Join(u.platforms, ", ")))
	before := "not signed"
	if tag, ok := view.Tag(n); ok {
		before = fmt.Sprintf("%s, by %s", tag.Target.Digest, strings.Join(tag.Signers, ", "))
	}
	fmt.Fprintf(t, "  until now\t%s\n", before)
	return t.Flush()
}

// publish signs entries, and says what was done.
func (s *signFlags) publish(c *cobra.Command, site site, entries []signing.Entry) error {
	w := c.OutOrStdout()
	fmt.Fprintf(w, "Signing and pushing trust metadata to %s\n", site.place)
	var done []signing.Signed
	result, err := site.Change(c.Context(), func(e *signing.Edit) error {
		var err error
		done, err = e.Sign(entries, s.signer)
		return err
	})
	if err != nil {
		return err
	}
	lines := &strings.Builder{}
	for _, d := range done {
		if len(d.Roles) > 0 {
			fmt.Fprintf(lines, "Successfully signed %s by %s\n", d.Name, strings.Join(d.Roles, ", "))
		} else {
			fmt.Fprintf(lines, "%s is signed so already\n", d.Name)
		}
	}
	if len(result.Files) == 0 {
		_, err := io.WriteString(w, lines.String())
		return err
	}
	return printResult(w, result, strings.TrimSuffix(lines.String(), "\n"))
}
