//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to start, to end, or to do what it
// was asked for on a busy machine. It is far beyond what any of them needs: the
// longest is a first build of the binary.
const patience = 3 * time.Minute

// process is one program that a test started and that ends with the test.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of the file that has both its streams
	done chan struct{} // closed when it has ended
}

// start runs a program in dir and in a process group of its own. Its log is
// shown if the test fails.
func start(t testing.TB, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, filepath.Base(name)+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()

	p.cmd = exec.Command(name, args...)
	p.cmd.Env, p.cmd.Dir = env, dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// The group is for children that outlive a SIGKILL of their parent; the
	// death signal is for a test run that dies without its clean-up.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.end(t)
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, tail(p.log))
		}
	})
	return p
}

// environment is what programs get to see: nothing that could point them at
// another daemon, another trust server or a proxy.
func environment(dir string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8"}, more...)
}

// ready waits until up says that the program answers.
func (p *process) ready(t testing.TB, up func() bool) {
	t.Helper()
	eventually(t, p.name+" answers", func() bool {
		select {
		case <-p.done:
			t.Fatalf("%s ended instead of starting: %v", p.name, p.cmd.ProcessState)
		default:
		}
		return up()
	})
}

// end asks the program to end, waits, and gives its exit status.
func (p *process) end(t testing.TB) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait(t)
}

// wait gives the exit status of a program that is about to end; it is -1 after a
// signal. A program that goes on is killed with its children, and the test fails.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("%s did not end within %v", p.name, patience)
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the program and its children without asking.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// logged counts the lines of the program's log that have a text.
func (p *process) logged(t testing.TB, text string) int {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// run runs a command to its end and gives what it printed on both streams, and
// its exit status.
func run(t testing.TB, env []string, stdin io.Reader, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = env, stdin
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// eventually polls for what a program does in its own time.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// freePort is an address on loopback that nobody listens on now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tail is the end of a log, enough to see why a program failed.
func tail(path string) string {
	const most = 8 << 10
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return string(data)
}
