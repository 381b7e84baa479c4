//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// binary is the tagwarden under test; TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	// Debian keeps daemons where only root looks.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	os.Exit(rig.Main("e2e", func(built string) int {
		binary = built
		return m.Run()
	}))
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
