package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// saveForever is what the killed process does: it saves version after version, and says each that is kept.
func saveForever(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	c := s.Collection("corp", "r.example/app")
	version := 0
	if r, err := c.Load(); err == nil {
		version = int(r.Checked.Sub(checked) / time.Minute)
	} else if !errors.Is(err, fs.ErrNotExist) {
		panic(err)
	}
	for {
		version++
		if err := c.Save(record(version)); err != nil {
			panic(err)
		}
		fmt.Println(version)
	}
}

// saveOnFullDisk is what a process does whose disk takes files of a thousand bytes only: it saves once in vain, and mends
// once in vain.
func saveOnFullDisk(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(context.Background(), Options{Dir: dir, Observe: func(_, _ string, err error) { fmt.Println(err) }})
	if err != nil {
		panic(err)
	}
	c := s.Collection("corp", "r.example/app")
	if _, err := c.Load(); err != nil {
		panic(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
		panic(err)
	}
	fmt.Println(c.Save(record(3)), s.Writable())
	if err := os.Remove(filepath.Join(c.dir, "0")); err != nil {
		panic(err)
	}
	r, err := c.Load()
	fmt.Println(r.Checked.Equal(record(2).Checked), err)
	os.Exit(0)
}

// saveReadOnly is what a process does that may not write to its state folder any more: it saves once in vain.
func saveReadOnly(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	c := s.Collection("corp", "r.example/app")
	if _, err := c.Load(); err != nil {
		panic(err)
	}
	for _, folder := range []string{c.dir, dir} {
		if err := os.Chmod(folder, 0o500); err != nil {
			panic(err)
		}
	}
	if os.Geteuid() == 0 { // whom no mode binds
		if err := syscall.Setuid(65534); err != nil {
			panic(err)
		}
	}
	fmt.Println("save:", c.Save(record(3)))
	fmt.Println("writable:", s.Writable())
	os.Exit(0)
}

// raiseForever is what another killed process does: it raises the floor of the clock minute by minute, and says each that
// is kept.
func raiseForever(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Observe: func(_, _ string, err error) { panic(err) }})
	if err != nil {
		panic(err)
	}
	minute := time.Duration(0)
	c := s.Clock(func() time.Time { return checked.Add(minute) }, func() time.Duration { return minute })
	for minute = max(0, c.Floor().Sub(checked)); ; {
		minute += time.Minute
		c.Raise(c.Now())
		fmt.Println(int(minute / time.Minute))
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("TAGWARDEN_TEST_RAISE_IN"); dir != "" {
		raiseForever(dir)
	}
	if dir := os.Getenv("TAGWARDEN_TEST_READ_ONLY"); dir != "" {
		saveReadOnly(dir)
	}
	if dir := os.Getenv("TAGWARDEN_TEST_FULL"); dir != "" {
		saveOnFullDisk(dir)
	}
	if dir := os.Getenv("TAGWARDEN_TEST_SAVE_IN"); dir != "" {
		saveForever(dir)
	}
	os.Exit(m.Run())
}

// TestKillClock: the floor of the clock that a killed process had kept is there, or a later one.
// PRODUCT: invariant 6.
func TestKillClock(t *testing.T) {
	dir, kept := t.TempDir(), checked
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_RAISE_IN="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for i := 1 + rand.IntN(8); lines.Scan(); i-- {
			minute, err := strconv.Atoi(lines.Text())
			must(t, err)
			kept = checked.Add(time.Duration(minute) * time.Minute)
			if i == 0 {
				must(t, cmd.Process.Kill())
			}
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatal(err)
		}
		s := open(t, dir)
		s.o.Observe = func(_, _ string, err error) { t.Errorf("damaged: %v", err) }
		c := s.Clock(func() time.Time { return checked }, func() time.Duration { return 0 })
		if c.Floor().Before(kept) || c.Floor().Equal(checked) {
			t.Fatalf("floor %s, after %s was kept", c.Floor(), kept)
		}
		must(t, s.Close())
	}
}

// TestKill: a process killed at any moment has kept what it said it had, or something newer, whole; and the lock is free.
// PRODUCT: invariant 6.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	kept := 0
	for range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_SAVE_IN="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(4) {
			if !lines.Scan() {
				t.Fatal("the process ended by itself")
			}
			kept, err = strconv.Atoi(lines.Text())
			must(t, err)
		}
		for range rand.IntN(200000) { // somewhere within the next save
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() {
			kept, err = strconv.Atoi(lines.Text())
			must(t, err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
		s := open(t, dir)
		s.o.Observe = func(_, _ string, err error) { t.Errorf("damaged: %v", err) }
		r, err := s.Collection("corp", "r.example/app").Load()
		must(t, err)
		version := int(r.Checked.Sub(checked) / time.Minute)
		check(t, "after the kill", r, nil, version)
		if version < kept {
			t.Fatalf("version %d is kept, after %d was", version, kept)
		}
		must(t, s.Close())
	}
}

// TestFullDisk: what cannot be kept is said not to be, and what was kept before stays.
func TestFullDisk(t *testing.T) {
	s, _ := saved(t)
	must(t, s.Close())
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_FULL="+s.o.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "file too large <nil>\n") {
		t.Errorf("%v: %s", err, out)
	}
	// What is whole serves all the same, and somebody is told.
	if !strings.Contains(string(out), "one copy is left") || !strings.HasSuffix(string(out), "true <nil>\n") {
		t.Errorf("in vain: %s", out)
	}
	s = open(t, s.o.Dir)
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "after a full disk", got, err, 2)
	if left, _ := filepath.Glob(filepath.Join(s.o.Dir, "corp", "*", tmpPrefix+"*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestReadOnlyFolder: the same where nothing can be written at all.
func TestReadOnlyFolder(t *testing.T) {
	s, c := saved(t)
	must(t, s.Close())
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_READ_ONLY="+s.o.Dir)
	out, err := cmd.CombinedOutput()
	for _, folder := range []string{s.o.Dir, c.dir} {
		must(t, os.Chmod(folder, 0o700))
	}
	if err != nil || strings.Count(string(out), "permission denied") != 2 {
		t.Errorf("%v: %s", err, out)
	}
	s = open(t, s.o.Dir)
	got, err := s.Collection("corp", "r.example/app").Load()
	check(t, "after a read-only folder", got, err, 2)
}
