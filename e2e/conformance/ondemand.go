package main

import (
	"context"
	"io/fs"
	"regexp"
	"strings"
	"sync"

	"github.com/tagwarden/tagwarden/trust"
)

// topLevel are the files of the roles that are needed for every target.
var topLevel = regexp.MustCompile(`^([0-9]+\.)?(root|timestamp|snapshot|targets)\.json$`)

// An onDemand is a source that says it has no delegated role before the role is released. To a verifier that is a role
// which the source lacks: it refuses the names that depend on it, says for which file, and asks for it again with the next
// update. So roles are fetched one by one, as the verifier's own search for a target comes to them.
//
// No file is fetched twice: all updates of one command see one state of the repository.
type onDemand struct {
	from trust.Source

	mu       sync.Mutex
	had      map[string]answer
	withheld map[string]bool // false: released
}

// An answer is what the source answered.
type answer struct {
	raw []byte
	err error
}

func newOnDemand(from trust.Source) *onDemand {
	return &onDemand{from: from, had: make(map[string]answer), withheld: make(map[string]bool)}
}

// Fetch implements trust.Source.
func (d *onDemand) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if withheld, asked := d.withheld[file]; !topLevel.MatchString(file) && (withheld || !asked) {
		d.withheld[file] = true
		return nil, fs.ErrNotExist
	}
	a, ok := d.had[file]
	if !ok {
		a.raw, a.err = d.from.Fetch(ctx, file, limit)
		d.had[file] = a
	}
	return a.raw, a.err
}

// release releases the withheld file for which the verifier refused something. It returns false if there is none.
func (d *onDemand) release(refusal error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for file, withheld := range d.withheld {
		if withheld && strings.Contains(refusal.Error(), " "+file+",") {
			d.withheld[file] = false
			return true
		}
	}
	return false
}
