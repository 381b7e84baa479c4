package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/signing"
)

func signerAddCommand(f *trustFlags) *cobra.Command {
	var files []string
	var threshold int
	c := &cobra.Command{
		Use:   "add OPTIONS NAME REPOSITORY [REPOSITORY...]",
		Short: "Add a signer, or more keys and repositories of one; a REPOSITORY may be a match of several, as rules have them",
		Args:  checked(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			s := signing.Signer{Name: args[0], Threshold: threshold}
			if err := signerName(s.Name); err != nil {
				return err
			}
			if threshold < 0 {
				return usageError{fmt.Errorf("trust signer add: --threshold %d: at least 1", threshold)}
			}
			site, _, repositories, err := f.openFor(c, args[1:])
			if err != nil {
				return err
			}
			if s.Keys, err = publicKeys(files); err != nil {
				return err
			}
			s.Repositories = repositories
			all := strings.Join(repositories, ", ")
			fmt.Fprintf(c.OutOrStdout(), "Adding signer %q to %s...\n", s.Name, all)
			result, err := site.Change(c.Context(), func(e *signing.Edit) error { return e.AddSigner(s) })
			if err != nil {
				return err
			}
			return printResult(c.OutOrStdout(), result, fmt.Sprintf("Successfully added signer: %s to %s", s.Name, all))
		},
	}
	c.Flags().StringArrayVar(&files, "key", nil, "path to the signer's public key `file`; may be repeated: a team")
	c.Flags().IntVar(&threshold, "threshold", 0, "how many of the signer's keys must sign (default 1)")
	return c
}

// openFor opens the repository for images and matches of images, and returns their full forms.
func (f *trustFlags) openFor(c *cobra.Command, given []string) (site, *config.Config, []string, error) {
	cfg, err := f.load(c)
	if err != nil {
		return site{}, nil, nil, err
	}
	var all []string
	for _, g := range given {
		full, err := fullMatch(cfg, g)
		if err != nil {
			return site{}, nil, nil, err
		}
		if !slices.Contains(all, full) {
			all = append(all, full)
		}
	}
	s, err := f.open(c, cfg, all...)
	return s, cfg, all, err
}

// fullMatch returns the full form of an image repository or a match of several.
func fullMatch(cfg *config.Config, s string) (string, error) {
	if strings.Contains(s, "*") {
		m, err := names.ParseMatch(s)
		if err != nil {
			return "", usageError{err}
		}
		return m.String(), nil
	}
	n, err := imageName(cfg, s)
	if err == nil && n.Tag != "" {
		err = usageError{fmt.Errorf("%.200q names a tag: a signer signs for all tags of a repository", s)}
	}
	return n.Repository, err
}

func signerRemoveCommand(f *trustFlags) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "remove [OPTIONS] NAME REPOSITORY [REPOSITORY...]",
		Short: "Remove a signer",
		Args:  checked(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := signerName(args[0]); err != nil {
				return err
			}
			site, cfg, repositories, err := f.openFor(c, args[1:])
			if err != nil {
				return err
			}
			all := strings.Join(repositories, ", ")
			fmt.Fprintf(c.OutOrStdout(), "Removing signer %q from %s...\n", args[0], all)
			var lost []signing.Tag
			result, err := site.Change(c.Context(), func(e *signing.Edit) error {
				var err error
				if lost, err = e.RemoveSigner(args[0], repositories, force); err != nil || force {
					return err
				}
				return keepsThresholds(cfg, e.View(), args[0], repositories)
			})
			printLost(c.OutOrStdout(), lost, err)
			if errors.Is(err, signing.ErrLastSignature) {
				return fmt.Errorf("%w: let somebody else sign them first, or give --force", err)
			}
			if err != nil {
				return err
			}
			return printResult(c.OutOrStdout(), result, fmt.Sprintf("Successfully removed %s from %s", args[0], all))
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "remove the signer even where tags lose their last signature, or a rule its signers")
	return c
}

// printLost names the tags that lose their last signature, or would.
func printLost(w io.Writer, lost []signing.Tag, err error) {
	does := "loses"
	if err != nil {
		does = "would lose"
	}
	for _, t := range lost {
		fmt.Fprintf(w, "  %s %s its last signature, of %s\n", t.Name, does, t.Target.Digest)
	}
}

// keepsThresholds refuses what leaves a rule without enough of the signers that it asks for.
func keepsThresholds(cfg *config.Config, v *signing.View, removed string, repositories []string) error {
	if cfg == nil {
		return nil
	}
	for _, repository := range repositories {
		for _, r := range cfg.Rules {
			if r.Signers == nil || !slices.Contains(r.Signers.Of, removed) || !governs(cfg, r, repository) {
				continue
			}
			remain := 0
			for _, s := range v.Signers(exact(repository)) {
				if slices.Contains(r.Signers.Of, s.Name) {
					remain++
				}
			}
			if remain < r.Signers.Threshold {
				return fmt.Errorf("rule %s asks for %d of the signers %s, and only %d would be left: change the rule first, or give --force",
					r.Name, r.Signers.Threshold, strings.Join(r.Signers.Of, ", "), remain)
			}
		}
	}
	return nil
}

// governs tells whether a rule governs an image, or some of those that a match selects.
func governs(cfg *config.Config, r config.Rule, repository string) bool {
	if exact(repository) != "" {
		governing, ok := ruleOf(cfg, repository)
		return ok && governing.Match == r.Match
	}
	a, b := strings.TrimRight(repository, "*"), strings.TrimRight(r.Match.String(), "*")
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// exact returns the name of an image, and "" for a match of several.
func exact(repository string) string {
	if strings.Contains(repository, "*") {
		return ""
	}
	return repository
}

// printResult says what a change came to.
func printResult(w io.Writer, r signing.Result, done string) error {
	b := &strings.Builder{}
	for _, note := range r.Notes {
		fmt.Fprintf(b, "Note: %s\n", note)
	}
	if len(r.Files) == 0 {
		fmt.Fprintln(b, "Nothing to change: it is so already")
	} else {
		fmt.Fprintf(b, "Published %s\n%s\n", strings.Join(r.Files, ", "), done)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
