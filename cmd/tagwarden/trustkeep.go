package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/trust/signing"
)

func trustRevokeCommand(f *trustFlags) *cobra.Command {
	var yes bool
	var signer string
	c := &cobra.Command{
		Use:   "revoke [OPTIONS] IMAGE[:TAG]",
		Short: "Remove trust for an image",
		Args:  exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := f.load(c)
			if err != nil {
				return err
			}
			n, err := imageName(cfg, args[0])
			if err != nil {
				return err
			}
			site, err := f.open(c, cfg, n.Repository)
			if err != nil {
				return err
			}
			if n.Tag == "" {
				if err := confirm(c, yes, fmt.Sprintf("Please confirm you would like to delete all signature data for %s?", n)); err != nil {
					return err
				}
			}
			var gone []signing.Tag
			result, err := site.Change(c.Context(), func(e *signing.Edit) error {
				var err error
				gone, err = e.Revoke(n, signer)
				return err
			})
			if err != nil {
				return err
			}
			done := make([]string, len(gone))
			for i, t := range gone {
				done[i] = fmt.Sprintf("Successfully deleted signature for %s, which was %s", t.Name, t.Target.Digest)
			}
			return printResult(c.OutOrStdout(), result, strings.Join(done, "\n"))
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	c.Flags().StringVar(&signer, "signer", "", "remove what this signer `NAME` said only")
	return c
}

func trustRotateCommand(f *trustFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate ROLE",
		Short: "Replace the keys of a role by fresh ones: root, targets, snapshot, timestamp, or a signer",
		Args:  exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			role := args[0]
			switch role {
			case "root", "targets", "snapshot", "timestamp":
			default:
				if err := signerName(role); err != nil {
					return err
				}
			}
			cfg, err := f.load(c)
			if err != nil {
				return err
			}
			site, err := f.open(c, cfg)
			if err != nil {
				return err
			}
			var keys []string
			result, err := site.Change(c.Context(), func(e *signing.Edit) error {
				if err := e.Rotate(role); err != nil {
					return err
				}
				keys = keysOf(e.View(), role)
				return nil
			})
			if err != nil {
				return err
			}
			return printResult(c.OutOrStdout(), result, fmt.Sprintf("Successfully rotated %s, now with key %s: back it up", role, strings.Join(keys, ", ")))
		},
	}
}

// keysOf returns the ids of a role's keys.
func keysOf(v *signing.View, role string) []string {
	for _, r := range append(v.Administrative(), v.Signers("")...) {
		if r.Name == role {
			return r.Keys
		}
	}
	return nil
}

func trustRenewCommand(f *trustFlags) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "renew",
		Short: "Sign what will expire soon anew, with the keys at hand",
		Long: "Sign what has less than a third of its validity left anew, with the keys at hand. A gateway that publishes renews\n" +
			"snapshot and timestamp by itself; without one, run this more often than the timestamp lives.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.load(c)
			if err != nil {
				return err
			}
			site, err := f.open(c, cfg)
			if err != nil {
				return err
			}
			var roles []string
			result, err := site.Change(c.Context(), func(e *signing.Edit) error {
				var err error
				roles, err = e.Renew(all)
				return err
			})
			if err != nil {
				return err
			}
			if err := printResult(c.OutOrStdout(), result, "Successfully renewed "+strings.Join(append(roles, "snapshot, timestamp"), ", ")); err != nil {
				return err
			}
			if len(result.Notes) > 0 {
				return errors.New("trust renew: not everything that is due could be renewed: the notes say what is missing")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "everything, whether it expires soon or not")
	return c
}
