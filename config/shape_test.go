package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryKeyIsADocumentedField: what the reader accepts is exactly what the structs document, in the same order. A
// field that is written in several ways has several keys, with | between them.
func TestEveryKeyIsADocumentedField(t *testing.T) {
	r := new(reader)
	for _, c := range []struct {
		of     any
		fields []field
	}{
		{Config{}, r.configFields(new(Config))},
		{TLS{}, r.tlsFields(new(TLS))},
		{Admin{}, r.adminFields(new(Admin))},
		{Cache{}, r.cacheFields(new(Cache))},
		{AuditLog{}, r.auditFields(new(AuditLog))},
		{Registry{}, r.registryFields(new(Registry))},
		{Credentials{}, r.credentialsFields(new(Credentials))},
		{Source{}, r.sourceFields(new(Source))},
		{Publish{}, r.publishFields(new(Publish))},
		{Pin{}, r.pinFields(new(Pin))},
		{Rule{}, r.ruleFields(new(Rule))},
		{Signers{}, r.signersFields(new(Signers))},
	} {
		var accepted, documented []string
		for _, f := range c.fields {
			accepted = append(accepted, f.key)
		}
		for f := range reflect.TypeOf(c.of).Fields() {
			if keys := f.Tag.Get("yaml"); keys != "-" {
				documented = append(documented, strings.Split(keys, "|")...)
			}
		}
		if !slices.Equal(accepted, documented) {
			t.Errorf("%T: the reader accepts %q, the struct documents %q", c.of, accepted, documented)
		}
	}
}

// TestEveryFieldSaysWhatAnOperatorMustKnow: the default or that it is required, and what it is worth to an attacker.
func TestEveryFieldSaysWhatAnOperatorMustKnow(t *testing.T) {
	said := []*regexp.Regexp{
		regexp.MustCompile(`Default|Required|[Rr]equired|has defaults`),
		regexp.MustCompile(`attacker`),
	}
	fields := 0
	for _, file := range []string{"config.go", "policy.go", "registry.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				fields++
				for _, must := range said {
					if !must.MatchString(f.Doc.Text()) {
						t.Errorf("%s: the comment of %s says nothing that matches %s", file, f.Names[0], must)
					}
				}
			}
			return true
		})
	}
	if fields < 50 {
		t.Errorf("only %d fields found", fields)
	}
}
