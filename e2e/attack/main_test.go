package attack

import (
	"os"
	"testing"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// binary is the path of the tagwarden under attack; TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) {
	os.Exit(rig.Main("attack", func(built string) int {
		binary = built
		return m.Run()
	}))
}
