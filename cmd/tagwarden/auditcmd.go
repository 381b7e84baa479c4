package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/audit"
)

// maxBadShown is how many lines that are no decisions are named; the others are counted.
const maxBadShown = 10

func auditCommand(config *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read the audit log: report",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("audit: unknown command %q: report", args[0])}
			}
			return usageError{errors.New("audit: a command is missing: report")}
		},
	}
	c.AddCommand(auditReportCommand(config))
	return c
}

func auditReportCommand(config *string) *cobra.Command {
	var since, output string
	c := &cobra.Command{
		Use:   "report [FILE...]",
		Short: "Show, rule by rule, what was refused and what enforce would refuse or change",
		Long: "Show, rule by rule, what was asked for, what was refused, and what enforce would refuse or change.\n" +
			"FILE is an audit log, \"-\" standard input; without any, it is audit.file of the configuration.",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, files []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("audit report: -o %.80q: text or json", output)}
			}
			from, err := parseSince(since, time.Now())
			if err != nil {
				return usageError{fmt.Errorf("audit report: %w", err)}
			}
			if files, err = auditFiles(files, *config, c.ErrOrStderr()); err != nil {
				return err
			}
			report, err := readAudit(c.Context(), audit.NewTally(from), files, c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			return printReport(c.OutOrStdout(), report, output)
		},
	}
	c.Flags().StringVar(&since, "since", "", "leave out what is older: a `TIME` as 2026-11-22 or 2026-11-22T08:00:00Z, or so long ago as 36h or 7d")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// parseSince reads a time, a day in UTC, or how long ago. Nothing is the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if ago, ok := config.ParseDuration(s); ok && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("--since %.80q: write a time as 2026-11-22 or 2026-11-22T08:00:00Z, or how long ago as 36h or 7d", s)
}

// auditFiles returns the logs to read: those that were named, or the one of the configuration.
func auditFiles(named []string, config string, stderr io.Writer) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	cfg, err := load(config, stderr)
	if err != nil {
		return nil, err
	}
	if cfg.Audit.File == "" {
		return nil, usageError{errors.New("audit report: the configuration has no audit.file: name the files to read")}
	}
	return []string{cfg.Audit.File}, nil
}

// readAudit counts what is in the files. What is no decision is told to stderr, and left out.
func readAudit(ctx context.Context, t *audit.Tally, files []string, stdin io.Reader, stderr io.Writer) (audit.Report, error) {
	shown := 0
	for _, file := range files {
		bad := func(line int, err error) {
			if shown++; shown <= maxBadShown {
				fmt.Fprintf(stderr, "tagwarden: %s:%d: no decision: %.200s\n", safe(file), line, safe(err.Error()))
			}
		}
		if err := readLog(ctx, t, file, stdin, bad); err != nil {
			return audit.Report{}, fmt.Errorf("audit report: %w", err)
		}
	}
	r := t.Report()
	if r.BadLines > 0 {
		fmt.Fprintf(stderr, "tagwarden: audit report: %d of %d lines are no decisions and were left out\n", r.BadLines, r.Lines)
	}
	return r, nil
}

// readLog counts what is in one file.
func readLog(ctx context.Context, t *audit.Tally, file string, stdin io.Reader, bad func(int, error)) error {
	if file == "-" {
		return t.Read(ctx, stdin, bad)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.Read(ctx, f, bad)
}

// safe quotes what a terminal could act upon.
func safe(s string) string {
	if q := fmt.Sprintf("%+q", s); q != `"`+s+`"` {
		return q
	}
	return s
}

// printReport writes the report for people, or as JSON.
func printReport(w io.Writer, r audit.Report, output string) error {
	if output == "json" {
		j := json.NewEncoder(w)
		j.SetIndent("", "  ")
		return j.Encode(r)
	}
	if len(r.Rules) == 0 {
		_, err := fmt.Fprintln(w, "no decisions")
		return err
	}
	for i, rule := range r.Rules {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printRule(w, rule); err != nil {
			return err
		}
	}
	if r.Cut {
		_, err := fmt.Fprintf(w, "\nThis report is cut: there are more than %d tags, or too many clients. Use --since.\n", audit.MaxTags)
		return err
	}
	return nil
}

// printRule writes what was seen under one rule, and a row for each tag that would break.
func printRule(w io.Writer, r audit.RuleReport) error {
	if r.Rule == "" {
		fmt.Fprintln(w, "no rule")
	} else {
		fmt.Fprintf(w, "rule %s, mode %s\n", r.Rule, r.Mode)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  seen\t%s to %s\n", stamp(r.First), stamp(r.Last))
	fmt.Fprintf(t, "  requests\t%d, %d of them by digest or for a list of tags\n", r.Requests, r.WithoutTag)
	fmt.Fprintf(t, "  verdicts\t%s\n", counts(r.Verdicts))
	if len(r.Reasons) > 0 {
		fmt.Fprintf(t, "  reasons\t%s\n", counts(r.Reasons))
	}
	more := ""
	if r.Clients > len(r.Examples) {
		more = ", ..."
	}
	fmt.Fprintf(t, "  clients\t%d: %s%s\n", r.Clients, strings.Join(r.Examples, ", "), more)
	fmt.Fprintf(t, "  tags\t%d; %s\n", r.Tags, breaks(r))
	if len(r.Breaks) == 0 {
		return t.Flush()
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "  IMAGE:TAG\tVERDICT\tREASON\tREQUESTS\tCLIENTS\tFIRST SEEN\tLAST SEEN")
	for _, b := range r.Breaks {
		fmt.Fprintf(t, "  %s:%s\t%s\t%s\t%d\t%d\t%s\t%s\n", b.Image, b.Tag, b.Verdict, cmp.Or(b.Reason, "-"), b.Requests, b.Clients, stamp(b.First), stamp(b.Last))
	}
	return t.Flush()
}

// breaks says in a line how many of the rule's tags enforce refuses or changes, or would.
func breaks(r audit.RuleReport) string {
	verdicts := make(map[string]int)
	for _, b := range r.Breaks {
		verdicts[b.Verdict]++
	}
	changed := verdicts["would_change"]
	refused := len(r.Breaks) - changed
	s := fmt.Sprintf("refused: %d", refused)
	switch r.Mode {
	case "audit":
		s = fmt.Sprintf("enforce would refuse %d and change %d", refused, changed)
	case "allow":
		s = "nobody was asked whether they are signed: mode audit finds out"
	}
	if r.Recovered > 0 {
		s += fmt.Sprintf("; refused or changed before, but not when last asked for: %d", r.Recovered)
	}
	return s
}

// counts lists what was counted, most first.
func counts(m map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s %d", k, m[k])
	}
	return strings.Join(keys, ", ")
}

// stamp returns a time to the second.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
