package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is far beyond what anything here needs on a busy machine.
const patience = 2 * time.Minute

// A gateway is a folder with a configuration, and the process that serves from it now.
type gateway struct {
	dir         string
	addr, admin string // where the two ports listen
	client      *http.Client
	cmd         *exec.Cmd
	began       time.Time
	listens     chan [2]string
	ended       chan struct{} // closed when the process has ended and all it wrote was read

	mu    sync.Mutex
	lines []string // of stderr, since the latest start
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
			t.Logf("log of the latest tagwarden:\n%s", strings.Join(g.log(), "\n"))
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
	noOrphan(cmd)
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
	g.cmd, g.ended, g.listens, g.began = g.command("serve"), make(chan struct{}), make(chan [2]string, 1), time.Now()
	g.mu.Lock()
	g.lines = nil
	g.mu.Unlock()
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go g.read(g.cmd, stderr, g.listens, g.ended)
}

// listening returns when the process listens.
func (g *gateway) listening(t *testing.T) {
	t.Helper()
	select {
	case at := <-g.listens:
		g.addr, g.admin = at[0], at[1]
	case <-g.ended:
		t.Fatalf("tagwarden ended instead of starting:\n%s", strings.Join(g.log(), "\n"))
	case <-time.After(patience):
		g.kill()
		t.Fatal("tagwarden does not listen")
	}
}

// start starts the process, and returns when it listens.
func (g *gateway) start(t *testing.T) {
	t.Helper()
	g.launch(t)
	g.listening(t)
}

// read collects the lines of stderr, and tells where the process listens as soon as that says so.
func (g *gateway) read(cmd *exec.Cmd, stderr io.Reader, listens chan<- [2]string, ended chan<- struct{}) {
	defer close(ended)
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			g.mu.Lock()
			g.lines = append(g.lines, strings.TrimSuffix(line, "\n"))
			g.mu.Unlock()
		}
		var at struct{ Message, Registry, Admin string }
		if json.Unmarshal([]byte(line), &at) == nil && at.Message == "listening" {
			listens <- [2]string{at.Registry, at.Admin}
		}
		if err != nil {
			_ = cmd.Wait() // stop looks at the state
			return
		}
	}
}

// log returns the lines of stderr since the latest start.
func (g *gateway) log() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.lines...)
}

// logged tells whether a line has all the texts.
func (g *gateway) logged(texts ...string) bool {
	for _, line := range g.log() {
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
	if g.cmd == nil {
		return false
	}
	select {
	case <-g.ended:
		return false
	default:
		return true
	}
}

// kill ends the process as a power cut does.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill() // it may have ended already
	<-g.ended
}

// stop ends the process as an operator does.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.client.CloseIdleConnections()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("tagwarden has ended before it was told to: %v", err)
	}
	select {
	case <-g.ended:
	case <-time.After(patience):
		t.Error("tagwarden does not end")
		g.kill()
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
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
