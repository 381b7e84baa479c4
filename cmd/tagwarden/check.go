package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
)

// onlineTime is how long one question of check --online may take.
const onlineTime = 30 * time.Second

func checkCommand(file *string) *cobra.Command {
	var online bool
	c := &cobra.Command{
		Use:   "check [--online [IMAGE...]]",
		Short: "Validate the configuration: every problem at once, with file, line and column; online: sources, pins and validity",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && !online {
				return usageError{fmt.Errorf("check: images go with --online")}
			}
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			kept, err := state.Open(c.Context(), state.Options{Dir: cfg.State, ReadOnly: true})
			if err != nil {
				return err
			}
			// What the named files hold is part of the configuration; nothing is asked over the network.
			decider, err := newTrust(cfg, trustOptions{state: kept, clock: kept.Clock(time.Now, sinceNow()), observe: func(trust.Event) {}})
			if err != nil {
				return err
			}
			defer decider.close()
			if _, err := newRegistries(cfg, nil); err != nil {
				return err
			}
			if _, err := keyPair(cfg); err != nil {
				return err
			}
			for _, r := range cfg.Rules {
				if !r.Until.IsZero() && !time.Now().Before(r.Until) {
					fmt.Fprintf(c.ErrOrStderr(), "%s: rule %s has ended, its last day was %s: the tags that it matches are refused\n", *file, r.Name, r.Until.Add(-time.Nanosecond).UTC().Format(time.DateOnly))
				}
			}
			if online {
				return checkOnline(c.Context(), cfg, decider, args, c.OutOrStdout())
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: ok, %s, %s, %s\n", *file,
				count(len(cfg.Rules), "rule", "rules"), count(len(cfg.Sources), "source", "sources"), count(len(cfg.KnownRegistries()), "registry", "registries"))
			return err
		},
	}
	c.Flags().BoolVar(&online, "online", false, "ask the sources about the images that the configuration names whole, and the given ones")
	return c
}

// count says how many there are.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// checkOnline asks the sources about images, and prints what a pin on each would be.
func checkOnline(ctx context.Context, cfg *config.Config, decider *trustHalf, images []string, w io.Writer) error {
	asked, err := imagesOf(cfg, images)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		return usageError{fmt.Errorf("check --online: no rule and no pin names an image whole: say which to ask about")}
	}
	bad := false
	for _, repository := range asked {
		rule, ok := decider.Find(repository)
		if !ok || rule.Source == "" {
			bad = true
			fmt.Fprintf(w, "%s: no rule gives it a source\n", repository)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, onlineTime)
		f, err := decider.sources[rule.Source].inspect(ctx, repository)
		cancel()
		bad = printFinding(w, repository, rule.Source, pinOf(cfg.Sources[rule.Source], repository), f, err) || bad
	}
	if bad {
		return errSaid
	}
	return nil
}

// imagesOf returns the full names of the given images, and of those that rules and pins name whole.
func imagesOf(cfg *config.Config, images []string) ([]string, error) {
	all := make(map[string]bool)
	for _, i := range images {
		repository, _, err := locate(cfg, i)
		if err != nil {
			return nil, usageError{fmt.Errorf("check --online: %w", err)}
		}
		all[repository] = true
	}
	whole := func(m names.Match) {
		if s := m.String(); !strings.Contains(s, "*") {
			all[s] = true
		}
	}
	for _, r := range cfg.Rules {
		if r.Source != "" {
			whole(r.Match)
		}
	}
	for _, s := range cfg.Sources {
		for _, p := range s.Pins {
			whole(p.Match)
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// printFinding prints what a source says, and tells whether something is wrong with it.
func printFinding(w io.Writer, repository, source, pin string, f finding, err error) (bad bool) {
	if err != nil {
		fmt.Fprintf(w, "%s: source %s: %v [%s]\n", repository, source, err, trust.ReasonOf(err))
		return true
	}
	fmt.Fprintf(w, "%s: source %s: %s\n", repository, source, count(f.tags, "signed tag", "signed tags"))
	for _, v := range f.versions {
		fmt.Fprintf(w, "    %s v%d, valid until %s, %s left\n", v.Role, v.Version, v.Expires.UTC().Format(time.RFC3339), left(time.Until(v.Expires)))
	}
	if f.refused != nil {
		fmt.Fprintf(w, "    not allowed by the configuration: %v [%s]\n", f.refused, trust.ReasonOf(f.refused))
	}
	if strings.HasPrefix(pin, "root ") {
		fmt.Fprintf(w, "    pinned by %s, keys %s\n", pin, strings.Join(f.keys, ", "))
		return f.refused != nil
	}
	fmt.Fprintf(w, "    a pin on this root, if it is the right one:\n    %q: {keys: [%s]}\n", repository, strings.Join(f.keys, ", "))
	return f.refused != nil
}

// left makes a validity readable.
func left(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}

// load reads the configuration. Problems go to stderr, one a line.
func load(file string, stderr io.Writer) (*config.Config, error) {
	cfg, err := config.Load(file)
	if problems, ok := err.(config.Problems); ok {
		fmt.Fprintln(stderr, problems)
		return nil, errSaid
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: say where the configuration is with --config, or make one with \"tagwarden init\"", err)
	}
	return cfg, err
}
