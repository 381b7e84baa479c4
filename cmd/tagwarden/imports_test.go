package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

const module = "github.com/tagwarden/tagwarden"

// doors says which packages of the module each may import. What is missing here may import nothing of ours.
var doors = map[string][]string{
	"cmd/tagwarden": {
		"cache", "config", "proxy", "proxy/admin", "proxy/audit", "proxy/publish", "proxy/upstream", "proxy/upstreamtest",
		"trust", "trust/dct", "trust/names", "trust/remote", "trust/signing", "trust/state", "trust/tuf",
	},
	"cache":              {},
	"config":             {"trust/names"},
	"e2e/bench":          {"e2e/rig", "trust/trusttest"},
	"e2e/attack":         {},
	"e2e/faults":         {},
	"e2e/conformance":    {"trust", "trust/remote", "trust/state", "trust/tuf"},
	"e2e/mutate":         {},
	"e2e/rig":            {},
	"e2e/soak":           {"e2e/rig", "proxy/upstreamtest", "trust/trusttest"},
	"proxy":              {"cache", "proxy/route", "trust", "trust/names"},
	"proxy/admin":        {"trust"},
	"proxy/audit":        {},
	"proxy/publish":      {"trust"},
	"proxy/route":        {"trust/names"},
	"proxy/upstream":     {},
	"proxy/upstreamtest": {},
	"trust":              {"trust/names"},
	"trust/dct":          {"trust", "trust/names", "trust/state", "trust/strict"},
	"trust/names":        {},
	"trust/remote":       {"trust"},
	"trust/signing":      {"trust", "trust/names", "trust/remote", "trust/strict", "trust/tuf"},
	"trust/state":        {},
	"trust/strict":       {},
	"trust/trusttest":    {"trust"},
	"trust/tuf":          {"trust", "trust/names", "trust/state", "trust/strict"},
}

// offline are the packages that never link net/http, not even through others.
var offline = []string{"trust", "trust/dct", "trust/names", "trust/state", "trust/strict", "trust/tuf", "cache", "config"}

// testsOnly are the packages that never end up in the binary.
var testsOnly = []string{"trust/trusttest"}

type listed struct {
	ImportPath    string
	Imports, Deps []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestDoors holds the house to its plan: who may import whom, and who stays off the network.
func TestDoors(t *testing.T) {
	packages := list(t, module+"/...")
	if len(packages) < len(doors) {
		t.Errorf("%d packages, %d have doors", len(packages), len(doors))
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, known := doors[name]
		if !known && name != "e2e" {
			t.Errorf("%s has no entry in doors", name)
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok && !contains(allowed, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
		}
		if contains(offline, name) && contains(p.Deps, "net/http") {
			t.Errorf("%s links net/http", name)
		}
		if name == "cmd/tagwarden" {
			for _, only := range testsOnly {
				if contains(p.Deps, path.Join(module, only)) {
					t.Errorf("the binary links %s, which is for tests", only)
				}
			}
		}
	}
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}
