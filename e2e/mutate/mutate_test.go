package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMutants: one row for each operator, with what is mutated and how the mutant reads.
func TestMutants(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         map[string]string // what, and a part of the mutant
	}{
		{"a guard of a refusal, by its alternatives", "// DCT: W1\nfunc f(a, b bool) error {\n if a || b && a { return errX }\n return nil\n}", map[string]string{
			"never: a": "if (!true && (a)) || b", "never: b && a": "a || (!true && (b && a))",
		}},
		{"a guard of success, by its parts", "// DCT: W1\nfunc f(a, b bool) error {\n if a && !b { return nil }\n return errX\n}", map[string]string{
			"always: a": "(true || (a)) &&", "always: !b": "&& (true || (!b))", "no error: errX": "return func() error { err := errX; if !true { return err }; return nil }()",
		}},
		{"a guard of either", "// DCT: W1\nfunc f(a bool) int {\n n := 0\n if a { n = 1 }\n return n\n}", map[string]string{"never: a": "", "always: a": ""}},
		{"a truth value", "// DCT: W1\nfunc f(a, b bool) bool { return a && (b || a) }", map[string]string{
			"always: a": "return (true || (a)) &&", "always: (b || a)": "&& (true || ((b || a)))",
		}},
		{"a rule above one check, and what follows it", "func f(a, b, c bool) error {\n // TUF: 5.3\n x := a && b\n if x { return errX }\n\n // no rule\n if c { return errX }\n return nil\n}", map[string]string{
			"always: a": "", "always: b": "", "never: x": "",
		}},
		{"a rule above a case", "func f(a, b bool) error {\n switch {\n case a:\n  return nil\n // OCI: grammar\n case b:\n  return errX\n }\n return nil\n}", map[string]string{"never: b": "case (!true && (b)):"}},
		{"the nearest rule", "// DCT: W1\nfunc f(a, b bool) error {\n // DCT: W2\n if a { return errX }\n if b { return errX }\n return nil\n}", map[string]string{"never: a": "", "never: b": ""}},
		{"values of a switch", "// DCT: W1\nfunc f(n int) bool {\n switch n {\n case 1, 2, 3:\n  return false\n case 4:\n  return false\n }\n return true\n}", map[string]string{
			"no case: 1": "case 2, 3:", "no case: 2": "case 1, 3:", "no case: 3": "case 1, 2:", "no case: 4": "return false\n \n }",
		}},
		{"a limit", "// PRODUCT: invariant 9\nfunc f() { g(maxThings); g(maxThings+1) }\nfunc g(int) {}", map[string]string{
			"raised: maxThings": "g((maxThings*1024));", "not done: g(maxThings)": "func() { if !true { g(maxThings) } }()", "not done: g(maxThings+1)": "",
		}},
		{"a default", "// PRODUCT: invariant 9\nfunc f(c chan int) bool {\n select {\n case c <- 1:\n  return true\n default:\n  return false\n }\n}", map[string]string{"no default: default: return false": "return true\n \n }"}},
		{"an assignment", "var n int\nfunc f() {\n // PRODUCT: invariant 1\n n = 1\n n = 2\n}", map[string]string{"not done: n = 1": "func() { if !true { n = 1 } }()\n n = 2"}},
		{"two results of a call", "// DCT: W1\nfunc f(a bool) (int, error) {\n return g(a)\n}\nfunc g(bool) (int, error) { return 0, nil }", nil},
		{"no rules", "// OCI: end-3\n// HTTP is a word.\nfunc f(a bool) error {\n if a { return errX }\n return nil\n}", nil},
	} {
		source := "package p\nimport \"errors\"\nconst maxThings = 3\nvar errX = errors.New(\"x\")\n" + c.source + "\n"
		found, err := mutate("p.go", []byte(source))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := make(map[string]bool)
		for _, m := range found {
			got[m.what] = true
			text := string(apply([]byte(source), []mutant{m}, func(int) string { return "true" }))
			if want, ok := c.want[m.what]; !ok {
				t.Errorf("%s: %q was mutated", c.name, m.what)
			} else if !strings.Contains(text, want) && !strings.HasPrefix(m.what, "raised") {
				t.Errorf("%s: %q gives %s", c.name, m.what, text)
			}
			compiles(t, c.name+", "+m.what, text)
		}
		for what := range c.want {
			if !got[what] {
				t.Errorf("%s: no mutant %q of %q", c.name, what, found)
			}
		}
		all := slices.DeleteFunc(found, func(m mutant) bool { return !m.switched })
		compiles(t, c.name+", together", string(apply([]byte(source), all, func(int) string { return "isMutant(\"0\")" }))+"\nfunc isMutant(string) bool { return false }\n")
	}
}

// standard is a package errors that is enough.
type standard struct{}

// Import implements types.Importer.
func (standard) Import(string) (*types.Package, error) {
	p := types.NewPackage("errors", "errors")
	text := types.NewParam(0, p, "", types.Typ[types.String])
	result := types.NewParam(0, p, "", types.Universe.Lookup("error").Type())
	p.Scope().Insert(types.NewFunc(0, p, "New", types.NewSignatureType(nil, nil, nil, types.NewTuple(text), types.NewTuple(result), false)))
	p.MarkComplete()
	return p, nil
}

// compiles fails unless the text is a package.
func compiles(t *testing.T, what, text string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, 0)
	if err == nil {
		_, err = (&types.Config{Importer: standard{}}).Check("p", fset, []*ast.File{f}, nil)
	}
	if err != nil {
		t.Errorf("%s: %v in %s", what, err, text)
	}
}

