package faults

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// patience bounds every wait. It is far beyond what anything here needs on a busy machine.
const patience = 2 * time.Minute

// A gateway is a folder with a configuration, and the process that serves from it now.
type gateway struct {
	dir         string
	addr, admin string // where the two ports listen
	client      *http.Client
	process     *rig.Process // nil: it was never started
	began       time.Time
}

// common is the part of the configuration that all gateways share.
const common = `listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
cache: {dir: cache, size: 1GiB}
audit: {file: audit.jsonl}
`

// prepare returns a gateway that does not run yet. What runs at the end of the test must end in good order.
func prepare(t *testing.T, config string) *gateway {
	t.Helper()
	g := &gateway{dir: t.TempDir(), client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}}
	config = common + config
	if !strings.Contains(config, "\nstate: ") {
		config += "\nstate: state\n"
	}
	put(t, g.file("tagwarden.yaml"), config)
	t.Cleanup(func() {
		if g.running() {
			g.stop(t)
		}
		if t.Failed() {
			t.Logf("log of the latest tagwarden:\n%s", strings.Join(g.log(t), "\n"))
		}
	})
	return g
}

// put writes a file, and the folders that it takes.
func put(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// file returns the path of a file in the gateway's folder.
func (g *gateway) file(name string) string { return filepath.Join(g.dir, name) }

// command returns a command of the binary in the gateway's folder, which knows all passphrases.
func (g *gateway) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = g.dir
	cmd.Env = []string{"HOME=" + g.dir, "TAGWARDEN_ROOT_PASSPHRASE=of the root", "TAGWARDEN_REPOSITORY_PASSPHRASE=of the rest"}
	rig.Bind(cmd)
	return cmd
}

// run runs a command to its end, which must come soon, and returns both its streams and its exit status.
func (g *gateway) run(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	cmd := g.command(args...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // it is seen by its exit status
	defer late.Stop()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status says it
	return both.String(), cmd.ProcessState.ExitCode()
}

// launch starts the process, and does not wait for it to listen.
func (g *gateway) launch(t *testing.T) {
	t.Helper()
	g.began = time.Now()
	var err error
	if g.process, err = rig.Start(g.command("serve"), "log"); err != nil {
		t.Fatal(err)
	}
}

// listening returns when the process listens.
func (g *gateway) listening(t *testing.T) {
	t.Helper()
	var err error
	if g.addr, g.admin, err = g.process.Listening(t.Context()); err != nil {
		g.kill()
		t.Fatalf("%v\n%s", err, strings.Join(g.log(t), "\n"))
	}
}

// start starts the process, and returns when it listens.
func (g *gateway) start(t *testing.T) {
	t.Helper()
	g.launch(t)
	g.listening(t)
}

// log returns the lines that the gateway has written since the latest start.
func (g *gateway) log(t *testing.T) (lines []string) {
	t.Helper()
	if g.process == nil {
		return nil
	}
	raw, err := g.process.Log()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

// logged tells whether a line has all the texts.
func (g *gateway) logged(t *testing.T, texts ...string) bool {
	for _, line := range g.log(t) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			return true
		}
	}
	return false
}

// running tells whether the process was started and has not ended.
func (g *gateway) running() bool {
	if g.process == nil {
		return false
	}
	select {
	case <-g.process.Done():
		return false
	default:
		return true
	}
}

// kill ends the process as a power cut does.
func (g *gateway) kill() { g.process.Kill() }

// stop ends the process as an operator does.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.client.CloseIdleConnections()
	if err := g.process.Stop(patience); err != nil {
		t.Error(err)
	}
}

// eventually looks at what happens in its own time, until it has happened.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}
