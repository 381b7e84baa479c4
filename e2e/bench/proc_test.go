package main

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = "S 7 1234 1234 0 -1 4194560 1000 0 5 0 150 50 9 9 20 0 12 0 100 0 0"
	for _, c := range []struct {
		name, line string
		want       stat
		fails      bool
	}{
		{"plain", "1234 (bare) " + rest, stat{1234, 7, 2 * time.Second}, false},
		{"brackets and spaces in the name", "1234 (a) b (c) " + rest, stat{1234, 7, 2 * time.Second}, false},
		{"no name", "1234 bare " + rest, stat{}, true},
		{"cut", "1234 (bare) S 7 1234", stat{}, true},
		{"not a number", "1234 (bare) S x 1234 1234 0 -1 4194560 1000 0 5 0 150 50 9", stat{}, true},
		{"empty", "", stat{}, true},
	} {
		got, err := parseStat([]byte(c.line))
		if got != c.want || err != nil != c.fails {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestFamily(t *testing.T) {
	all := []stat{{5, 4, 1}, {2, 1, 2}, {3, 2, 4}, {4, 2, 8}, {9, 1, 16}}
	var pids []int
	for _, s := range family(all, 2) {
		pids = append(pids, s.pid)
	}
	slices.Sort(pids)
	if !slices.Equal(pids, []int{2, 3, 4, 5}) {
		t.Errorf("family %v", pids)
	}
}

// TestProc reads the real thing: this process and a child of it.
func TestProc(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc")
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); child.Wait() }()
	all, err := processes(os.Getpid())
	if err != nil || !slices.ContainsFunc(all, func(s stat) bool { return s.pid == child.Process.Pid }) {
		t.Errorf("%v, %v: no child %d", all, err, child.Process.Pid)
	}
	if peak, err := peakOf(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("peak %d, %v", peak, err)
	}
}
