package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// patience is how long a package may take to build, and its tests without any mutant: the machine may be busy.
const patience = 15 * time.Minute

// soon is how long a test takes at most that is asked before others.
const soon = 200 * time.Millisecond

// A suite is the tests of one package, built with all mutants that can be switched.
type suite struct {
	binary string
	quick  string        // the expression that only tests match that are done soon
	slow   []slowTest    // the others
	took   time.Duration // of all, without any mutant
}

// A slowTest is one that is asked by itself.
type slowTest struct {
	name string
	took time.Duration
}

// A question is one test of a package, or all its quick ones where no test is named.
type question struct{ of, test string }

// first returns what the packages are asked about a mutant at first: the test that noticed it before, then the quick tests
// of all.
func first(packages []string, before killer) []question {
	var all []question
	for _, p := range packages {
		if p == before.Package && before.named() {
			all = append(all, question{p, before.Test})
		}
	}
	for _, p := range packages {
		all = append(all, question{of: p})
	}
	return all
}

// slow returns what the packages are asked then: their slow tests, one after the other. Those that have noticed most mutants
// so far come first, then those that take less time.
func (t *trial) slow(ctx context.Context, packages []string) ([]question, error) {
	type weighed struct {
		question
		kills int
		took  time.Duration
	}
	var tests []weighed
	for _, p := range packages {
		s, err := t.suite(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, one := range s.slow {
			tests = append(tests, weighed{question{p, one.name}, t.known.kills(p, one.name), one.took})
		}
	}
	slices.SortStableFunc(tests, func(a, b weighed) int { return cmp.Or(cmp.Compare(b.kills, a.kills), cmp.Compare(a.took, b.took)) })
	all := make([]question, len(tests))
	for i, w := range tests {
		all[i] = w.question
	}
	return all, nil
}

// suite returns the tests of a package. When they are asked for the first time they are built, and run without any mutant:
// what fails by itself notices nothing.
func (t *trial) suite(ctx context.Context, p string) (suite, error) {
	if s, ok := t.suites[p]; ok {
		return s, nil
	}
	s := suite{binary: filepath.Join(t.dir, strings.ReplaceAll(p, "/", "_")+".test")}
	if out, err := t.command(ctx, patience, ".", "go", "test", "-c", "-vet=off", "-overlay", t.overlay, "-o", s.binary, "./"+p); err != nil {
		return s, fmt.Errorf("%s does not build with mutants in it: %w\n%s", p, err, out)
	}
	begin := time.Now()
	out, err := t.command(ctx, patience, p, "env", mutantVariable+"=none", s.binary, "-test.v", "-test.timeout="+patience.String())
	if err != nil {
		return s, fmt.Errorf("%s fails without any mutant: %w\n%s", p, err, chatter.ReplaceAllString(out, ""))
	}
	s.took = time.Since(begin)
	s.quick, s.slow = sorted(out)
	t.suites[p] = s
	return s, nil
}

// chatter is what tests print when nothing is wrong.
var chatter = regexp.MustCompile(`(?m)^(=== |\s*--- PASS: ).*\n`)

var passPattern = regexp.MustCompile(`(?m)^--- PASS: (\S+) \(([0-9.]+s)\)`)

// sorted returns the expression of the tests that were done soon, and the others.
func sorted(out string) (quick string, slow []slowTest) {
	var names []string
	for _, m := range passPattern.FindAllStringSubmatch(out, -1) {
		if d, err := time.ParseDuration(m[2]); err == nil && d > soon {
			slow = append(slow, slowTest{m[1], d})
			continue
		}
		names = append(names, m[1])
	}
	return "^(" + strings.Join(names, "|") + ")$", slow
}

// arguments returns the command line that asks the question about the mutant of that number.
func (s suite) arguments(q question, number string, most time.Duration) []string {
	return append([]string{"env", mutantVariable + "=" + number, s.binary, "-test.paniconexit0"}, s.flags(q, most, "-test.")...)
}

// flags returns the flags of a question. A mutant may hang, so its time is a small multiple of what all tests take without.
func (s suite) flags(q question, most time.Duration, prefix string) []string {
	all := []string{prefix + "failfast", prefix + "timeout=" + min(most, 15*time.Second+4*s.took).String()}
	if q.test == "" {
		return append(all, prefix+"run="+s.quick)
	}
	return append(all, prefix+"run="+exactly(q.test))
}

// exactly returns the expression that only this test matches, or this row of one.
func exactly(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
