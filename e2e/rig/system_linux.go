package rig

import (
	"os/exec"
	"syscall"
)

// Bind puts a program that is about to start into a process group of its own, for children that outlive it; and lets it end
// with this process, however that ends.
func Bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
