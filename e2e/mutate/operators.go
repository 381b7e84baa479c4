package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// A mutant is one check that loses its say.
type mutant struct {
	file, fn, rule, what string
	line                 int
	edits                []edit
	// switched tells that the edits hold the word isMutant, which is true in the mutant and false else.
	switched bool
}

// isMutant stands in the text of an edit for whether the mutant is the one that is tried.
const isMutant = "IS_MUTANT"

// An edit replaces the bytes of a file from one offset to another.
type edit struct {
	from, to int
	text     string
}

// key names the mutant independently of line numbers.
func (m mutant) key() string { return m.file + " " + m.fn + " " + m.what }

// String describes the mutant in one line.
func (m mutant) String() string {
	return fmt.Sprintf("%s:%d %s  %s  [%.60s]", m.file, m.line, m.fn, m.what, m.rule)
}

// A walker makes the mutants of one scope.
//
// The operators: a condition that guards a refusal is never true, operand by operand of an "or"; one that guards success is
// always true, operand by operand of an "and"; where it cannot be told which of both it guards, each in turn. An operand of
// a boolean result has no say. A case of a switch over values is missing. An error that a function ends with is nil. A
// select has no default. A call that stands alone is not made, nor an assignment that a rule stands directly above. A limit
// that is given to a call is 1024 times as high.
type walker struct {
	scope
	file   string
	source []byte
	fset   *token.FileSet
	inner  map[ast.Node]bool                   // what other rules speak for
	cases  map[*ast.CaseClause]*ast.SwitchStmt // of the function
	found  []mutant
}

// add makes a mutant. what is the operator, n what it was applied to.
func (w *walker) add(what string, n ast.Node, switched bool, edits ...edit) {
	text := strings.Join(strings.Fields(string(w.source[w.offset(n.Pos()):w.offset(n.End())])), " ")
	w.found = append(w.found, mutant{
		file: w.file, fn: nameOf(w.fn), rule: w.rule, what: fmt.Sprintf("%s: %.90s", what, text),
		line: w.fset.Position(n.Pos()).Line, edits: edits, switched: switched,
	})
}

func (w *walker) offset(p token.Pos) int { return w.fset.Position(p).Offset }

// wrap makes a mutant in which text stands before n and end behind it.
func (w *walker) wrap(what string, n ast.Node, text, end string) {
	from, to := w.offset(n.Pos()), w.offset(n.End())
	w.add(what, n, strings.Contains(text+end, isMutant), edit{from, from, text}, edit{to, to, end})
}

// cut makes a mutant in which what stands from one place to another is missing.
func (w *walker) cut(what string, n ast.Node, from, to token.Pos) {
	w.add(what, n, false, edit{w.offset(from), w.offset(to), ""})
}

// never makes a mutant in which the condition is not met.
func (w *walker) never(e ast.Expr) { w.wrap("never", e, "(!"+isMutant+" && (", "))") }

// always makes a mutant in which the condition is met.
func (w *walker) always(e ast.Expr) { w.wrap("always", e, "("+isMutant+" || (", "))") }

// undone makes a mutant in which a statement is not reached.
func (w *walker) undone(s ast.Node) {
	w.wrap("not done", s, "func() { if !"+isMutant+" { ", " } }()")
}

// nameOf returns the name of a function, for a method behind that of its type.
func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// walk makes the mutants of n and what it holds. parent is the node that holds it, f the type of the function around it.
func (w *walker) walk(n, parent ast.Node, f *ast.FuncType) {
	if w.inner[n] && !slices.Contains(w.of, n) {
		return // another rule is nearer
	}
	switch n := n.(type) {
	case *ast.IfStmt:
		w.condition(n.Cond, guarded(n.Body.List, f))
	case *ast.ForStmt:
		if n.Cond != nil {
			w.say(n.Cond)
		}
	case *ast.CaseClause:
		if s := w.cases[n]; s != nil && len(n.List) > 0 {
			w.clause(s, n, f)
		}
	case *ast.SelectStmt:
		w.selection(n)
	case *ast.ReturnStmt:
		w.result(n, parent, f)
	case *ast.ExprStmt:
		if slices.Contains(w.of, ast.Node(n)) || isCall(n) && !alone(parent) {
			w.undone(n)
		}
	case *ast.AssignStmt:
		w.assignment(n)
	case *ast.CallExpr:
		w.limits(n)
	case *ast.FuncLit:
		f = n.Type
	}
	for _, child := range children(n) {
		w.walk(child, n, f)
	}
}

// children returns the nodes that n holds directly.
func children(n ast.Node) []ast.Node {
	var all []ast.Node
	ast.Inspect(n, func(c ast.Node) bool {
		if c != nil && c != n {
			all = append(all, c)
		}
		return c == n
	})
	return all
}

// isCall tells whether a statement is a call, and no panic.
func isCall(n ast.Node) bool {
	e, ok := n.(*ast.ExprStmt)
	if !ok {
		return false
	}
	c, ok := e.X.(*ast.CallExpr)
	return ok && calledName(c) != "panic"
}

// alone tells whether a statement with this parent is all that a condition guards: then the condition is mutated.
func alone(parent ast.Node) bool {
	switch p := parent.(type) {
	case *ast.BlockStmt:
		return len(p.List) == 1
	case *ast.CaseClause:
		return len(p.Body) == 1
	}
	return false
}

// condition mutates what guards something: the alternatives that lead to a refusal, the parts that lead to success.
func (w *walker) condition(cond ast.Expr, g guard) {
	if g != success {
		each(cond, token.LOR, w.never)
	}
	if g != refusal {
		each(cond, token.LAND, w.always)
	}
}

// each calls f with the operands of e, if its operator is op, and of those in turn; else with e.
func each(e ast.Expr, op token.Token, f func(ast.Expr)) {
	switch x := e.(type) {
	case *ast.ParenExpr:
		each(x.X, op, f)
	case *ast.BinaryExpr:
		if x.Op != op {
			f(e)
			return
		}
		each(x.X, op, f)
		each(x.Y, op, f)
	default:
		f(e)
	}
}

// say makes mutants in which one operand of a boolean expression has no say. One without operands is always true.
func (w *walker) say(e ast.Expr) {
	neutral := w.always
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.LOR {
		neutral = w.never
	}
	switch x := e.(type) {
	case *ast.ParenExpr:
		w.say(x.X)
		return
	case *ast.BinaryExpr:
		if x.Op == token.LAND || x.Op == token.LOR {
			for _, operand := range []ast.Expr{x.X, x.Y} {
				if inner, ok := operand.(*ast.BinaryExpr); ok && (inner.Op == token.LAND || inner.Op == token.LOR) {
					w.say(inner)
				} else {
					neutral(operand)
				}
			}
			return
		}
	}
	neutral(e)
}

// limitPattern is how limits are called.
var limitPattern = regexp.MustCompile(`^(limit|max[A-Z]\w*|\w+(Limit|Time|Timeout))$`)

// limits raises the limits that a call is given.
func (w *walker) limits(c *ast.CallExpr) {
	for _, arg := range c.Args {
		if b, ok := arg.(*ast.BinaryExpr); ok && b.Op == token.ADD {
			arg = b.X
		}
		if id, ok := arg.(*ast.Ident); ok && limitPattern.MatchString(id.Name) && !prints(c) {
			w.wrap("raised", id, "(", "*1024)")
		}
	}
}

// prints tells whether a call makes a message.
func prints(c *ast.CallExpr) bool {
	for _, arg := range c.Args {
		if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "%") {
			return true
		}
	}
	return false
}
