package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// soon is how long a test takes at most that is asked before others.
const soon = 200 * time.Millisecond

// A suite is the tests of one package, built with all mutants that can be switched.
type suite struct {
	binary string
	quick  string        // the expression that only tests match that are done soon
	took   time.Duration // without any mutant
}

// A question is some of the tests of a package.
type question struct {
	of   string
	part part
	test string // for single
}

// A part is which tests of a package are asked.
type part int

const (
	single part = iota
	quick
	slow
)

// questions returns what the packages are asked about a mutant: the test that noticed it before, then the quick tests of
// all, then the others of all.
func questions(packages []string, before killer) []question {
	var all []question
	for _, p := range packages {
		if p == before.Package && before.named() {
			all = append(all, question{p, single, before.Test})
		}
	}
	for _, p := range packages {
		all = append(all, question{of: p, part: quick})
	}
	for _, p := range packages {
		all = append(all, question{of: p, part: slow})
	}
	return all
}

// suite returns the tests of a package. When they are asked for the first time they are built, and run without any mutant:
// what fails by itself notices nothing.
func (t *trial) suite(ctx context.Context, p string) (suite, error) {
	if s, ok := t.suites[p]; ok {
		return s, nil
	}
	s := suite{binary: filepath.Join(t.dir, strings.ReplaceAll(p, "/", "_")+".test")}
	if out, err := t.command(ctx, ".", "go", "test", "-c", "-vet=off", "-overlay", t.overlay, "-o", s.binary, "./"+p); err != nil {
		return s, fmt.Errorf("%s does not build with mutants in it: %w\n%s", p, err, out)
	}
	begin := time.Now()
	out, err := t.command(ctx, p, "env", mutantVariable+"=none", s.binary, "-test.v", "-test.timeout="+t.timeout.String())
	if err != nil {
		return s, fmt.Errorf("%s fails without any mutant: %w\n%s", p, err, chatter.ReplaceAllString(out, ""))
	}
	s.took, s.quick = time.Since(begin), quickTests(out)
	t.suites[p] = s
	return s, nil
}

var passPattern = regexp.MustCompile(`(?m)^--- PASS: (\S+) \(([0-9.]+s)\)`)

// chatter is what tests print when nothing is wrong.
var chatter = regexp.MustCompile(`(?m)^(=== |\s*--- PASS: ).*\n`)

// quickTests returns the expression of the tests that were done soon.
func quickTests(out string) string {
	var names []string
	for _, m := range passPattern.FindAllStringSubmatch(out, -1) {
		if d, err := time.ParseDuration(m[2]); err == nil && d <= soon {
			names = append(names, m[1])
		}
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// arguments returns the command line that asks the question about the mutant of that number.
func (s suite) arguments(q question, number string, most time.Duration) []string {
	return append([]string{"env", mutantVariable + "=" + number, s.binary, "-test.paniconexit0"}, s.flags(q, most, "-test.")...)
}

// flags returns the flags of a question. A mutant may hang, so its time is a small multiple of what all tests take without.
func (s suite) flags(q question, most time.Duration, prefix string) []string {
	all := []string{prefix + "failfast", prefix + "timeout=" + min(most, 15*time.Second+4*s.took).String()}
	switch q.part {
	case single:
		return append(all, prefix+"run="+exactly(q.test))
	case quick:
		return append(all, prefix+"run="+s.quick)
	}
	return append(all, prefix+"skip="+s.quick)
}

// exactly returns the expression that only this test matches, or this row of one.
func exactly(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
