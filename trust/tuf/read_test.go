package tuf

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// now is when everybody looks.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestRead: what is read is what is published, and what is wrong with it is said.
func TestRead(t *testing.T) {
	repo := trusttest.NewTUF(now)
	alice := repo.Delegate(repo.Targets, "alice", "r.example/a:*")
	bob := repo.Delegate(repo.Targets, "team/bob", "r.example/b:*")
	alice.Sign("r.example/a:v1", "a")
	repo.Publish()
	pinned := repo.Files()["1.root.json"]
	repo.RotateRoot()
	bob.Signers = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)}
	repo.Next(bob)
	read := func(o ReadOptions) (*Repository, error) {
		o.Source = repo
		if o.Root == nil {
			o.Root = pinned
		}
		return Read(t.Context(), o)
	}
	r, err := read(ReadOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(r.Targets)); !slices.Equal(got, []string{"alice", "targets"}) {
		t.Errorf("roles %v", got)
	}
	if got := slices.Sorted(maps.Keys(r.Raw)); !slices.Equal(got, []string{"1.alice.json", "1.root.json", "1.targets.json", "2.root.json", "2.snapshot.json", "timestamp.json"}) {
		t.Errorf("files %v", got)
	}
	for name, raw := range r.Raw {
		if string(raw) != string(repo.Files()[name]) {
			t.Errorf("%s is not what is published", name)
		}
	}
	if trust.ReasonOf(r.Broken["team/bob"]) != trust.ThresholdNotMet || len(r.Broken) != 1 {
		t.Errorf("broken %v", r.Broken)
	}
	if len(r.Roots) != 2 || r.Root.Signed.Version != 2 || r.Snapshot.Signed.Version != 2 || r.Timestamp.Signed.Version != 2 || r.Targets["alice"].Signed.Targets["r.example/a:v1"].Length != 1 {
		t.Errorf("read %+v", r)
	}
	late := now.AddDate(2, 0, 0)
	for name, c := range map[string]struct {
		o    ReadOptions
		want trust.Reason
	}{
		"expired":           {ReadOptions{Now: late}, trust.MetadataExpired},
		"no time":           {ReadOptions{}, trust.MetadataExpired},
		"no root":           {ReadOptions{Root: []byte("{}"), Now: now}, trust.RootNotPinned},
		"another's root":    {ReadOptions{Root: stranger().Files()["1.root.json"], Now: now}, trust.RootMismatch},
		"expired, accepted": {ReadOptions{Now: late, Expired: true}, ""},
	} {
		if _, err := read(c.o); err == nil != (c.want == "") || err != nil && trust.ReasonOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func stranger() *trusttest.TUF {
	repo := trusttest.NewTUF(now)
	repo.Publish()
	return repo
}
