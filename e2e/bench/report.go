package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is what a run found.
type report struct {
	About   []string  `json:"about"` // the machine and the programs
	Notes   []string  `json:"notes"`
	Demands []verdict `json:"demands"`
	Samples results   `json:"samples"`

	columns []string
	lines   []line
}

// A line of the table is one metric of one row.
type line struct {
	row    string
	metric metric
}

// report sums up the run.
func (b *bench) report(about []string) report {
	r := report{About: about, Notes: b.notes, Samples: b.samples, columns: []string{tagwarden, bareName}}
	for _, t := range b.targets[len(r.columns):] {
		r.columns = append(r.columns, t.name)
	}
	if slices.ContainsFunc(b.samples, func(s sample) bool { return s.Target == direct }) {
		r.columns = append(r.columns, direct)
	}
	var memory []line
	for _, s := range b.sessions() {
		if b.o.only != "" && b.o.only != s.name {
			continue
		}
		for _, row := range s.rows {
			for _, m := range row.metrics {
				r.lines = append(r.lines, line{row.name, m})
			}
		}
		memory = append(memory, line{peakRow(s.name), peakMemory()})
	}
	r.lines = append(r.lines, memory...)
	for _, d := range demands(b.o.quick) {
		r.Demands = append(r.Demands, d.check(b.samples))
	}
	return r
}

// print writes the tables, in Markdown.
func (r report) print(w io.Writer) {
	for _, l := range r.About {
		fmt.Fprintf(w, "* %s\n", l)
	}
	fmt.Fprintf(w, "* medians of %d rounds; in brackets the median ratio to %s of the same round\n", r.Samples.rounds(), bareName)
	for _, l := range r.Notes {
		fmt.Fprintf(w, "* %s\n", l)
	}
	fmt.Fprintf(w, "\n| | | %s |\n|---|---|%s\n", strings.Join(r.columns, " | "), strings.Repeat("---|", len(r.columns)))
	last := ""
	for _, l := range r.lines {
		name := l.row
		if name == last {
			name = ""
		}
		last = l.row
		fmt.Fprintf(w, "| %s | %s |", name, l.metric.name)
		for _, c := range r.columns {
			fmt.Fprintf(w, " %s |", r.Samples.figure(l, c))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n| demand | measured | |\n|---|---|---|\n")
	for _, v := range r.Demands {
		measured := "-"
		if v.Result != notMeasured {
			measured = number(v.Measured)
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", v.Demand, measured, v.Result)
	}
}

// figure is one field of the table.
func (r results) figure(l line, target string) string {
	value, ok := r.median(l.row, target, l.metric)
	if !ok || target == direct && l.metric.kind == cost {
		return "-"
	}
	ratio, ok := r.ratio(l.row, target, bareName, l.metric)
	if !ok || target == bareName || l.metric.kind == count {
		return number(value)
	}
	return fmt.Sprintf("%s (%.2f)", number(value), ratio)
}

// number is a figure to three digits or so.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// save writes everything as JSON.
func (r report) save(file string) error {
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

// describe says what is measured, and on what.
func describe(ctx context.Context, o options) []string {
	load, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	model := "unknown processor"
	for l := range strings.Lines(read("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(l, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	about := []string{
		fmt.Sprintf("%s, %d processors (%s), Linux %s, load before the run %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), model,
			strings.TrimSpace(read("/proc/sys/kernel/osrelease")), load),
		fmt.Sprintf("bare and its clients: %s", runtime.Version()),
	}
	for _, program := range [][]string{{o.tagwarden, "version"}, {nginx, "-v"}, {dockerRegistry, "--version"}} {
		if path, err := find(program[0]); err == nil {
			out, _ := exec.CommandContext(ctx, path, program[1:]...).CombinedOutput()
			first, _, _ := strings.Cut(string(out), "\n")
			about = append(about, first)
		}
	}
	return about
}

// read returns a file of /proc, or nothing: what it says is only told.
func read(file string) string {
	raw, _ := os.ReadFile(file)
	return string(raw)
}
