package dct

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust/state"
)

// retiredPrefix begins the names of files that are kept only as floors.
const retiredPrefix = "retired/"

// record returns the files of the set under the names by which they are published.
func (t *trusted) record(checked time.Time) state.Record {
	r := state.Record{Checked: checked}
	add := func(name string, raw []byte) { r.Files = append(r.Files, state.File{Name: name, Data: raw}) }
	for _, root := range t.roots {
		add(fmt.Sprintf("%d.root.json", root.version), root.raw)
	}
	add("timestamp.json", t.timestamp.raw)
	add(t.timestamp.snapshot.name("snapshot"), t.snapshot.raw)
	for _, role := range t.order {
		if info, ok := t.snapshot.meta[role]; ok {
			add(info.name(role), t.roles[role].raw)
		}
	}
	for role, d := range t.retired {
		add(retiredPrefix+role+".json", d.raw)
	}
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

// restore verifies a record again, from what the pin allows onwards: its set, nil if there is none yet, and what was seen.
// Only expiry is left to the decisions.
func (v *verifier) restore(ctx context.Context, r *state.Record, pin Pin) (*trusted, seen, error) {
	files, beyond := make(kept), make(kept)
	for _, f := range r.Files {
		if name, ok := strings.CutPrefix(f.Name, seenPrefix); ok {
			beyond[name+".json"] = f.Data
		} else {
			files[f.Name] = f.Data
		}
	}
	var t *trusted
	if len(files) > 0 || len(beyond) == 0 {
		var err error
		if t, err = v.restoreSet(ctx, files, pin); err != nil {
			return nil, seen{}, err
		}
	}
	s, err := v.restoreSeen(ctx, t, beyond, pin)
	if err != nil {
		return nil, seen{}, err
	}
	return t, s, nil
}

// restoreSet verifies the files of a set again.
func (v *verifier) restoreSet(ctx context.Context, files kept, pin Pin) (*trusted, error) {
	u := update{gun: v.gun, pin: pin, src: files, now: v.f.o.Now(), kept: true, large: v.f.large}
	if err := u.again(ctx, files); err != nil {
		return nil, err
	}
	u.next.retired = make(map[string]*document)
	for name, raw := range files {
		role, ok := strings.CutPrefix(name, retiredPrefix)
		if role = strings.TrimSuffix(role, ".json"); ok && delegation(role) {
			d, err := parse(role, wantType(role), raw)
			if err != nil {
				return nil, err
			}
			u.next.retired[role] = d
		}
	}
	if err := u.head(ctx); err != nil {
		return nil, err
	}
	if err := u.delegations(ctx); err != nil {
		return nil, err
	}
	return &u.next, nil
}

// again verifies the kept roots: from the newest that the pin allows, or the first of all under trust on first use, each
// must follow the one before.
//
// DCT: W6, pins are enforced on every start.
func (u *update) again(ctx context.Context, files kept) error {
	var roots []*root
	for name, raw := range files {
		if !strings.HasSuffix(name, ".root.json") {
			continue
		}
		r, err := parseRoot(u.gun, raw)
		if err != nil {
			return err
		}
		roots = append(roots, r)
	}
	if len(roots) == 0 {
		return invalid("root", errors.New("no root was kept"))
	}
	slices.SortFunc(roots, func(a, b *root) int { return int(a.version - b.version) })
	first := 0
	if !u.pin.TOFU {
		for first = len(roots) - 1; first > 0 && u.pin.matches(roots[first], u.now) != nil; first-- {
		}
	}
	if err := u.pin.matches(roots[first], u.now); err != nil {
		return u.notPinned(roots[first], err)
	}
	roots[first].from, roots[first].until = roots[first].span()
	u.next.roots = roots[first : first+1]
	if err := u.walk(ctx); err != nil {
		return err
	}
	if newest := roots[len(roots)-1].version; u.next.root().version != newest {
		return invalid("root", fmt.Errorf("of those up to v%d, which were kept, one is missing", newest))
	}
	return nil
}
