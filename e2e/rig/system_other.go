//go:build !linux

package rig

import (
	"os/exec"
	"syscall"
)

// Bind puts a program that is about to start into a process group of its own. There is no way to let it end with this
// process.
func Bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
