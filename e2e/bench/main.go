// Command bench compares tagwarden with a bare server, nginx and docker-registry over one origin.
//
// It generates images, serves them from a registry of its own that counts what it is asked, signs their tags as a
// Notary v1 service does, and puts each target, in a process of its own, in front of that registry. Targets take turns
// within a round, so that what else the machine does meets all of them; what is told are medians over the rounds and
// ratios of the same round. It needs Linux, because what a target costs is read from /proc, and no network: everything
// is on 127.0.0.1. It ends what it started and removes what it wrote, except for the JSON file.
//
// The bare server is the limit that a gateway in Go can reach, and is this same program ("bench bare").
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	tagwarden string        // the binary
	json      string        // where the samples go
	dir       string        // below which everything is written
	quick     bool          // smaller blobs, shorter windows
	rounds    int           // at most
	budget    time.Duration // no round begins that would not end within it
	only      string        // the one session to run
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the whole command. Tables go to stdout, what is under way to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == bareName {
		return serveBare(ctx, args[1:], stderr)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	b, err := newBench(o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	about := describe(ctx, o)
	if err := b.run(ctx); err != nil {
		return err
	}
	r := b.report(about)
	r.print(stdout)
	return r.save(o.json)
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.tagwarden, "tagwarden", "bin/tagwarden", "the binary to measure")
	f.StringVar(&o.json, "json", "bin/bench.json", "file that gets all samples")
	f.StringVar(&o.dir, "dir", os.TempDir(), "folder to work below; needs 6 GB, 2 GB with -quick")
	f.BoolVar(&o.quick, "quick", false, "about 2 minutes: 256 MB instead of 1 GB, short windows, no herd on docker-registry")
	f.IntVar(&o.rounds, "rounds", 0, "rounds to measure; default 5, with -quick 3")
	f.DurationVar(&o.budget, "budget", 0, "begin no round that would end later than this; default 9m, with -quick 2m30s")
	f.StringVar(&o.only, "only", "", "the one session to run: requests, large, tls, cold or herd")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%s: unknown argument", f.Arg(0))
	}
	rounds, budget := 5, 9*time.Minute
	if o.quick {
		rounds, budget = 3, 150*time.Second
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.budget == 0 {
		o.budget = budget
	}
	return o, nil
}
