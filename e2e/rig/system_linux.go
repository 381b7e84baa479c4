package rig

import "syscall"

// attributes put a process into a group of its own, for children that outlive it; and end it with this one, however
// that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
