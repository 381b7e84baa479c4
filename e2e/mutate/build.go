package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mutantVariable is the environment variable that says which mutant is tried, by its number.
const mutantVariable = "TAGWARDEN_MUTANT"

// switchFile is what a package of mutants is given beside its own files.
const switchFile = `package %s

import "os"

var mutantTried = os.Getenv(%q)

func isMutant(n string) bool { return n == mutantTried }
`

// apply returns the source with the edits of mutants. What word returns for the index of a mutant stands in for isMutant.
// Edits may touch and enclose each other; they do not cross.
func apply(source []byte, mutants []mutant, word func(i int) string) []byte {
	type placed struct {
		edit
		mutant, width int // width is how much the mutant's edits enclose
		end           bool
	}
	var all []placed
	for i, m := range mutants {
		first, last := m.edits[0], m.edits[len(m.edits)-1]
		for k, e := range m.edits {
			e.text = strings.ReplaceAll(e.text, isMutant, word(i))
			all = append(all, placed{e, i, last.to - first.from, k > 0})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		switch {
		case a.from != b.from:
			return cmp.Compare(a.from, b.from)
		case a.end != b.end: // what ends here ends before anything begins
			if a.end {
				return -1
			}
			return 1
		case a.end:
			return cmp.Or(cmp.Compare(a.width, b.width), cmp.Compare(b.mutant, a.mutant))
		}
		return cmp.Or(cmp.Compare(b.width, a.width), cmp.Compare(a.mutant, b.mutant))
	})
	var out []byte
	at := 0
	for _, e := range all {
		out = append(append(out, source[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, source[at:]...)
}

// An overlay is what go reads in place of files of the module.
type overlay struct {
	dir     string
	Replace map[string]string
}

// put makes go read data in place of the file.
func (o *overlay) put(file string, data []byte) error {
	original, err := filepath.Abs(filepath.FromSlash(file))
	if err != nil {
		return err
	}
	copied := filepath.Join(o.dir, strings.ReplaceAll(file, "/", "_"))
	o.Replace[original] = copied
	return os.WriteFile(copied, data, 0o600)
}

// write writes the overlay and returns its name.
func (o *overlay) write() (string, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	name := filepath.Join(o.dir, "overlay.json")
	return name, os.WriteFile(name, data, 0o600)
}

// one returns the overlay of a single mutant. It is in a folder of its own: suites are built later by the other overlay.
func one(dir string, m mutant) (string, error) {
	source, err := os.ReadFile(filepath.FromSlash(m.file))
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "one")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	o := &overlay{dir, make(map[string]string)}
	if err := o.put(m.file, apply(source, []mutant{m}, func(int) string { return "true" })); err != nil {
		return "", err
	}
	return o.write()
}

// together returns the overlay in which all mutants that can be switched are there at once, none of them tried unless
// mutantVariable names it by its index.
func together(dir string, all []mutant) (string, error) {
	o := &overlay{dir, make(map[string]string)}
	byFile := make(map[string][]int)
	for i, m := range all {
		if m.switched {
			byFile[m.file] = append(byFile[m.file], i)
		}
	}
	for file, indices := range byFile {
		source, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			return "", err
		}
		var here []mutant
		for _, i := range indices {
			here = append(here, all[i])
		}
		source = apply(source, here, func(i int) string { return fmt.Sprintf("isMutant(%q)", fmt.Sprint(indices[i])) })
		f, err := parser.ParseFile(token.NewFileSet(), file, source, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		if err := o.put(file, source); err != nil {
			return "", err
		}
		if err := o.put(path.Join(path.Dir(file), "zz_mutant.go"), switchSource(f.Name)); err != nil {
			return "", err
		}
	}
	return o.write()
}

// switchSource returns switchFile for a package.
func switchSource(name *ast.Ident) []byte {
	return fmt.Appendf(nil, switchFile, name.Name, mutantVariable)
}
