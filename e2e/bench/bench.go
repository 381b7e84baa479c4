package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

const (
	// cellLimit is how long one target may take for one row; it is then cut, and left out until the next session.
	cellLimit = 90 * time.Second
	// slow is how long it may take and still be asked in the next round.
	slow = 20 * time.Second
	// idleLimit is how long a target may take to come to rest.
	idleLimit = 3 * time.Second
)

// A bench is one run.
type bench struct {
	o         options
	log       io.Writer
	dir       string
	window    time.Duration // of one load
	catalogue *catalogue
	origin    *origin
	site      site
	targets   []target
	certified *tls.Config // of clients over TLS

	samples results
	notes   []string
	skip    map[string]bool // row and target of what was too slow before
	ends    []func()
}

// newBench generates what is served, and starts the origin and the source of trust data. The caller must close it.
func newBench(o options, log io.Writer) (_ *bench, err error) {
	b := &bench{o: o, log: log, window: 1500 * time.Millisecond, skip: make(map[string]bool)}
	s, need := sizes{medium: 64 * mib, large: 1024 * mib, cold: 256 * mib, herd: 64 * mib}, int64(6e9)
	if o.quick {
		b.window, s.large, need = 500*time.Millisecond, 256*mib, 2e9
	}
	if b.targets, b.notes, err = findTargets(o.tagwarden); err != nil {
		return nil, err
	}
	have, err := free(o.dir)
	if err != nil {
		return nil, err
	}
	if have < need {
		return nil, fmt.Errorf("%s: %d MB are free, %d are needed", o.dir, have/1e6, need/1e6)
	}
	if b.dir, err = os.MkdirTemp(o.dir, "tagwarden-bench-*"); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() { os.RemoveAll(b.dir) })
	fmt.Fprintln(log, "bench: generates images and signs their tags")
	b.catalogue = newCatalogue(s)
	if err := b.serve(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// serve starts what stands behind the targets.
func (b *bench) serve() error {
	b.origin = &origin{paths: b.catalogue.paths}
	n := newNotary(b.catalogue.signed, time.Now())
	b.site.rootKey = n.key
	var end func()
	var err error
	if b.site.origin, end, err = serve(b.origin); err != nil {
		return err
	}
	b.ends = append(b.ends, end)
	if b.site.notary, end, err = serve(n); err != nil {
		return err
	}
	b.ends = append(b.ends, end)
	b.certified, err = rig.Certify(filepath.Join(b.dir, "tls.crt"), filepath.Join(b.dir, "tls.key"), time.Now())
	return err
}

// close ends and removes everything.
func (b *bench) close() {
	for _, end := range slices.Backward(b.ends) {
		end()
	}
}

// run measures round after round. What is under way a minute after the budget is cut, and what was measured until then
// counts.
func (b *bench) run(ctx context.Context) error {
	begin, longest := time.Now(), time.Duration(0)
	limited, cancel := context.WithTimeout(ctx, b.o.budget+time.Minute)
	defer cancel()
	for round := range b.o.rounds {
		if time.Since(begin)+longest > b.o.budget {
			b.note("%d of %d rounds fit into %s", round, b.o.rounds, b.o.budget)
			break
		}
		before := time.Now()
		err := b.round(limited, round)
		if ctx.Err() == nil && limited.Err() != nil {
			b.note("round %d was cut, as the machine is too busy for it", round+1)
			break
		}
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case err != nil:
			return err
		}
		longest = max(longest, time.Since(before))
	}
	if len(b.samples) == 0 {
		return errors.New("nothing was measured: no such session, or no time for it")
	}
	return nil
}

// round measures all sessions once.
func (b *bench) round(ctx context.Context, round int) error {
	for _, s := range b.sessions() {
		if b.o.only != "" && b.o.only != s.name {
			continue
		}
		fmt.Fprintf(b.log, "bench: round %d, %s\n", round+1, s.name)
		if err := b.session(ctx, s, round); err != nil {
			return err
		}
	}
	return nil
}

// note adds a line to what the tables do not say, once.
func (b *bench) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !slices.Contains(b.notes, line) {
		b.notes = append(b.notes, line)
		fmt.Fprintln(b.log, "bench:", line)
	}
}

// session starts the targets, measures its rows and ends them.
func (b *bench) session(ctx context.Context, s session, round int) (err error) {
	running := make(map[string]*instance)
	defer func() {
		for _, i := range running {
			err = errors.Join(err, i.stop())
		}
	}()
	for _, t := range b.targets {
		if s.targets != nil && !slices.Contains(s.targets, t.name) {
			continue
		}
		i, err := b.launch(ctx, t, s)
		if err != nil && (ctx.Err() != nil || t.name == tagwarden || t.name == bareName) {
			return err // there is nothing to compare
		}
		if err != nil {
			b.note("%s: left out of the session %s: %v", t.name, s.name, err)
			continue
		}
		running[t.name] = i
	}
	running[direct] = &instance{name: direct, addr: b.site.origin}
	for n, r := range s.rows {
		for _, name := range turns(round+n, r.names()) {
			if running[name] == nil || b.skip[r.name+name] {
				continue
			}
			if !b.cell(ctx, r, running[name], round) {
				err = errors.Join(err, running[name].stop())
				delete(running, name)
			}
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
		}
	}
	return b.peaks(s, running, round)
}

// names are the targets of a row in a fixed order. Direct stands in where the origin is measured too.
func (r row) names() []string {
	if r.targets != nil {
		return r.targets
	}
	all := []string{tagwarden, bareName, nginx, dockerRegistry}
	if r.cold {
		all = append(all, direct)
	}
	return all
}

// turns rotates the order, so that nobody is always the first.
func turns(n int, names []string) []string {
	n %= len(names)
	return slices.Concat(names[n:], names[:n])
}

// launch starts a target and asks for what is to be warm.
func (b *bench) launch(ctx context.Context, t target, s session) (*instance, error) {
	at, secure := b.site, (*tls.Config)(nil)
	at.dir = filepath.Join(b.dir, t.name)
	if s.secure {
		at.certificate, at.keyed, secure = filepath.Join(b.dir, "tls.crt"), filepath.Join(b.dir, "tls.key"), b.certified
	}
	i, err := t.launch(ctx, at, secure)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	if err := once(limited, i, s.warm...); err != nil {
		return nil, errors.Join(fmt.Errorf("warm-up: %w", err), i.stop())
	}
	return i, nil
}
