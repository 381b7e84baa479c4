package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const mib = 1 << 20

// verdict tells which promises did not hold, nil if all did.
func (s *soak) verdict() error {
	var errs []error
	if n := s.tally.wrong(); n > 0 {
		errs = append(errs, fmt.Errorf("%d wrong answers", n))
	}
	for _, p := range s.promises {
		errs = append(errs, errors.New(p))
	}
	if err := s.leaks(); err != nil {
		errs = append(errs, err)
	}
	l := s.o.limits
	for when, limit := range map[trouble]time.Duration{calm: l.calm, rough: l.rough} {
		if p := percentiles(s.tally.took[when], 99)[0]; p > limit {
			errs = append(errs, fmt.Errorf("99 %% of warm tags took up to %s %s, more than %s", p, when, limit))
		}
	}
	if part := s.m.lost().Seconds() / s.o.duration.Seconds(); part > l.stalled {
		errs = append(errs, fmt.Errorf("the machine stalled for %.0f %% of the time: too busy to tell much", 100*part))
	}
	if m := max(s.during.peak, s.after.peak); m > l.resident {
		errs = append(errs, fmt.Errorf("%d MiB of resident memory, more than %d", m/mib, l.resident/mib))
	}
	return errors.Join(errs...)
}

// report prints what happened.
func (s *soak) report(out io.Writer) {
	t := s.tally
	fmt.Fprintf(out, "%d clients, %s, seed %d: %d requests, %d MiB, %d wrong answers\n\n", s.o.clients, s.o.duration, s.o.seed, t.total(), t.bytes/mib, t.wrong())
	for _, name := range t.names() {
		c := t.kinds[name]
		fmt.Fprintf(out, "%-26s %8d  %-40s %d excused, %d wrong\n", name, c.requests, statuses(c.statuses), c.excused, c.wrong)
	}
	fmt.Fprintln(out)
	for when := range troubles {
		p := percentiles(t.took[when], 50, 99, 100)
		fmt.Fprintf(out, "warm tags %-10s %8d  p50 %s, p99 %s, max %s\n", when, len(t.took[when]), round(p[0]), round(p[1]), round(p[2]))
	}
	fmt.Fprintln(out)
	for _, one := range []struct {
		when string
		m    measure
	}{{"before", s.before}, {"at most", s.during}, {"after", s.after}} {
		m := one.m
		fmt.Fprintf(out, "%-8s %5d goroutines, %4d descriptors, %4d MiB resident (peak %d), %3d MiB of heap, %3d MiB cached\n",
			one.when, m.goroutines, m.descriptors, m.resident/mib, m.peak/mib, m.heap/mib, m.cached/mib)
	}
	fmt.Fprintf(out, "drain    %s with %d answers under way\n", round(s.took), lastAnswers)
	fmt.Fprintf(out, "audit    %d lines, %d decisions looked for\n", s.lines, len(t.decisions))
	fmt.Fprintf(out, "world    %d images signed, gateway killed %d times and down for %s, reloaded %d times\n", s.w.images, lives-1, round(s.g.down.length()), lives*reloads)
	fmt.Fprintf(out, "broken   registry for %s, notary for %s, tuf for %s: with stalls, and until all had to be well again\n",
		round(s.w.registry.windows.length()), round(s.w.notary.windows.length()), round(s.w.tuf.windows.length()))
	fmt.Fprintf(out, "machine  stalled %d times, for %s in all\n", len(s.m.stalls.all), round(s.m.lost()))
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.faults[name]))
	}
	fmt.Fprintf(out, "faults   %s\n", strings.Join(faults, ", "))
	for _, line := range t.told {
		fmt.Fprintf(out, "\nwrong: %s\n", line)
	}
}

// statuses lists how often each status came; what broke comes last.
func statuses(all map[int]int) string {
	var words []string
	for _, status := range slices.Sorted(maps.Keys(all)) {
		if status != 0 {
			words = append(words, fmt.Sprintf("%d: %d", status, all[status]))
		}
	}
	if n := all[0]; n > 0 {
		words = append(words, fmt.Sprintf("broke: %d", n))
	}
	return strings.Join(words, "  ")
}

func round(d time.Duration) time.Duration {
	if d > 100*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