// TestAccepted: an entry has a reason, stands once, and goes when its mutant does.
func TestAccepted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accepted.txt")
	for text, want := range map[string]string{
		"# words\n\na.go f never: x\n  because of\n  this\n": "",
		"a.go f never: x\n":                      "no reason",
		"  because\n":                            "a reason for nothing",
		"a.go f x\n  y\na.go f x\n  y\n":         "there twice",
		"a.go f never: x\nb.go f y\n  because\n": "no reason",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := readAccepted(file)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err == nil && a["a.go f never: x"] != "because of this" {
			t.Errorf("%q: %q", text, a)
		}
	}
	o, err := parse([]string{"-run", "^a"})
	if err != nil {
		t.Fatal(err)
	}
	a := acceptance{"a.go f never: x": "y", "b.go f never: x": "y"}
	if err := a.stale([]mutant{{file: "a.go", fn: "f", what: "never: x"}}, o); err != nil {
		t.Error(err)
	}
	if err := a.stale(nil, o); err == nil || strings.Contains(err.Error(), "b.go") {
		t.Errorf("%v, want the entry of a.go", err)
	}
}

// TestFailed: whose word it was that a mutant is wrong.
func TestFailed(t *testing.T) {
	for out, want := range map[string]string{
		"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/row_1 (0.00s)\n":       "TestA/row_1",
		"panic: test timed out after 1s\n\trunning tests:\n\t\tTestB (1s)\n": "TestB, which hangs",
		"panic: nil\n\ngoroutine 1":                                          "panic: nil",
		"# pkg\nx.go:1: odd\n":                                               "x.go:1: odd",
		"":                                                                   "nothing that it printed",
	} {
		if got := failed(out); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

// TestQuestions: who noticed before is asked first, then what is quick, then who noticed most, then who takes less time.
func TestQuestions(t *testing.T) {
	a := suite{took: time.Second}
	a.quick, a.slow = sorted("--- PASS: TestA (0.20s)\n    --- PASS: TestA/row (9.00s)\n--- PASS: TestB (0.22s)\n--- PASS: TestC (0.21s)\n--- PASS: FuzzD (0.00s)\n")
	b := suite{quick: "^()$", slow: []slowTest{{"TestB", time.Hour}}, took: time.Second}
	u := trial{suites: map[string]suite{"a": a, "b": b}, known: &killers{by: map[string]killer{"x": {Package: "b", Test: "TestB/row"}}}}
	all := first([]string{"a", "b"}, killer{Package: "b", Test: "TestB/x_(1)"})
	rest, err := u.slow(t.Context(), []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, q := range append(all, rest...) {
		got = append(got, q.of+" "+strings.Join(u.suites[q.of].flags(q, time.Hour, "-"), " "))
	}
	want := []string{
		`b -failfast -timeout=19s -run=^TestB$/^x_\(1\)$`, "a -failfast -timeout=19s -run=^(TestA|FuzzD)$", "b -failfast -timeout=19s -run=^()$",
		"b -failfast -timeout=19s -run=^TestB$", "a -failfast -timeout=19s -run=^TestC$", "a -failfast -timeout=19s -run=^TestB$",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, k := range []killer{{Package: "a", Test: "panic: nil"}, {Package: "gone", Test: "TestA"}} {
		if all := first([]string{"a"}, k); len(all) != 1 {
			t.Errorf("%v is asked: %v", k, all)
		}
	}
}

// TestOverlays: a mutant that is built by itself changes nothing for those that are built together.
func TestOverlays(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	source := []byte("package p\n\nconst maxThings = 3\n\n// PRODUCT: invariant 9\nfunc f(n int) bool { return n < maxThings && g(maxThings) }\n\nfunc g(n int) bool { return n > 0 }\n")
	if err := os.WriteFile("p.go", source, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := mutants(".", options{run: regexp.MustCompile("."), skip: regexp.MustCompile("^$")})
	if err != nil {
		t.Fatal(err)
	}
	read := func(m mutant) string {
		name, err := together(dir, all)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one(dir, m); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(name), "p.go"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(again) + string(text)
	}
	for _, m := range all {
		if text := read(m); !strings.Contains(text, "zz_mutant.go") || !strings.Contains(text, `isMutant("0")`) {
			t.Errorf("after %s: %s", m, text)
		}
	}
	if len(all) < 3 {
		t.Errorf("only %v", all)
	}
}

// TestKillers: what was learnt outlives the run, and holds as long as no file has changed.
func TestKillers(t *testing.T) {
	root, m := t.TempDir(), mutant{file: "a.go", fn: "f", what: "never: x"}
	file := filepath.Join(root, "bin", "kept.json")
	read := func() *killers {
		k, err := readKillers(file, root)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if by, again := read().of(m); by.Package != "" || !again {
		t.Errorf("%v was never seen", by)
	}
	if err := read().add(m, killer{Package: "p", Test: "TestX"}); err != nil {
		t.Fatal(err)
	}
	write("accepted.txt")
	if by, again := read().of(m); by.String() != "p TestX" || again {
		t.Errorf("%v, again %v", by, again)
	}
	write("a.go")
	if by, again := read().of(m); by.String() != "p TestX" || !again {
		t.Errorf("%v, again %v, and a file has changed", by, again)
	}
}
