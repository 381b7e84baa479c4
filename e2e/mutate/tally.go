package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A tally counts what became of mutants, by package. The zero value is empty.
type tally struct{ of map[string]map[fate]int }

// add counts one mutant.
func (t *tally) add(m mutant, f fate) {
	if t.of == nil {
		t.of = make(map[string]map[fate]int)
	}
	for _, p := range []string{path.Dir(m.file), "all"} {
		if t.of[p] == nil {
			t.of[p] = make(map[fate]int)
		}
		t.of[p][f]++
	}
}

// String prints a line for each package, and one for all.
func (t tally) String() string {
	var b strings.Builder
	line := func(p string) {
		n := t.of[p]
		fmt.Fprintf(&b, "%-16s %4d mutants: %d killed, %d accepted, %d survived, %d did not compile\n",
			p, n[killed]+n[acceptedFate]+n[survived]+n[broken], n[killed], n[acceptedFate], n[survived], n[broken])
	}
	for _, p := range slices.Sorted(maps.Keys(t.of)) {
		if p != "all" {
			line(p)
		}
	}
	line("all")
	return b.String()
}
