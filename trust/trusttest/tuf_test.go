package trusttest

import (
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// TestTUFIsGenuine: what is not attacked, another implementation accepts.
func TestTUFIsGenuine(t *testing.T) {
	repo := NewTUF(time.Now())
	bob := repo.Delegate(repo.Targets, "team/bob", "r.example/*:*")
	bob.Keys = append(bob.Keys, NewKey(ECDSA))
	bob.Threshold = 2
	bob.Entries["r.example/app:v1"] = Entry{Digest: bob.Sign("r.example/app:v1", "good"), Length: 4, MediaType: "application/vnd.oci.image.index.v1+json"}
	bob.Grants = []*Grant{{To: repo.Delegate(repo.Targets, "carol", "x"), Threshold: 1, Paths: []string{"y"}, Terminating: true}}
	repo.Publish()
	repo.RotateRoot()
	repo.Next(bob)
	fetch := func(file string) []byte {
		raw, err := repo.Fetch(t.Context(), file, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return raw
	}
	set, err := trustedmetadata.New(fetch("1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.UpdateRoot(fetch("2.root.json"))
	if err == nil {
		_, err = set.UpdateTimestamp(fetch("timestamp.json"))
	}
	if err == nil {
		_, err = set.UpdateSnapshot(fetch("2.snapshot.json"), false)
	}
	if err == nil {
		_, err = set.UpdateTargets(fetch("1.targets.json"))
	}
	if err == nil {
		_, err = set.UpdateDelegatedTargets(fetch("2.team%2Fbob.json"), "team/bob", "targets")
	}
	if err == nil {
		_, err = set.UpdateDelegatedTargets(fetch("1.carol.json"), "carol", "team/bob")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Targets["team/bob"].Signed.Targets["r.example/app:v1"]; got == nil || got.Length != 4 || string(*got.Custom) == "" {
		t.Errorf("entry %+v", got)
	}
}
