package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/tuf"
)

func stateCommand(file *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "Supervise what is kept of trust data",
		Args:  cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("state: reset SOURCE COLLECTION")}
		},
	}
	var why string
	reset := &cobra.Command{
		Use:   "reset SOURCE COLLECTION",
		Short: "Archive and forget what was trusted of one repository; the gateway must not be running",
		Args:  exactly(2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if _, ok := cfg.Sources[args[0]]; !ok {
				return usageError{fmt.Errorf("state reset: there is no source %q", args[0])}
			}
			if why == "" {
				return usageError{errors.New("state reset: --reason is missing: what is forgotten here cannot be known again")}
			}
			// Whoever types this does not want to wait for a gateway that nobody has told to end.
			now, cancel := context.WithCancelCause(c.Context())
			cancel(errors.New("nothing was forgotten"))
			kept, err := state.Open(now, state.Options{Dir: cfg.State})
			if err != nil {
				return err
			}
			return errors.Join(resetState(cfg, kept, args[0], args[1], why, c.OutOrStdout()), kept.Close())
		},
	}
	reset.Flags().StringVar(&why, "reason", "", "why, for the audit log; required")
	c.AddCommand(reset)
	return c
}

// A resetRecord is the line that the audit log gets.
type resetRecord struct {
	Time       time.Time `json:"time"`
	Event      string    `json:"event"`
	Source     string    `json:"source"`
	Collection string    `json:"collection"`
	Archive    string    `json:"archive"`
	Why        string    `json:"why"`
}

// resetState archives one collection and records it.
func resetState(cfg *config.Config, kept *state.Store, source, collection, why string, stdout io.Writer) error {
	name, err := keptName(cfg.Sources[source], collection)
	if err != nil {
		return usageError{fmt.Errorf("state reset: %w", err)}
	}
	// The log first: what cannot be recorded is not forgotten.
	w := stdout
	if cfg.Audit.File != "" {
		f, err := os.OpenFile(cfg.Audit.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		defer f.Close()
		w = f
	}
	now := time.Now()
	archive, err := kept.Collection(source, name).Reset(now)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state reset: nothing is kept of %s from source %s", collection, source)
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(resetRecord{now.UTC(), "state_reset", source, name, archive, why})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
		return fmt.Errorf("%s: forgotten, archived in %s, and not recorded: audit: %w", name, archive, err)
	}
	_, err = fmt.Fprintf(stdout, "%s: forgotten, archived in %s\n", name, archive)
	return err
}

// keptName returns the name under which a collection is kept, from what a person calls it.
func keptName(s config.Source, collection string) (string, error) {
	if s.Notary == nil && !s.PerName() {
		if collection != tuf.Whole {
			return "", fmt.Errorf("the source is one repository for all images: COLLECTION is %q", tuf.Whole)
		}
		return tuf.Whole, nil
	}
	repository, err := names.Repository(collection)
	if err != nil {
		return "", fmt.Errorf("COLLECTION is the full name of an image, without tag: %w", err)
	}
	if s.Notary == nil {
		return repository, nil
	}
	return strings.Replace(s.GUN, "{name}", repository, 1), nil
}
