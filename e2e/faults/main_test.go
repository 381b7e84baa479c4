package faults

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// binary is the path of the tagwarden under test; TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) {
	// What runs here waits most of the time, for other processes or for time to pass.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(rig.Main("faults", func(built string) int {
		binary = built
		return m.Run()
	}))
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
