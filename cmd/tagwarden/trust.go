package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust/signing"
)

// trustFlags are what all trust commands have in common.
type trustFlags struct {
	config string // the configuration file
	given  bool   // it was named on the command line, and must exist
	trust  string // folder or address of the repository; "" for the one of the configuration
	root   string // file of the pinned root; only with trust
	ca     string // file of certificates; only with trust
	keys   string // folder of private keys
	fd     int    // where passphrases are read from; -1 for nowhere
	pass   *passphrases
}

// trustCommand returns the commands that sign. Their words are those of docker trust.
func trustCommand(config *string) *cobra.Command {
	f := &trustFlags{}
	c := &cobra.Command{
		Use:   "trust",
		Short: "Sign tags, and say who may: the words of docker trust, for a TUF 1.0 repository",
		Long: "Sign tags, and say who may: the words of docker trust, for a TUF 1.0 repository.\n\n" +
			"The repository is the one of --trust; else the source of the rule that governs the image; else the only TUF source of\n" +
			"the configuration; else the folder ./trust.\n\n" +
			"Passphrases come from --passphrase-fd, TAGWARDEN_ROOT_PASSPHRASE and TAGWARDEN_REPOSITORY_PASSPHRASE, or a prompt.",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error { return missingWord("trust", args) },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			f.config, f.given = *config, c.Flags().Changed("config")
			if f.trust == "" && (f.root != "" || f.ca != "") {
				return usageError{errors.New("trust: --root and --ca go with --trust")}
			}
			return nil
		},
	}
	flags := c.PersistentFlags()
	flags.StringVar(&f.trust, "trust", "", "the repository: a `FOLDER`, or the address at which a gateway publishes it")
	flags.StringVar(&f.root, "root", "", "with --trust: the root `FILE` that gateways pin; required for an address")
	flags.StringVar(&f.ca, "ca", "", "with --trust: a `FILE` of certificates that the server's may be signed by")
	flags.StringVar(&f.keys, "keys", "", "`FOLDER` of private keys (default ~/.tagwarden/keys)")
	flags.IntVar(&f.fd, "passphrase-fd", -1, "read passphrases from file descriptor `N`: the first line for all keys, a second one for root keys")
	c.AddCommand(trustInitCommand(f), trustKeyCommand(f), trustSignerCommand(f))
	c.AddCommand(trustSignCommand(f), trustRevokeCommand(f), trustInspectCommand(f), trustRotateCommand(f), trustRenewCommand(f))
	return c
}

// missingWord is the error of a command that does nothing by itself.
func missingWord(command string, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s: unknown command %.80q", command, args[0])}
	}
	return usageError{fmt.Errorf("%s: a command is missing", command)}
}

// checked returns the check of arguments as one of usage.
func checked(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%s: %w", c.Name(), err)}
		}
		return nil
	}
}

func trustInitCommand(f *trustFlags) *cobra.Command {
	o := signing.InitOptions{RootKeys: 1, RootThreshold: 1}
	var expires []string
	algorithm := algorithms[0]
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a repository, by default in ./trust, and its keys",
		Args:  checked(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if f.trust != "" {
				return usageError{errors.New("trust init: the folder is an argument, and not --trust")}
			}
			o.Dir = "trust"
			if len(args) > 0 {
				o.Dir = args[0]
			}
			var err error
			if o.Algorithm, err = parseAlgorithm(algorithm); err != nil {
				return usageError{fmt.Errorf("trust init: %w", err)}
			}
			if err := setExpiry(&o.Expiry, expires); err != nil {
				return usageError{fmt.Errorf("trust init: %w", err)}
			}
			if o.RootKeys < 1 || o.RootThreshold < 1 || o.RootThreshold > o.RootKeys {
				return usageError{fmt.Errorf("trust init: --root-threshold %d of --root-keys %d: at least 1, and no more than there are", o.RootThreshold, o.RootKeys)}
			}
			if o.Keys, err = f.keychain(c, ""); err != nil {
				return err
			}
			if file := f.publisherOf(o.Dir); file != "" {
				o.Online = passphraseIn(file)
			}
			made, err := signing.Init(o)
			if err != nil {
				return err
			}
			return printCreated(c.OutOrStdout(), made, o)
		},
	}
	c.Flags().IntVar(&o.RootKeys, "root-keys", o.RootKeys, "how many root keys are made, 1 to 16")
	c.Flags().IntVar(&o.RootThreshold, "root-threshold", o.RootThreshold, "how many of them must sign")
	c.Flags().StringArrayVar(&expires, "expires", nil,
		"`ROLE=DURATION` for which fresh files are valid, as timestamp=1d; ROLE is root, targets, signers, snapshot or timestamp; may be repeated")
	c.Flags().StringVar(&algorithm, "algorithm", algorithm, "of the keys: "+strings.Join(algorithms, " or "))
	return c
}

// publisherOf returns the file with the passphrase that a gateway will open the publisher's keys with, if the configuration
// says that it publishes the repository in the folder. A configuration that is not there, or not right yet, says nothing.
func (f *trustFlags) publisherOf(dir string) string {
	cfg, err := config.LoadWith(f.config, config.Options{Unmade: true})
	if err != nil {
		return ""
	}
	return onlinePassphrase(cfg, dir)
}

// algorithms are the words for kinds of keys, by their signing.Algorithm.
var algorithms = []string{signing.Ed25519: "ed25519", signing.ECDSA: "ecdsa"}

// parseAlgorithm reads the word for a kind of keys.
func parseAlgorithm(s string) (signing.Algorithm, error) {
	for i, a := range algorithms {
		if a == s {
			return signing.Algorithm(i), nil
		}
	}
	return 0, fmt.Errorf("--algorithm %.80q: %s", s, strings.Join(algorithms, " or "))
}

// setExpiry reads what --expires says.
func setExpiry(e *signing.Expiry, all []string) error {
	for _, s := range all {
		role, text, ok := strings.Cut(s, "=")
		d, err := parseDays(text)
		if !ok || err != nil {
			return fmt.Errorf("--expires %.80q: write ROLE=DURATION, as timestamp=1d or root=8760h", s)
		}
		if err := e.Set(role, d); err != nil {
			return fmt.Errorf("--expires %.80q: %w", s, err)
		}
	}
	return nil
}

// parseDays reads a duration of whole days, as 365d, or one of Go.
func parseDays(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// printCreated says what was made, and what must not be lost.
func printCreated(w io.Writer, made signing.Created, o signing.InitOptions) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "Successfully initialized %s\n\n", made.Metadata)
	fmt.Fprintf(b, "Root keys, %d of %d must sign. Copy each to a medium of its own that is kept off line, and then delete it here:\n", o.RootThreshold, o.RootKeys)
	for _, file := range made.RootKeys {
		fmt.Fprintf(b, "  %s\n", file)
	}
	fmt.Fprintf(b, "Targets key, which adds and removes signers. Back it up:\n  %s\n", made.TargetsKey)
	fmt.Fprintf(b, "Keys of the publisher, which keep the repository fresh and sign no tag. Never publish this folder:\n  %s\n", made.Online)
	fmt.Fprintf(b, "Gateways pin, and keep for ever:\n  %s\n", made.Root)
	_, err := io.WriteString(w, b.String())
	return err
}
