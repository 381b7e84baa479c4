package faults

import (
	"os/exec"
	"syscall"
)

// noOrphan lets the program end with a test run that dies without its clean-up.
func noOrphan(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
