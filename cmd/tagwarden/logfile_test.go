package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
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
