// Command mutate takes each quoted rule check away, one at a time, and requires that a test notices.
//
// A rule is a comment line "PRODUCT: ...", "DCT: ...", "TUF: ...", "OCI: ...", "HTTP: ..." or "SPEC: ..." in a file that
// is no test. It speaks for the statement or case that it stands above, or for the whole function where it ends
// the function's doc comment; see scopes. What is taken away there, see operators. A mutant is compiled through an overlay,
// so that no file of the checkout is ever changed, and is tried with the tests of its package, then with those of the
// packages in provers: the quick ones of all first. One that no test notices must be in accepted.txt with the reason why that
// is well.
//
// What noticed each mutant is kept in bin/mutate.json. A run that was cut short goes on where it ended, as long as no file
// has changed; when one has, every mutant is tried again, first with the test that noticed it before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// memory is the most bytes of address space of one test process: a mutant may have lost the bound on its own.
const memory = 16 << 30

// provers are the packages whose tests speak for a package beside its own tests, in the order in which they are asked.
var provers = map[string][]string{
	"cache":        {"proxy"},
	"proxy/route":  {"proxy"},
	"trust":        {"trust/dct", "trust/tuf", "proxy"},
	"trust/names":  {"config", "proxy"},
	"trust/state":  {"trust/dct", "trust/tuf"},
	"trust/strict": {"trust/dct", "trust/tuf"},
	"trust/tuf":    {"trust/signing"},
}

// options are what the command line says.
type options struct {
	run, skip *regexp.Regexp // of keys
	list      bool
	kept      string // the file of what earlier runs have learnt
	deadline  time.Time
	timeout   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run does what the command line asks for, in the module whose root is the working directory.
func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	all, err := mutants(".", o)
	if err != nil {
		return err
	}
	accepted, err := readAccepted("e2e/mutate/accepted.txt")
	if err != nil {
		return err
	}
	if o.list {
		for _, m := range all {
			fmt.Println(m)
		}
		return accepted.stale(all, o)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: memory, Max: memory}); err != nil {
		return fmt.Errorf("limit of memory: %w", err)
	}
	left, err := tryAll(ctx, all, accepted, o)
	return errors.Join(err, left, accepted.stale(all, o))
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	only := f.String("run", ".", "try only mutants whose line, from the file on, matches this expression")
	skip := f.String("skip", "^$", "leave out mutants whose line matches this expression")
	minutes := f.Int("max-minutes", 90, "begin no further mutant after so many minutes")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long the tests of one package may take")
	f.StringVar(&o.kept, "kept", "bin/mutate.json", "which test noticed which mutant, from one run to the next")
	f.BoolVar(&o.list, "list", false, "list the mutants and try none")
	err := f.Parse(args)
	if err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q is not wanted", f.Arg(0))
	}
	if o.run, err = regexp.Compile(*only); err != nil {
		return o, err
	}
	o.skip, err = regexp.Compile(*skip)
	o.deadline = time.Now().Add(time.Duration(*minutes) * time.Minute)
	return o, err
}

// wants tells whether the mutant of this key is among those to be tried.
func (o options) wants(key string) bool {
	return o.run.MatchString(key) && !o.skip.MatchString(key)
}

// mutants returns those of the files of the module that are wanted, in the order of the files.
func mutants(root string, o options) ([]mutant, error) {
	var all []mutant
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := filepath.ToSlash(path)
		if d.IsDir() {
			// Packages whose names end in test are for tests.
			if file != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test") || file == "e2e" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found, err := mutate(file, source)
		all = append(all, found...)
		return err
	})
	number(all)
	return slices.DeleteFunc(all, func(m mutant) bool { return !o.wants(m.key()) }), err
}

// number tells mutants apart that are the same words in the same function.
func number(all []mutant) {
	seen := make(map[string]int)
	for i := range all {
		k := all[i].key()
		if seen[k]++; seen[k] > 1 {
			all[i].what += fmt.Sprintf(" (%d)", seen[k])
		}
	}
}

// tryAll tries the mutants one after the other and prints what became of each. The first error is of the run itself, the
// second says which mutants nothing speaks against.
func tryAll(ctx context.Context, all []mutant, accepted acceptance, o options) (survivors, err error) {
	known, err := readKillers(o.kept, ".")
	if err != nil {
		return nil, err
	}
	t, err := newTrial(all, known, o.timeout)
	if err != nil {
		return nil, err
	}
	defer t.close()
	var sums tally
	var lines []string
	for i, m := range all {
		if reason := accepted[m.key()]; reason != "" {
			sums.add(m, acceptedFate)
			fmt.Printf("%-9s %s  because %s\n", acceptedFate, m, reason)
			continue
		}
		if time.Now().After(o.deadline) {
			return nil, fmt.Errorf("out of time: %d of %d mutants were not tried; run it again to go on", len(all)-i, len(all))
		}
		f, by, err := t.try(ctx, i, m)
		if err != nil {
			return nil, err
		}
		sums.add(m, f)
		line := fmt.Sprintf("%-9s %s  by %s", f, m, by)
		fmt.Println(line)
		if f != killed {
			lines = append(lines, line)
		}
	}
	fmt.Print("\n", sums)
	if len(lines) > 0 {
		return fmt.Errorf("no test notices:\n%s", strings.Join(slices.Compact(lines), "\n")), nil
	}
	return nil, nil
}
