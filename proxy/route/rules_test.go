package route

import (
	"strings"
	"testing"
)

// OCI: <name> and <reference>, where a path may hold a registry with a port, and nowhere else.
func TestGrammarAtItsEdges(t *testing.T) {
	for s, ok := range map[string]bool{
		"a.b:1/c": true, "a:1/b/c": true, "a.b/c": true, "A.b:1/c": false, "-:1/c": false, ":1/c": false, "a.b:1/C": false, "a.b:1/": false, "a.b:1//c": false,
		"a:1": false, "a/b:1/c": false, "a.b:/c": false, "a.b:x/c": false, "a.b:1:2/c": false, "": false,
		strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if got := validPath(s); got != ok {
			t.Errorf("path %.40q: %v", s, got)
		}
	}
	for s, ok := range map[string]bool{"": false, "a": true, "_": true, ".": false, "-": false, strings.Repeat("A", 128): true, strings.Repeat("A", 129): false} {
		if got := validTag(s); got != ok {
			t.Errorf("tag %.40q: %v", s, got)
		}
	}
}
