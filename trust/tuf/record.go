package tuf

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// refusedFile says why roles have no file, and disputedFile of which versions two files were seen. No published file has a
// slash in its name.
const (
	refusedFile  = "kept/refused.json"
	disputedFile = "kept/disputed.json"
)

// A failure is why a role has no file, as it is kept: what the source gave in its place is not.
type failure struct {
	Reason trust.Reason `json:"reason"`
	Text   string       `json:"text"`
	Final  bool         `json:"final"`
}

// recordOf returns the files of a set, nil for none, and what was seen beyond it. Those that are beyond use are included:
// with the next delegation they may not be.
func recordOf(t *trusted, s *seen, checked time.Time) state.Record {
	r := state.Record{Checked: checked}
	if t != nil {
		for _, f := range t.files() {
			r.Files = append(r.Files, state.File{Name: f.name, Data: f.raw})
		}
		failures, disputes := make(map[string]failure), make(map[string]map[string]int64)
		for name, n := range t.nodes {
			if n.refusal != nil {
				failures[name] = failure{n.refusal.Reason, n.refusal.Error(), n.final}
			}
			if n.disputed != nil {
				disputes[name] = n.disputed
			}
		}
		r.Files = append(r.Files, state.File{Name: refusedFile, Data: encode(failures)})
		if len(disputes) > 0 {
			r.Files = append(r.Files, state.File{Name: disputedFile, Data: encode(disputes)})
		}
	}
	for _, f := range s.beyond(t) {
		r.Files = append(r.Files, state.File{Name: f.name, Data: f.raw})
	}
	return r
}

// encode returns a value in JSON that has a form there.
func encode(v any) []byte {
	raw, _ := json.Marshal(v) // it has
	return raw
}

// kept is a record as a source.
type kept map[string][]byte

// Fetch implements trust.Source.
func (k kept) Fetch(_ context.Context, file string, _ int64) ([]byte, error) {
	raw, ok := k[file]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return raw, nil
}

// restore verifies a record again, from a root onwards: its set, nil if there is none yet, and what was seen. Only expiry
// is left to the decisions.
func (v *verifier) restore(ctx context.Context, r *state.Record, pin []byte) (*trusted, *seen, error) {
	files, beyond := make(kept), make(kept)
	for _, f := range r.Files {
		if name, ok := strings.CutPrefix(f.Name, seenPrefix); ok {
			beyond[name] = f.Data
		} else {
			files[f.Name] = f.Data
		}
	}
	var t *trusted
	var err error
	if len(files) > 0 || len(beyond) == 0 {
		if t, err = v.restoreSet(ctx, files, pin); err != nil {
			return nil, nil, err
		}
	}
	s, err := restoreSeen(ctx, t, pin, beyond)
	if err != nil {
		return nil, nil, err
	}
	// A newer root to which the pinned one does not lead must not be forgotten over it.
	if _, newest := rootsOf(r); newest > s.root.Signed.Version {
		return nil, nil, &trust.Refusal{Reason: trust.RootNotPinned, Text: fmt.Sprintf("root v%d was verified before, and the pinned root leads to v%d", newest, s.root.Signed.Version)}
	}
	return t, s, nil
}

// restoreSet verifies the files of a set again.
func (v *verifier) restoreSet(ctx context.Context, files kept, pin []byte) (*trusted, error) {
	u := update{pin: pin, src: files, expired: true, kept: make(map[string]failure), heavy: v.f.heavy}
	if err := json.Unmarshal(files[refusedFile], &u.kept); err != nil {
		return nil, invalid(refusedFile, quoted(err))
	}
	if raw := files[disputedFile]; raw != nil {
		if err := json.Unmarshal(raw, &u.disputes); err != nil {
			return nil, invalid(disputedFile, quoted(err))
		}
	}
	return u.run(ctx)
}

// rootsOf returns the oldest root of a record, nil if there is none, and the version of the newest.
func rootsOf(r *state.Record) (first []byte, newest int64) {
	oldest := int64(math.MaxInt64)
	for _, f := range r.Files {
		var version int64
		name := strings.TrimPrefix(f.Name, seenPrefix)
		if _, err := fmt.Sscanf(name, "%d.root.json", &version); err != nil || name != fileName(metadata.ROOT, version, true) {
			continue
		}
		if version < oldest {
			first, oldest = slices.Clone(f.Data), version
		}
		newest = max(newest, version)
	}
	return first, newest
}
