package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
)

func checkCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration: every problem at once, with file, line and column",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			// What the named files hold is part of the configuration; nothing is asked over the network.
			if _, err := newTrust(cfg, trustOptions{}); err != nil {
				return err
			}
			if _, err := newRegistries(cfg, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d rules, %d sources, %d registries\n", *file, len(cfg.Rules), len(cfg.Sources), len(cfg.KnownRegistries()))
			return err
		},
	}
}

// load reads the configuration. Problems go to stderr, one a line.
func load(file string, stderr interface{ Write([]byte) (int, error) }) (*config.Config, error) {
	cfg, err := config.Load(file)
	if problems, ok := err.(config.Problems); ok {
		fmt.Fprintln(stderr, problems)
		return nil, errSaid
	}
	return cfg, err
}
