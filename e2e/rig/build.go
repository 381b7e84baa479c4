package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build returns the tagwarden to run: the one that TAGWARDEN_BINARY names, or one that is built of the module around the
// working folder and goes away with remove. It is built as "make build" does, so that the two share what is compiled.
func Build(version string) (binary string, remove func() error, err error) {
	if binary = os.Getenv("TAGWARDEN_BINARY"); binary != "" {
		return binary, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "tagwarden-"+version+"-")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	binary = filepath.Join(dir, "tagwarden")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version,
		"-o", binary, "github.com/tagwarden/tagwarden/cmd/tagwarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("build tagwarden: %w\n%s", err, out), remove())
	}
	return binary, remove, nil
}

// Main builds the binary, has it used by the tests that run are, and returns the exit status of all.
func Main(version string, run func(binary string) int) int {
	binary, remove, err := Build(version)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := run(binary)
	if err := remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
