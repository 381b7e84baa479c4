package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// An acceptance is the mutants that may survive, by their keys, with the reasons.
type acceptance map[string]string

// readAccepted reads a file of entries: the key of a mutant in one line, and below it, indented, why no test can notice
// it. Lines that begin with # say what they like.
func readAccepted(file string) (acceptance, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	a := make(acceptance)
	key := ""
	for i, line := range strings.Split(string(data), "\n") {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || line[0] == '#':
		case line[0] != ' ' && line[0] != '\t':
			if _, twice := a[text]; twice {
				return nil, fmt.Errorf("%s:%d: the mutant is there twice", file, i+1)
			}
			key, a[text] = text, ""
		case key == "":
			return nil, fmt.Errorf("%s:%d: a reason for nothing", file, i+1)
		default:
			a[key] = strings.TrimSpace(a[key] + " " + text)
		}
	}
	for key, reason := range a {
		if reason == "" {
			return nil, fmt.Errorf("%s: %s: no reason", file, key)
		}
	}
	return a, nil
}

// stale returns an error if entries that were wanted have no mutant any more.
func (a acceptance) stale(all []mutant, o options) error {
	var gone []string
	for key := range a {
		if o.wants(key) && !slices.ContainsFunc(all, func(m mutant) bool { return m.key() == key }) {
			gone = append(gone, key)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	return fmt.Errorf("accepted, but there is no such mutant:\n%s", strings.Join(gone, "\n"))
}
