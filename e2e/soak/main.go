// Soak runs the real gateway under load while everything around it breaks, and requires that no answer is wrong.
//
// Behind the gateway are a registry, a Notary server and a TUF repository, which refuse, flap, hang, drip, limit, truncate,
// corrupt and start anew, while tags are signed, signed anew and taken back; sometimes the sources lie. In front are clients
// of every manner. The gateway is reloaded, and killed twice. Each answer is held against what it may be at that moment:
//
//   - a tag is what was signed, from when that was published until the gateway has had the time to see its successor, which
//     it has whenever the source answers; and never falls back behind what was answered before, whatever happened since;
//   - a tag that nobody signed is refused, though the registry has it and a stranger has signed it;
//   - what is signed and was fetched is answered at once, whatever is broken, and never with an error;
//   - content that arrives complete has its digest;
//   - a connection breaks only while the gateway is down.
//
// Afterwards the gateway holds no more goroutines, descriptors and memory than before, each decision is in the audit log
// once, and answers under way finish when it is told to end. The exit status is 1 when a promise does not hold.
//
// It uses loopback alone and runs on Linux, which has /proc and the addresses that clients come from.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// spare is how much longer than its load a run may take.
const spare = 5 * time.Minute

func main() {
	if err := command(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// command runs a soak in a folder that goes away with it.
func command(args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.duration+spare)
	defer cancel()
	dir, err := os.MkdirTemp("", "tagwarden-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := run(ctx, o, dir)
	if err != nil {
		return err
	}
	s.report(out)
	return s.verdict()
}

// parse reads the command line.
func parse(args []string) (options, error) {
	// Trust data that was in use goes on being refreshed after the load, over connections that are kept: of one the gateway has
	// two goroutines and a descriptor.
	o := options{limits: limits{stalled: 0.2, resident: 512 << 20, heap: 96 << 20, goroutines: 16, descriptors: 8}}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.StringVar(&o.binary, "tagwarden", "bin/tagwarden", "the `file` to run")
	flags.DurationVar(&o.duration, "for", 10*time.Minute, "how long the load lasts")
	flags.IntVar(&o.clients, "clients", 500, "how many ask at a time")
	flags.Float64Var(&o.rate, "rate", 600, "how many requests a second all of them send")
	flags.Uint64Var(&o.seed, "seed", 1, "of all that is random")
	flags.DurationVar(&o.limits.calm, "calm", 500*time.Millisecond, "how long 99 % of warm tags may take")
	flags.DurationVar(&o.limits.rough, "rough", 3*time.Second, "and while their source is broken: an answer waits two seconds for it")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.clients < 1 || o.rate <= 0 || o.duration < 3*time.Second {
		return o, errors.New("usage: soak [options], with a client, a rate and three seconds at least")
	}
	o.climate = climate{10 * time.Second, 25 * time.Second, time.Second, 6 * time.Second}
	if o.duration < time.Minute {
		o.climate = climate{time.Second, 3 * time.Second, 500 * time.Millisecond, 2 * time.Second}
	}
	var err error
	o.binary, err = filepath.Abs(o.binary)
	return o, err
}
