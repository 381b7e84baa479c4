package tuf

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/semaphore"
)

// TestAuthority: what the library says of signatures is told as what it means, and whatever else it says is no signature.
//
// TUF: section 5.4.2.
func TestAuthority(t *testing.T) {
	repo := newRepo()
	releases := repo.Delegations[0]
	releases.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519), trusttest.NewKey(trusttest.Ed25519), trusttest.NewKey(trusttest.ECDSA)}
	repo.Publish()
	top, err := newRole("targets", repo.Files()["1.targets.json"])
	if err != nil {
		t.Fatal(err)
	}
	file, err := newRole("releases", repo.Files()["1.releases.json"])
	if err != nil {
		t.Fatal(err)
	}
	by, signatures := top.authority(0), slices.Clone(file.md.Signatures)
	ids := slices.Sorted(slices.Values(by.ids))
	for range 2 {
		if got, err := by.verify("releases", 1, file.md, file.md.Signatures); err != nil || !slices.Equal(got, ids) {
			t.Errorf("signed by %q, want %q, %v", got, ids, err)
		}
		slices.Reverse(file.md.Signatures)
	}
	file.md.Signatures = []metadata.Signature{{KeyID: by.ids[0], Signature: signatures[1].Signature}}
	_, err = by.verify("releases", 1, file.md, file.md.Signatures)
	if trust.ReasonOf(err) != trust.ThresholdNotMet || !strings.Contains(err.Error(), "releases v1: fewer than the 1 required signatures") {
		t.Errorf("another's signature: %v", err)
	}
	if _, err := by.verify("releases", 1, "no file", signatures); trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("what the library does not know: %v", err)
	}
}

// TestExpiredInHandIsNotTaken: a file that is the same as before is looked at again when its time is over, also where the
// source has nothing new at all.
//
// PRODUCT: section 8, new data that is authentic but expired is not taken. TUF: section 5.3.10.
func TestExpiredInHandIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		role func(*trusttest.TUF) *trusttest.Role
		next bool
	}{
		"targets v1 expired": {func(r *trusttest.TUF) *trusttest.Role { return r.Targets }, true},
		"root v1 expired":    {func(r *trusttest.TUF) *trusttest.Role { return r.Root }, false},
	} {
		repo := newRepo()
		c.role(repo).Expires = repo.Now.AddDate(0, 0, 1)
		repo.Publish()
		v := rig(t, repo).open()
		refreshed(t, v)
		repo.Now = repo.Now.AddDate(0, 0, 2)
		if c.next {
			repo.Next()
		}
		if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.MetadataExpired || !strings.Contains(err.Error(), name) {
			t.Errorf("want %s: %v", name, err)
		}
	}
}

// TestForbiddenTimestamp: a store that forbids the timestamp could not be asked, and the refusal says for what.
func TestForbiddenTimestamp(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	w.source = sourceFunc(func(ctx context.Context, file string, limit int64) ([]byte, error) {
		if file == "timestamp.json" {
			return nil, fs.ErrPermission
		}
		return repo.Fetch(ctx, file, limit)
	})
	var r *trust.Refusal
	if _, err := w.open().Refresh(t.Context()); !errors.As(err, &r) || r.Reason != trust.SourceUnreachable || !strings.Contains(r.Text, "timestamp.json") {
		t.Error(err)
	}
}

// TestSetIsBounded: files that came in many updates are not more in all than what can be loaded again.
//
// PRODUCT: invariant 9.
func TestSetIsBounded(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	repo.RotateRoot()
	repo.Publish()
	v := w.format().open(Whole)
	refreshed(t, v)
	repo.Next()
	v.base.roots[0] = make([]byte, maxUpdate)
	u := update{src: repo, base: v.base, held: true, seen: v.seen, now: now}
	if _, err := u.run(t.Context()); err == nil || trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Error(err)
	}
}

// TestRefreshEnds: an update whose time is over ends as one whose source could not be asked, and takes nothing.
//
// PRODUCT: invariant 9.
func TestRefreshEnds(t *testing.T) {
	repo := newRepo()
	repo.Publish()
	w := rig(t, repo)
	ctx, cancel := context.WithCancel(t.Context())
	w.source = sourceFunc(func(_ context.Context, file string, limit int64) ([]byte, error) {
		if file == "1.releases.json" {
			defer cancel()
		}
		return repo.Fetch(t.Context(), file, limit)
	})
	u := update{pin: w.pin, src: w.source, now: now}
	if _, err := u.run(ctx); err == nil || trust.ReasonOf(err) != trust.SourceUnreachable {
		t.Error(err)
	}
	u = update{heavy: semaphore.NewWeighted(light)}
	if err := u.read(ctx, &node{name: "x"}, make([]byte, light+1)); err == nil || trust.ReasonOf(err) != trust.SourceUnreachable {
		t.Errorf("without room for a large file: %v", err)
	}
}

// TestDiamond: a role to which several delegate is fetched once, whoever met it first.
func TestDiamond(t *testing.T) {
	repo := newRepo()
	shared := repo.Delegate(repo.Delegations[0], "shared", "r.example/app:*")
	repo.Delegations[1].Grant(shared).Paths = []string{"r.example/app:*"}
	shared.Grant(repo.Delegations[1])
	repo.Publish()
	refreshed(t, rig(t, repo).open())
	asked := repo.Asked()
	slices.Sort(asked)
	if got := slices.Compact(slices.Clone(asked)); !slices.Equal(got, asked) || !slices.Contains(got, "1.shared.json") {
		t.Errorf("asked %v", asked)
	}
}
