// Command tagwarden is a registry gateway that serves only signed tags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "devel"

// Exit statuses of every command.
const (
	exitFailed = 1 // refused or failed: one line on standard error
	exitUsage  = 2 // the words on the command line are wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs one command and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := commands()
	c.SetArgs(args)
	c.SetOut(stdout)
	c.SetErr(stderr)
	said, err := c.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tagwarden: %v; see \"%s --help\"\n", err, said.CommandPath())
		return exitUsage
	case errors.Is(err, errSaid):
		return exitFailed
	}
	fmt.Fprintf(stderr, "tagwarden: %v\n", err)
	return exitFailed
}

// A usageError is a mistake on the command line.
type usageError struct{ error }

// errSaid ends a command that failed and has already said why.
var errSaid = errors.New("failed")

// commands returns the tree of commands.
func commands() *cobra.Command {
	root := &cobra.Command{
		Use:           "tagwarden",
		Short:         "A registry gateway that serves only signed tags",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return usageError{errors.New("a command is missing")}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	config := root.PersistentFlags().String("config", "tagwarden.yaml", "configuration `file`")
	root.AddCommand(serveCommand(config), checkCommand(config), explainCommand(config), stateCommand(config), versionCommand())
	root.AddCommand(clientCommand(config), auditCommand(config), demoCommand(), initCommand(), trustCommand(config), cacheCommand(config))
	return root
}

// exactly returns the check that a command has n arguments.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s: takes %s, not %d", strings.TrimPrefix(c.CommandPath(), "tagwarden "), count(n, "argument", "arguments"), len(args))}
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "tagwarden", version)
			return err
		},
	}
}
