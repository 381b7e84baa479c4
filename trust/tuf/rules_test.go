package tuf

import (
	"slices"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
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
