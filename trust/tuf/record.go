package tuf

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// refusedFile says why roles have no file. No published file has a slash in its name.
const refusedFile = "kept/refused.json"

// A failure is why a role has no file, as it is kept: what the source gave in its place is not.
type failure struct {
	Reason trust.Reason `json:"reason"`
	Text   string       `json:"text"`
	Final  bool         `json:"final"`
}

// record returns the files of the set, those that are beyond use included: with the next delegation they may not be.
func (t *trusted) record(checked time.Time) state.Record {
	r := state.Record{Checked: checked}
	for _, f := range t.files() {
		r.Files = append(r.Files, state.File{Name: f.name, Data: f.raw})
	}
	failures := make(map[string]failure)
	for name, n := range t.nodes {
		if n.refusal != nil {
			failures[name] = failure{n.refusal.Reason, n.refusal.Error(), n.final}
		}
	}
	raw, _ := json.Marshal(failures) // there is nothing in it that JSON has no place for
	r.Files = append(r.Files, state.File{Name: refusedFile, Data: raw})
	return r
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

// restore verifies a record again, from a root onwards. Only expiry is left to the decisions.
func (v *verifier) restore(ctx context.Context, r *state.Record, pin []byte) (*trusted, error) {
	files := make(kept)
	for _, f := range r.Files {
		files[f.Name] = f.Data
	}
	u := update{pin: pin, src: files, expired: true, kept: make(map[string]failure), heavy: v.f.heavy}
	if err := json.Unmarshal(files[refusedFile], &u.kept); err != nil {
		return nil, invalid(refusedFile, quoted(err))
	}
	t, err := u.run(ctx)
	if err != nil {
		return nil, err
	}
	// A newer root to which the pinned one does not lead must not be forgotten over it.
	if _, newest := rootsOf(r); newest > t.root.Signed.Version {
		return nil, &trust.Refusal{Reason: trust.RootNotPinned, Text: fmt.Sprintf("root v%d was verified before, and the pinned root leads to v%d", newest, t.root.Signed.Version)}
	}
	return t, nil
}

// rootsOf returns the oldest root of a record, nil if there is none, and the version of the newest.
func rootsOf(r *state.Record) (first []byte, newest int64) {
	oldest := int64(math.MaxInt64)
	for _, f := range r.Files {
		var version int64
		if _, err := fmt.Sscanf(f.Name, "%d.root.json", &version); err != nil || f.Name != fileName(metadata.ROOT, version, true) {
			continue
		}
		if version < oldest {
			first, oldest = slices.Clone(f.Data), version
		}
		newest = max(newest, version)
	}
	return first, newest
}
