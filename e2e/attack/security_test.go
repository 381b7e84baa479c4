package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSecurity: SECURITY.md says truly which test shows what: every test that it names is there, and every attack that has
// rows here is named.
func TestSecurity(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Which test shows it\n")
	if section, _, _ = strings.Cut(section, "\n## "); !ok {
		t.Fatal("no section says which test shows it")
	}
	known, named := subtests(), make(map[string]bool)
	lines := strings.Split(section, "\n")
	for n, line := range lines {
		// Not the line between heading and rows, nor the heading.
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(lines[n+1], "|---") {
			continue
		}
		tests := spans.FindAllString(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, span := range tests {
			span = strings.ReplaceAll(strings.Trim(span, "`"), `\|`, "|")
			if !exists(t, span, known, named) {
				t.Errorf("there is no %s", span)
			}
		}
	}
	for _, name := range known {
		if !named[name] {
			t.Errorf("nothing names %s", name)
		}
	}
}

// spans are the tests that are named: "TestDoor/door/03", "trust/tuf TestTraps".
var spans = regexp.MustCompile("`([a-z0-9/]+ )?Test[^`]*`")

// subtests returns the full names of the rows of TestDoor, TestTUF and TestNotary, as -run sees them.
func subtests() []string {
	var all []string
	for _, d := range allDoors() {
		all = append(all, fmt.Sprintf("TestDoor/door/%02d %s", d.row, d.name))
	}
	all = slices.Concat(all, rowNames("TestTUF", "tuf", tufRows()), rowNames("TestNotary", "dct", notaryRows()))
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], " ", "_")
	}
	return all
}

// rowNames returns the full names of the rows of a siege.
func rowNames[F forger](test, format string, rows []row[F]) []string {
	var all []string
	for _, r := range rows {
		if r.cold != "" {
			all = append(all, test+"/cold/"+format+"/"+r.name)
		}
		if r.check != "" {
			all = append(all, test+"/warm/"+format+"/"+r.name, test+"/warm/"+format+"/"+r.name+"/restarted")
		}
	}
	return all
}

// exists tells whether there is a test that is named so, and notes which of the known ones are meant.
func exists(t *testing.T, span string, known []string, named map[string]bool) bool {
	t.Helper()
	dir, pattern, ok := strings.Cut(span, " ")
	if !ok {
		dir, pattern = "e2e/attack", span
	}
	levels := strings.Split(pattern, "/")
	found := false
	for _, name := range known {
		if dir == "e2e/attack" && matches(levels, strings.Split(name, "/")) {
			found, named[name] = true, true
		}
	}
	if found {
		return true
	}
	// The names of other subtests are words of their source.
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(raw)
	}
	if !strings.Contains(source.String(), "func "+levels[0]+"(t *testing.T) {") {
		return false
	}
	rest := strings.ReplaceAll(strings.Join(levels[1:], "/"), "_", " ")
	return rest == "" || strings.Contains(source.String(), `"`+rest)
}

// matches tells whether -run with these levels runs the test. The first must be its whole name.
func matches(levels, name []string) bool {
	if len(levels) > len(name) || levels[0] != name[0] {
		return false
	}
	for i, level := range levels {
		if !regexp.MustCompile(level).MatchString(name[i]) {
			return false
		}
	}
	return true
}
