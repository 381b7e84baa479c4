package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second // for a program to answer its first request
	stopLimit  = 10 * time.Second // for a program to end when it is told to
)

// A process is one program that was started here.
type process struct {
	cmd  *exec.Cmd
	log  string        // path of the file with both its streams
	done chan struct{} // closed when it has ended
}

// start runs a program in dir and in a process group of its own.
func start(dir, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = dir, log, log, attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the process, and with force the whole group that it leads when it does not listen.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it is not waited for yet, so that the number is still its own
	}
	<-p.done
}

// ready waits until the process answers the request.
func (p *process) ready(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended at once: %s", p.lastLine())
		default:
		}
		if !wait(ctx, 20*time.Millisecond) {
			return fmt.Errorf("does not answer: %w; %s", err, p.lastLine())
		}
	}
}

// lastLine is what the program said last.
func (p *process) lastLine() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	raw = bytes.TrimSpace(raw)
	return string(raw[bytes.LastIndexByte(raw, '\n')+1:])
}

// freePort returns an address of 127.0.0.1 that nobody listened on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find returns where a program is. Servers are where only root's path leads. The error is exec.ErrNotFound when there is none.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if errors.Is(err, exec.ErrNotFound) {
		if path, err := exec.LookPath("/usr/sbin/" + program); err == nil {
			return path, nil
		}
	}
	return path, err
}
