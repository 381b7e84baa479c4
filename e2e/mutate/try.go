package main

import (
	"context"
	"fmt"
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
	// binaries are the tests of packages, built with all mutants that can be switched.
	binaries map[string]string
}

// newTrial makes the folder in which mutants are written.
func newTrial(timeout time.Duration) (*trial, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	return &trial{dir, timeout, make(map[string]string)}, err
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

// prepare builds the tests of all packages that will be asked, and runs them without any mutant: what fails by itself
// notices nothing.
func (t *trial) prepare(ctx context.Context, all []mutant) error {
	overlay, err := together(t.dir, all)
	if err != nil {
		return err
	}
	for _, m := range all {
		for _, p := range packages(m) {
			if t.binaries[p] != "" {
				continue
			}
			t.binaries[p] = filepath.Join(t.dir, strings.ReplaceAll(p, "/", "_")+".test")
			if out, err := t.command(ctx, ".", "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", t.binaries[p], "./"+p); err != nil {
				return fmt.Errorf("%s does not build with mutants in it: %w\n%s", p, err, out)
			}
			if out, err := t.test(ctx, p, "none"); err != nil {
				return fmt.Errorf("%s fails without any mutant: %w\n%s", p, err, out)
			}
		}
	}
	return ctx.Err()
}

// try tells what became of mutant i, and by whose word.
func (t *trial) try(ctx context.Context, i int, m mutant) (fate, string, error) {
	var single string
	if !m.switched {
		var err error
		if single, err = one(t.dir, m); err != nil {
			return "", "", err
		}
	}
	asked := packages(m)
	for _, p := range asked {
		var out string
		var err error
		if m.switched {
			out, err = t.test(ctx, p, strconv.Itoa(i))
		} else {
			out, err = t.command(ctx, ".", "go", "test", "-count=1", "-vet=off", "-failfast", "-timeout", t.timeout.String(), "-overlay", single, "./"+p)
		}
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		if err == nil {
			continue
		}
		if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
			return broken, firstLine(out), nil
		}
		return killed, p + " " + killer(out), nil
	}
	return survived, "none of " + strings.Join(asked, ", "), nil
}

// test runs the tests of one package until the first fails, with the mutant of that number, and returns what they print.
func (t *trial) test(ctx context.Context, p, number string) (string, error) {
	return t.command(ctx, p, "env", mutantVariable+"="+number, t.binaries[p], "-test.failfast", "-test.paniconexit0", "-test.timeout="+t.timeout.String())
}

// command runs a program in a folder and returns what it prints.
func (t *trial) command(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout+time.Minute)
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

// killer returns the test that failed first.
func killer(out string) string {
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
