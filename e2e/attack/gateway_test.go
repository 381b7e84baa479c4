package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// patience bounds every wait. It is far beyond what anything here needs on a busy machine.
const patience = 2 * time.Minute

// A gateway is one tagwarden process. Its clients keep in mind which decisions they saw.
type gateway struct {
	dir         string
	addr, admin string // where the two ports listen
	client      *http.Client
	process     *rig.Process
	starts      int

	mu   sync.Mutex
	seen []string // decision ids that clients saw since the latest start
}

// common is the part of the configuration that all gateways share.
const common = `listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}
`

// launch starts a gateway with the rest of a configuration. It ends with the test, in good order.
func launch(t *testing.T, config string) *gateway {
	t.Helper()
	g := &gateway{dir: filepath.Join(t.TempDir(), "gateway"), client: &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.file("tagwarden.yaml"), []byte(common+config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start(t)
	t.Cleanup(func() { g.stop(t) })
	return g
}

// file returns the path of a file in the gateway's folder.
func (g *gateway) file(name string) string { return filepath.Join(g.dir, name) }

// start runs the process, and returns when it listens.
func (g *gateway) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--config", "tagwarden.yaml")
	cmd.Dir, cmd.Env = g.dir, []string{"HOME=" + g.dir}
	g.starts, g.seen = g.starts+1, nil
	var err error
	if g.process, err = rig.Start(cmd, logFile(g.starts)); err != nil {
		t.Fatal(err)
	}
	if g.addr, g.admin, err = g.process.Listening(t.Context()); err != nil {
		g.process.Kill()
		t.Fatalf("%v\n%s", err, strings.Join(g.log(t), "\n"))
	}
}

// logFile is the log of one of the starts. It is the test's, and lies beside the gateway's folder.
func logFile(start int) string { return fmt.Sprintf("../log-%d", start) }

// log returns the lines that the gateway has written since the first start.
func (g *gateway) log(t *testing.T) (lines []string) {
	t.Helper()
	for i := range g.starts {
		raw, err := os.ReadFile(g.file(logFile(i + 1)))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// stop ends the process as an operator does, and checks what must hold at the end of every test.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.client.CloseIdleConnections()
	if err := g.process.Stop(patience); err != nil {
		t.Error(err)
	}
	for _, line := range g.log(t) {
		if message, _ := object(t, "log", []byte(line))["message"].(string); message == "" {
			t.Errorf("log line without message: %s", line)
		}
	}
	// PRODUCT: invariant 10, every decision once, with the id that the client saw.
	times := make(map[string]int)
	for _, r := range g.records(t) {
		if times[r.Decision]++; r.Decision == "" || times[r.Decision] > 1 {
			t.Errorf("decision %q is in the audit log %d times", r.Decision, times[r.Decision])
		}
	}
	for _, id := range g.seen {
		if times[id] != 1 {
			t.Errorf("decision %s was seen, and is in the audit log %d times", id, times[id])
		}
	}
	if t.Failed() {
		t.Logf("log of tagwarden:\n%s", strings.Join(g.log(t), "\n"))
	}
}

// object reads one line, which must be one JSON object of printable text.
func object(t *testing.T, what string, line []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(line, &o); err != nil || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%s line is not one JSON object of printable text: %q, %v", what, line, err)
	}
	return o
}

// A record is what the tests look at of one line of the audit log.
type record struct {
	Decision, Client, Method, Name, Tag, Digest, Verdict, Mode, Reason, Served string
}

// records reads the audit log.
func (g *gateway) records(t *testing.T) []record {
	t.Helper()
	var all []record
	for line := range bytes.Lines(g.raw(t)) {
		object(t, "audit", bytes.TrimSuffix(line, []byte("\n")))
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// raw returns the bytes of the audit log.
func (g *gateway) raw(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(g.file("audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// settled returns the audit log when everything that was decided so far is in it.
func (w *world) settled(t *testing.T) []record {
	t.Helper()
	last := w.expect(t, "403 rule_deny", "/v2/r.example/banned/last/manifests/last").complaint().Detail.Decision
	var all []record
	eventually(t, "the audit log has the last decision", func() bool {
		all = w.records(t)
		return len(all) > 0 && all[len(all)-1].Decision == last
	})
	return all[:len(all)-1]
}

// metrics returns every time series of the gateway by its name, labels included.
func (g *gateway) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	res, err := g.client.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all := make(map[string]float64)
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && lines.Text()[0] != '#' {
			if all[lines.Text()[:i]], err = strconv.ParseFloat(lines.Text()[i+1:], 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// peak returns the most memory that the process has had, in bytes; 0 where the system does not tell.
func (g *gateway) peak() int64 {
	bytes, _ := rig.Memory(g.process.PID(), rig.Peak) // 0 with an error
	return bytes
}

// eventually looks at what the process does in its own time, until it has done it.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !await(done) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// await tells whether something is done in time.
func await(done func() bool) bool {
	end := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
	return true
}
