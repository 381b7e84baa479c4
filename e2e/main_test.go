//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the tagwarden under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

// build makes the binary once, in a folder that goes away with the run, and
// runs the tests.
func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tagwarden-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)

	// Debian keeps daemons where only root looks.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")

	binary = filepath.Join(dir, "tagwarden")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=e2e", "-o", binary, "../cmd/tagwarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as "make build", so that the two share what is compiled
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build tagwarden:", err)
		return 1
	}
	return m.Run()
}

// need skips the test where one of the tools is not installed. With CI=true a
// client that was not tried is a failure.
func need(t testing.TB, tools ...string) {
	t.Helper()
	absent := ""
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			absent += " " + tool
		}
	}
	if os.Geteuid() != 0 {
		absent += " root"
	}
	switch {
	case absent == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("missing:%s", absent)
	default:
		t.Skipf("missing:%s", absent)
	}
}
