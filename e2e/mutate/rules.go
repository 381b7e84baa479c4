package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// rulePattern is how a rule is quoted. "OCI: end-3" is the name of an endpoint, and no rule.
var (
	rulePattern     = regexp.MustCompile(`^// ?((?:PRODUCT|DCT|TUF|OCI|HTTP|SPEC): .*)$`)
	endpointPattern = regexp.MustCompile(`^// ?OCI: end-`)
)

// A scope is a rule and the part of a function that it speaks for.
type scope struct {
	rule string
	fn   *ast.FuncDecl
	// of is the function's body, or what the rule stands above.
	of []ast.Node
}

// scopes returns the rules of a file. A rule in a doc comment speaks for the whole function, but for what a rule inside
// stands above. One above a statement or case speaks for all of that and, as long as no other comment comes between, for
// the conditions that follow: "data, err := ...", "if err != nil", "if len(data) > limit" are one check. A rule above
// anything else, such as a type or a field, describes and checks nothing.
func scopes(f *ast.File) []scope {
	var all []scope
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		for _, group := range f.Comments {
			rule := ruleOf(group)
			switch {
			case rule == "":
			case group == fn.Doc:
				all = append(all, scope{rule, fn, []ast.Node{fn.Body}})
			case fn.Body.Pos() < group.Pos() && group.End() < fn.Body.End():
				all = append(all, scope{rule, fn, below(f, fn.Body, group)})
			}
		}
	}
	return all
}

// ruleOf returns the rules that a comment quotes, in one line; empty for none.
func ruleOf(group *ast.CommentGroup) string {
	var rules []string
	for _, c := range group.List {
		if m := rulePattern.FindStringSubmatch(c.Text); m != nil && !endpointPattern.MatchString(c.Text) {
			rules = append(rules, m[1])
		}
	}
	return strings.Join(rules, "; ")
}

// below returns what a rule stands above in the same block.
func below(f *ast.File, body *ast.BlockStmt, group *ast.CommentGroup) []ast.Node {
	var list []ast.Stmt
	ast.Inspect(body, func(n ast.Node) bool {
		if n == nil || group.Pos() < n.Pos() || n.End() < group.End() {
			return false
		}
		switch n := n.(type) {
		case *ast.BlockStmt:
			list = n.List
		case *ast.CaseClause:
			list = n.Body
		case *ast.CommClause:
			list = n.Body
		}
		return true
	})
	var found []ast.Node
	for _, s := range list {
		if s.Pos() < group.End() {
			continue
		}
		if len(found) > 0 && (!conditional(s) || commented(f, found[len(found)-1], s)) {
			break
		}
		found = append(found, s)
	}
	return found
}

// conditional tells whether a statement goes on with the check of the one before it.
func conditional(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.IfStmt, *ast.SwitchStmt:
		return true
	}
	return false
}

// commented tells whether a comment stands between two statements.
func commented(f *ast.File, a, b ast.Node) bool {
	return slices.ContainsFunc(f.Comments, func(g *ast.CommentGroup) bool { return a.End() < g.Pos() && g.End() < b.Pos() })
}

// mutate returns the mutants of one file, whose path is relative to the root of the module.
func mutate(file string, source []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	all := scopes(f)
	inner := make(map[ast.Node]bool)
	for _, s := range all {
		for _, n := range s.of {
			inner[n] = true
		}
	}
	var found []mutant
	for _, s := range all {
		w := &walker{scope: s, file: file, source: source, fset: fset, inner: inner, cases: switches(s.fn)}
		for _, n := range s.of {
			w.walk(n, nil, s.fn.Type)
		}
		found = append(found, w.found...)
	}
	return found, nil
}
