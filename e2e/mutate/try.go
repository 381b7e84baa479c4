package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A fate is what became of a mutant.
type fate string

const (
	killed       fate = "killed"
	survived     fate = "SURVIVED"
	broken       fate = "NOT BUILT"
	acceptedFate fate = "accepted"
)

// A trial runs tests on mutants, one at a time.
type trial struct {
	dir     string
	timeout time.Duration
	overlay string // with all mutants that can be switched
	suites  map[string]suite
	known   *killers
}

// newTrial writes the mutants into a folder of their own.
func newTrial(all []mutant, known *killers, timeout time.Duration) (*trial, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	overlay, err := together(dir, all)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &trial{dir, timeout, overlay, make(map[string]suite), known}, nil
}

// close removes the folder.
func (t *trial) close() { os.RemoveAll(t.dir) }

// packages returns the packages that speak for the mutant, its own first, as far as they exist.
func packages(m mutant) []string {
	own := path.Dir(m.file)
	return slices.DeleteFunc(append([]string{own}, provers[own]...), func(p string) bool {
		tests, err := filepath.Glob(filepath.Join(filepath.FromSlash(p), "*_test.go"))
		return err != nil || len(tests) == 0
	})
}

// try tells what became of mutant i, and by whose word.
func (t *trial) try(ctx context.Context, i int, m mutant) (fate, string, error) {
	before, again := t.known.of(m)
	if before.Package != "" && !again {
		return killed, before.String() + ", as before", nil
	}
	var single string
	if !m.switched {
		var err error
		if single, err = one(t.dir, m); err != nil {
			return "", "", err
		}
	}
	asked := packages(m)
	for _, q := range first(asked, before) {
		if f, by, err := t.ask(ctx, i, m, single, q); f != survived || err != nil {
			return f, by, err
		}
	}
	rest, err := t.slow(ctx, asked)
	if err != nil {
		return "", "", err
	}
	for _, q := range rest {
		if f, by, err := t.ask(ctx, i, m, single, q); f != survived || err != nil {
			return f, by, err
		}
	}
	return survived, "none of " + strings.Join(asked, ", "), nil
}

// ask asks one question about mutant i, of which single is the overlay if it cannot be switched.
func (t *trial) ask(ctx context.Context, i int, m mutant, single string, q question) (fate, string, error) {
	s, err := t.suite(ctx, q.of)
	if err != nil {
		return "", "", err
	}
	var out string
	if m.switched {
		out, err = t.command(ctx, t.timeout+time.Minute, q.of, s.arguments(q, strconv.Itoa(i), t.timeout)...)
	} else {
		args := append([]string{"go", "test", "-count=1", "-vet=off", "-overlay", single}, s.flags(q, t.timeout, "-")...)
		out, err = t.command(ctx, t.timeout+time.Minute, ".", append(args, "./"+q.of)...)
	}
	switch {
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case err == nil:
		return survived, "", nil
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return broken, firstLine(out), nil
	}
	by := killer{Package: q.of, Test: failed(out)}
	return killed, by.String(), t.known.add(m, by)
}

// command runs a program in a folder, for so long at most, and returns what it prints.
func (t *trial) command(ctx context.Context, most time.Duration, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.FromSlash(dir)
	// Tests start processes of their own; all of them go when the time is over.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	failPattern  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	hangPattern  = regexp.MustCompile(`(?s)panic: test timed out after .*?running tests:\s+(\S+)`)
	panicPattern = regexp.MustCompile(`(?m)^(panic|fatal error): .*$`)
)

// failed returns the test that failed first.
func failed(out string) string {
	if m := hangPattern.FindStringSubmatch(out); m != nil {
		return m[1] + ", which hangs"
	}
	if all := failPattern.FindAllStringSubmatch(out, -1); all != nil {
		return all[len(all)-1][1]
	}
	if s := panicPattern.FindString(out); s != "" {
		return s
	}
	return firstLine(out)
}

// firstLine returns the first line that is no heading.
func firstLine(out string) string {
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return "nothing that it printed"
}
