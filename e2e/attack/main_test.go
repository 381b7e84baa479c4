package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the path of the tagwarden under attack; TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binary in a folder that goes away with the run, unless the environment names one, and runs the tests.
func run(m *testing.M) int {
	if binary = os.Getenv("TAGWARDEN_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tagwarden-attack-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tagwarden")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=attack", "-o", binary, "../../cmd/tagwarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as "make build", so that the two share what is compiled
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build tagwarden:", err)
		return 1
	}
	return m.Run()
}
