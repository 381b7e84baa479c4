package attack

import (
	"fmt"
	"slices"
	"testing"
)

// A door is one attack through the door: by a client, or by a registry that answers.
type door struct {
	row    int
	name   string
	proves string // what holds if the test passes
	attack func(t *testing.T)
}

// doors is how many rows the table of attacks has.
const doors = 31

// allDoors returns all rows, one theme after the other.
func allDoors() []door {
	return slices.Concat(spellings(), places(), contents(), claims(), bounds(), crowds(), verdicts())
}

// TestDoor attacks the door. The rows are numbered, and each is there.
func TestDoor(t *testing.T) {
	t.Parallel()
	all := allDoors()
	missing := make(map[int]bool)
	for row := range doors {
		missing[row+1] = true
	}
	for _, d := range all {
		delete(missing, d.row)
		t.Run(fmt.Sprintf("door/%02d %s", d.row, d.name), func(t *testing.T) {
			t.Parallel()
			t.Log(d.proves)
			d.attack(t)
		})
	}
	if len(missing) > 0 {
		t.Errorf("no test for rows %v", missing)
	}
}

// blob and manifest are where r.example/app has something.
func blob[D ~string](d D) string     { return "/v2/r.example/app/blobs/" + string(d) }
func manifest[R ~string](r R) string { return "/v2/r.example/app/manifests/" + string(r) }
