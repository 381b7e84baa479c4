package faults

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// binary is the path of the tagwarden under test; TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binary in a folder that goes away with the run, unless the environment names one, and runs the tests.
func run(m *testing.M) int {
	// What runs here waits most of the time, for other processes or for time to pass.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if binary = os.Getenv("TAGWARDEN_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tagwarden-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tagwarden")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=faults", "-o", binary, "../../cmd/tagwarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as "make build", so that the two share what is compiled
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build tagwarden:", err)
		return 1
	}
	return m.Run()
}

// chance returns the random numbers of one test, and has a failure say how to draw them again.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("TAGWARDEN_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("random numbers of TAGWARDEN_SEED=%d", seed)
		}
	})
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name())) // a hash takes everything
	return rand.New(rand.NewPCG(seed, name.Sum64()))
}
