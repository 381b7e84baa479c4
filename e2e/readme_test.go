//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// block is one step of the walkthrough: a marked shell block, and what the next
// block says it prints. A line of the latter may leave out parts by "...".
type block struct{ name, script, prints string }

// blocks finds the steps of the walkthrough.
var blocks = regexp.MustCompile("(?s)<!-- e2e:([a-z]+) -->\n```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?")

// TestWalkthroughs pastes each walkthrough into a shell, and compares what it prints.
func TestWalkthroughs(t *testing.T) {
	need(t, "docker-registry", "notary-server", "openssl", "curl", "make")
	for _, file := range []string{"../docs/notary.md", "../docs/curation.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) { walkthrough(t, file) })
	}
}

func walkthrough(t *testing.T, file string) {
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []block
	script := new(strings.Builder)
	for _, m := range blocks.FindAllStringSubmatch(string(readme), -1) {
		steps = append(steps, block{m[1], m[2], m[3]})
		fmt.Fprintf(script, "echo '=== %s'\n%s", m[1], m[2])
	}
	if len(steps) != strings.Count(string(readme), "<!-- e2e:") || len(steps) == 0 {
		t.Fatalf("%d steps are well formed", len(steps))
	}

	for _, step := range strings.Split(paste(t, script.String()), "=== ")[1:] {
		name, printed, _ := strings.Cut(step, "\n")
		if len(steps) == 0 || steps[0].name != name {
			t.Fatalf("step %s printed:\n%s", name, printed)
		}
		compare(t, name, steps[0].prints, printed)
		steps = steps[1:]
	}
	if len(steps) != 0 {
		t.Errorf("the walkthrough ended before step %s", steps[0].name)
	}
}

// paste runs the script as a reader would, with free ports and an engine of the
// test's own, and gives what it printed.
func paste(t *testing.T, script string) string {
	t.Helper()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "walkthrough.sh")
	write(t, file, "cd "+checkout+"\n"+script)
	env := append(os.Environ(), newEngine(t).cli...)
	env = append(env, "TMPDIR="+dir)
	for _, name := range []string{"REGISTRY", "NOTARY", "GATEWAY", "ADMIN"} {
		env = append(env, name+"="+freePort(t))
	}
	p := start(t, dir, env, "bash", "-eu", file)
	// Servers that the walkthrough started and did not end.
	t.Cleanup(func() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	if status := p.wait(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	printed, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(printed)
}

// compare wants every line of want in printed, in this order.
func compare(t *testing.T, name, want, printed string) {
	t.Helper()
	rest := printed
	for line := range strings.Lines(want) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		found := regexp.MustCompile("(?m)^" + strings.Join(parts, ".*") + "$").FindStringIndex(rest)
		if found == nil {
			t.Errorf("step %s does not print %q but:\n%s", name, line, printed)
			return
		}
		rest = rest[found[1]:]
	}
}

// TestReadmeConfig checks the configuration that shows every option.
func TestReadmeConfig(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	config := regexp.MustCompile("(?s)<!-- e2e-config -->\n```yaml\n(.*?)```").FindSubmatch(readme)
	if config == nil {
		t.Fatal("no configuration")
	}
	dir := t.TempDir()
	certificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	for _, name := range []string{"registry-ca.pem", "notary-ca.pem", "team-b-ca.pem"} {
		certificate(t, filepath.Join(dir, name), filepath.Join(dir, "unused.key"))
	}
	write(t, filepath.Join(dir, "registry-password"), "secret\n")
	write(t, filepath.Join(dir, "publisher-passphrase"), "secret\n")
	write(t, filepath.Join(dir, "elsewhere-root.json"), "{}")
	if err := os.MkdirAll(filepath.Join(dir, "trust/metadata"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "trust/metadata/1.root.json"), "{}")
	write(t, filepath.Join(dir, "config.json"), "{}")
	file := filepath.Join(dir, "tagwarden.yaml")
	write(t, file, string(config[1]))
	if out, status := tagwarden(t, "check", "--config", file); status != 0 {
		t.Errorf("exit status %d\n%s", status, out)
	}
}

// TestReadmeReasons looks for every reason that exists in the table of refusals,
// and for reasons there that do not exist.
func TestReadmeReasons(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("../trust/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	told, exist := make(map[string]bool), make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\|[^|]*\\|[^|]*\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		told[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^\t\w+ +Reason += "([a-z_]+)"`).FindAllStringSubmatch(string(code), -1) {
		exist[m[1]] = true
	}
	if len(exist) == 0 || !maps.Equal(told, exist) {
		t.Errorf("the table has %v\nthere are %v", slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(exist)))
	}
}

// TestReadmeRules checks the rules that show how to roll out.
func TestReadmeRules(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)<!-- e2e-rules -->\n```yaml\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(snippets) != strings.Count(string(readme), "<!-- e2e-rules -->") || len(snippets) == 0 {
		t.Fatalf("%d snippets are well formed", len(snippets))
	}
	for _, rules := range snippets {
		file := filepath.Join(t.TempDir(), "tagwarden.yaml")
		write(t, file, `sources:
  corp: {notary: "https://notary.example.com", pins: {registry.example.com/**: {tofu: true}}}
`+string(rules[1]))
		if out, status := tagwarden(t, "check", "--config", file); status != 0 {
			t.Errorf("exit status %d\n%s%s", status, rules[1], out)
		}
	}
}

// TestReadmeMetrics looks for every metric and every kind of security event that
// the README names, and for kinds it does not name.
func TestReadmeMetrics(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	g := newGateway(t, s.stack, settings{pin: pinned(s.root)})
	served(t, g, "v1", s.signed)
	_, metrics := fetch(t, "http://"+g.admin+"/metrics")
	for _, name := range regexp.MustCompile(`tagwarden_[a-z_]+`).FindAllString(string(readme), -1) {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("there is no %s", name)
		}
	}

	told, exist := make(map[string]bool), make(map[string]bool)
	row := regexp.MustCompile(`(?m)^\| .*tagwarden_security_events_total.* \| by (.*)$`).FindStringSubmatch(string(readme))
	if row == nil {
		t.Fatal("no row of security events")
	}
	for _, m := range regexp.MustCompile("`([a-z_]+)`[,;]").FindAllStringSubmatch(row[1], -1) {
		told[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^tagwarden_security_events_total\{kind="([a-z_]+)"\}`).FindAllStringSubmatch(metrics, -1) {
		exist[m[1]] = true
	}
	if !maps.Equal(told, exist) {
		t.Errorf("the row has %v\nthere are %v", slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(exist)))
	}
}
