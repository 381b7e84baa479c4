// Package rig starts programs on this machine, looks at them from outside, and ends them.
//
// It is what the drivers and tests under e2e have in common that run the real binary.
package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// startLimit is how long a program may take to answer its first request. It is far beyond what any takes on a busy machine.
const startLimit = 2 * time.Minute

// A Process is one program that was started here. It ends with this one, however that ends, where the system can do that.
type Process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// Start runs a command in its folder and in a process group of its own. Both its streams go to the file log there.
func Start(cmd *exec.Cmd, log string) (*Process, error) {
	p := &Process{cmd: cmd, log: filepath.Join(cmd.Dir, log), done: make(chan struct{})}
	file, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	Bind(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // who ends it looks at the state
	}()
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the exit status of a process that has ended; -1 after a signal.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Signal sends a signal, to a process that may have ended.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop asks the process to end, and after limit ends the group that it leads with force, which is an error as an exit status
// other than 0 is, and as it is to have ended before.
func (p *Process) Stop(limit time.Duration) error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended before it was told to: %s", p.cmd.Path, p.LastLine())
	default:
	}
	p.Signal(syscall.SIGTERM)
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		p.Kill()
		return fmt.Errorf("%s does not end within %s", p.cmd.Path, limit)
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("%s: exit status %d: %s", p.cmd.Path, code, p.LastLine())
	}
	return nil
}

// Kill ends the process group as a power cut does, and returns when the process is gone.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return // the number may be somebody else's by now
	default:
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it may have ended this moment
	<-p.done
}

// Ready waits until try succeeds, which it calls again and again. It fails when the process ends, or after two minutes.
func (p *Process) Ready(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended at once: %s", p.LastLine())
		default:
		}
		if !Wait(ctx, 20*time.Millisecond) {
			return fmt.Errorf("does not answer: %w; %s", err, p.LastLine())
		}
	}
}

// Listening waits until a gateway listens, and returns where its two ports are.
func (p *Process) Listening(ctx context.Context) (registry, admin string, err error) {
	err = p.Ready(ctx, func(context.Context) error {
		raw, err := p.Log()
		if err != nil {
			return err
		}
		if registry, admin = listening(raw); admin == "" {
			return errors.New("it does not listen")
		}
		return nil
	})
	return registry, admin, err
}

// listening finds in a log where the ports are.
func listening(log []byte) (registry, admin string) {
	for line := range bytes.Lines(log) {
		var at struct{ Message, Registry, Admin string }
		if json.Unmarshal(line, &at) == nil && at.Message == "listening" {
			return at.Registry, at.Admin
		}
	}
	return "", ""
}

// Log returns what the program has written so far.
func (p *Process) Log() ([]byte, error) { return os.ReadFile(p.log) }

// LastLine is what the program said last.
func (p *Process) LastLine() string {
	raw, err := p.Log()
	if err != nil {
		return err.Error()
	}
	raw = bytes.TrimSpace(raw)
	return string(raw[bytes.LastIndexByte(raw, '\n')+1:])
}

// Wait waits for d, or tells that ctx has ended before.
func Wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
