//go:build !linux

package rig

import "syscall"

// attributes put a process into a group of its own. There is no way to end it with this one.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
