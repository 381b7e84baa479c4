package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
)

// A guard is what a condition lets happen.
type guard int

const (
	either guard = iota
	refusal
	success
)

// guarded tells what the statements mean for who called the function: they end it with an error or a panic, or without
// one, or it cannot be told from them.
func guarded(list []ast.Stmt, f *ast.FuncType) guard {
	if len(list) == 0 {
		return either
	}
	switch last := list[len(list)-1].(type) {
	case *ast.ExprStmt:
		if c, ok := last.X.(*ast.CallExpr); ok && refusePattern.MatchString(calledName(c)) {
			return refusal
		}
	case *ast.ReturnStmt:
		if len(last.Results) == 0 {
			return either
		}
		return meaning(last.Results[len(last.Results)-1], resultType(f))
	}
	return either
}

// refusePattern is how functions are called that refuse, or make an error.
var refusePattern = regexp.MustCompile(`^(panic|fail|New|Errorf|(invalid|mismatch|denied)\w*)$`)

// meaning tells what it means that a function of the result type ends with the result.
func meaning(result ast.Expr, of string) guard {
	switch x := result.(type) {
	case *ast.Ident:
		switch {
		case of == "error" && x.Name == "nil":
			return success
		case of == "error" || x.Name == "false":
			return refusal
		}
	case *ast.UnaryExpr:
		if of == "error" && x.Op == token.AND {
			return refusal
		}
	case *ast.CallExpr:
		if of == "error" && refusePattern.MatchString(calledName(x)) {
			return refusal
		}
	}
	return either
}

// calledName returns the last word of the name of what is called.
func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// resultType returns the type of the last result if it is a single word; empty else.
func resultType(f *ast.FuncType) string {
	if f.Results == nil {
		return ""
	}
	id, ok := f.Results.List[len(f.Results.List)-1].Type.(*ast.Ident)
	if !ok {
		return ""
	}
	return id.Name
}

// clause mutates one case of a switch.
func (w *walker) clause(s *ast.SwitchStmt, c *ast.CaseClause, f *ast.FuncType) {
	switch {
	case s.Tag == nil:
		for _, cond := range c.List {
			w.condition(cond, guarded(c.Body, f))
		}
	case len(c.List) == 1:
		w.cut("no case", c.List[0], c.Pos(), c.End())
	default:
		for i, v := range c.List {
			from, to := without(c.List, i)
			w.cut("no case", v, from, to)
		}
	}
}

// switches returns the switch over values or conditions that each case is of.
func switches(fn *ast.FuncDecl) map[*ast.CaseClause]*ast.SwitchStmt {
	all := make(map[*ast.CaseClause]*ast.SwitchStmt)
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SwitchStmt); ok {
			for _, c := range s.Body.List {
				all[c.(*ast.CaseClause)] = s
			}
		}
		return true
	})
	return all
}

// without returns where one expression of a list of at least two stands, and a comma with it.
func without(list []ast.Expr, i int) (from, to token.Pos) {
	if i == 0 {
		return list[0].Pos(), list[1].Pos()
	}
	return list[i-1].End(), list[i].End()
}

// selection takes the default away.
func (w *walker) selection(s *ast.SelectStmt) {
	for _, clause := range s.Body.List {
		if c := clause.(*ast.CommClause); c.Comm == nil {
			w.cut("no default", c, c.Pos(), c.End())
		}
	}
}

// result mutates what is returned: the operands of truth values, and the error that ends a function, unless a condition
// guards the return and was mutated already.
func (w *walker) result(r *ast.ReturnStmt, parent ast.Node, f *ast.FuncType) {
	if len(r.Results) == 0 {
		return
	}
	last := r.Results[len(r.Results)-1]
	switch resultType(f) {
	case "bool":
		if _, constant := last.(*ast.Ident); !constant {
			w.say(last)
			if b, ok := last.(*ast.BinaryExpr); !ok || b.Op != token.LAND && b.Op != token.LOR {
				w.never(last)
			}
		}
	case "error":
		id, isIdent := last.(*ast.Ident)
		if f.Results.NumFields() == 1 && parent == ast.Node(w.fn.Body) && (!isIdent || id.Name != "nil") {
			w.wrap("no error", last, "func() error { err := ", "; if !"+isMutant+" { return err }; return nil }()")
		}
	}
}

// assignment mutates what gives a variable its value: conditions in it, and the assignment as a whole where a rule stands
// above it.
func (w *walker) assignment(a *ast.AssignStmt) {
	if a.Tok != token.DEFINE && slices.Contains(w.of, ast.Node(a)) {
		w.undone(a)
	}
	for _, x := range a.Rhs {
		if b, ok := x.(*ast.BinaryExpr); ok && (b.Op == token.LAND || b.Op == token.LOR) {
			w.say(b)
		}
	}
}
