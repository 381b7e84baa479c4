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
			return usageError{errors.New("state: reset SOURCE COLLECTION, or reset --clock")}
		},
	}
	c.AddCommand(resetCommand(file))
	return c
}

func resetCommand(file *string) *cobra.Command {
	var why string
	var clock bool
	c := &cobra.Command{
		Use:   "reset SOURCE COLLECTION | reset --clock",
		Short: "Forget what was trusted of one repository, or the floor of the clock; the gateway must not be running",
		Args: func(_ *cobra.Command, args []string) error {
			if clock && len(args) == 0 || !clock && len(args) == 2 {
				return nil
			}
			return usageError{fmt.Errorf("state reset: say either SOURCE and COLLECTION, or --clock; COLLECTION is the name of an image, or %q if SOURCE is one repository for all images", tuf.Whole)}
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if !clock && !isSource(cfg, args[0]) {
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
			if clock {
				err = resetClock(cfg, kept, why, c.OutOrStdout())
			} else {
				err = resetState(cfg, kept, args[0], args[1], why, c.OutOrStdout())
			}
			return errors.Join(err, kept.Close())
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for the audit log; required")
	c.Flags().BoolVar(&clock, "clock", false, "forget the time of the last successful check: the machine's clock was ahead then")
	return c
}

func isSource(cfg *config.Config, name string) bool {
	_, ok := cfg.Sources[name]
	return ok
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
	log, err := openResetLog(cfg, stdout)
	if err != nil {
		return err
	}
	defer log.Close()
	now := time.Now()
	archive, err := kept.Collection(source, name).Reset(now)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state reset: nothing is kept of %s from source %s", collection, source)
	}
	if err != nil {
		return err
	}
	if err := recordReset(log, resetRecord{now.UTC(), "state_reset", source, name, archive, why}); err != nil {
		return fmt.Errorf("%s: forgotten, archived in %s, and not recorded: %w", name, archive, err)
	}
	_, err = fmt.Fprintf(stdout, "%s: forgotten, archived in %s\n", name, archive)
	return err
}

// A clockRecord is the line that the audit log gets.
type clockRecord struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Was   string    `json:"was"` // the floor that was forgotten
	Why   string    `json:"why"`
}

// resetClock forgets the floor of the clock and records it.
func resetClock(cfg *config.Config, kept *state.Store, why string, stdout io.Writer) error {
	log, err := openResetLog(cfg, stdout)
	if err != nil {
		return err
	}
	defer log.Close()
	floor, err := kept.ResetClock()
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("state reset: no floor of the clock is kept")
	}
	if err != nil {
		return err
	}
	was := "damaged"
	if !floor.IsZero() {
		was = floor.UTC().Format(time.RFC3339)
	}
	if err := recordReset(log, clockRecord{time.Now().UTC(), "clock_reset", was, why}); err != nil {
		return fmt.Errorf("clock: forgotten, the floor was %s, and not recorded: %w", was, err)
	}
	_, err = fmt.Fprintf(stdout, "clock: forgotten, the floor was %s\n", was)
	return err
}

// openResetLog opens where resets are recorded, before anything is forgotten: what cannot be recorded is not.
func openResetLog(cfg *config.Config, stdout io.Writer) (io.WriteCloser, error) {
	if cfg.Audit.File == "" {
		return unclosed{stdout}, nil
	}
	f, err := os.OpenFile(cfg.Audit.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return f, nil
}

// An unclosed writer stays open.
type unclosed struct{ io.Writer }

// Close implements io.Closer.
func (unclosed) Close() error { return nil }

// recordReset writes a line into the audit log.
func recordReset(log io.Writer, record any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if _, err := log.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
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
