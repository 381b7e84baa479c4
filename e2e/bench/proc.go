package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// tick is the unit of times in /proc/PID/stat, the same on all architectures that Go runs on.
const tick = 10 * time.Millisecond

// A stat is what /proc/PID/stat says of a process.
type stat struct {
	pid, parent int
	cpu         time.Duration // in user and system mode, of all its threads
}

// parseStat reads the one line of /proc/PID/stat.
func parseStat(line []byte) (stat, error) {
	// The second field is a name in brackets, in which anything can stand.
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("stat of a process: no name in %q", line)
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("stat of a process: %d fields after the name, not 13", len(fields))
	}
	var numbers [4]int64
	for i, f := range [][]byte{bytes.TrimSpace(line[:open]), fields[1], fields[11], fields[12]} {
		var err error
		if numbers[i], err = strconv.ParseInt(string(f), 10, 64); err != nil {
			return stat{}, fmt.Errorf("stat of a process: %w", err)
		}
	}
	return stat{int(numbers[0]), int(numbers[1]), time.Duration(numbers[2]+numbers[3]) * tick}, nil
}

// family returns root and what descends from it.
func family(all []stat, root int) []stat {
	var found []stat
	pids := []int{root}
	for len(pids) > 0 {
		var children []int
		for _, s := range all {
			if slices.Contains(pids, s.pid) {
				found = append(found, s)
			}
			if slices.Contains(pids, s.parent) {
				children = append(children, s.pid)
			}
		}
		pids = children
	}
	return found
}

// processes returns a process and its descendants.
func processes(root int) ([]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []stat
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended since
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return family(all, root), nil
}

// cpuOf returns what a process and its descendants have cost.
func cpuOf(root int) (time.Duration, error) {
	all, err := processes(root)
	var sum time.Duration
	for _, s := range all {
		sum += s.cpu
	}
	return sum, err
}

// peakOf returns the most memory that a process had resident at once, in bytes. Of several it is the sum, which counts
// pages that they share more than once.
func peakOf(root int) (int64, error) {
	all, err := processes(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range all {
		peak, err := rig.Memory(s.pid, rig.Peak)
		if err != nil {
			return 0, err
		}
		sum += peak
	}
	return sum, nil
}
