package rig

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// The lines of /proc/PID/status about resident memory: what a process has now, and the most that it ever had.
const (
	Resident = "VmRSS"
	Peak     = "VmHWM"
)

// Memory returns one line of /proc/PID/status, in bytes. Only Linux has it.
func Memory(pid int, line string) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseMemory(raw, line)
}

// parseMemory reads /proc/PID/status.
func parseMemory(raw []byte, want string) (int64, error) {
	for line := range bytes.Lines(raw) {
		value, found := bytes.CutPrefix(line, []byte(want+":"))
		if !found {
			continue
		}
		fields := bytes.Fields(value)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0, fmt.Errorf("status of a process: %s is %q", want, value)
		}
		n, err := strconv.ParseInt(string(fields[0]), 10, 64)
		return n << 10, err
	}
	return 0, fmt.Errorf("status of a process: no %s", want)
}

// Descriptors returns how many files and sockets a process has open. Only Linux tells.
func Descriptors(pid int) (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(all), err
}
