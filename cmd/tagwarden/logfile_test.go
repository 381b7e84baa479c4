package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintln(l, "one")
	if l.moved() {
		t.Error("moved, and nobody did")
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "two")
	if !l.moved() {
		t.Error("not moved")
	}
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "three")
	for file, want := range map[string]string{path + ".1": "one\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(file); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	l.path = filepath.Join(path, "not a folder")
	if err := l.reopen(); err == nil {
		t.Error("reopened where nothing can be")
	}
	fmt.Fprintln(l, "four")
	if got, _ := os.ReadFile(path); string(got) != "three\nfour\n" {
		t.Errorf("after a reopen that failed: %q", got)
	}
}

// TestStuckLogFile: a write that does not come back holds up neither the look whether the file was moved nor a new one, and
// what it had left is written there.
//
// PRODUCT: invariant 9.
func TestStuckLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer reader.Close()
	line := strings.Repeat("x", 1<<20) // more than a pipe holds
	written := make(chan error, 1)
	go func() {
		_, err := fmt.Fprint(l, line)
		written <- err
	}()
	if _, err := reader.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	reopened := make(chan error, 1)
	go func() {
		if l.moved() {
			t.Error("moved, and nobody did")
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		if !l.moved() {
			t.Error("not moved")
		}
		reopened <- l.reopen()
	}()
	for _, c := range []chan error{reopened, written} {
		select {
		case err := <-c:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the stuck write holds it up")
		}
	}
	if got, err := os.ReadFile(path); err != nil || len(got) == 0 || !strings.HasSuffix(line, string(got)) {
		t.Errorf("%d bytes are in the new file, %v", len(got), err)
	}
}
