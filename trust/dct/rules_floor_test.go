package dct

import (
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// DCT: W4, what a role had when it was valid last is its floor, however often it was not since.
func TestFloorBelowWhatIsNotValid(t *testing.T) {
	n := newRepo()
	releases := n.Delegations[0]
	releases.Version = 5
	w := taken(t, n, pinOf(n))
	v := w.open()
	releases.Signers = []*trusttest.Key{trusttest.NewKey(trusttest.ECDSA)}
	for range 3 {
		n.Next(releases)
		if s, err := v.Refresh(t.Context()); err != nil || verdict(w, s, "v1") != "threshold_not_met" {
			t.Fatalf("signed by a stranger: %v", err)
		}
	}
	releases.Signers, releases.Version = nil, 4
	n.Next()
	if _, err := v.Refresh(t.Context()); trust.ReasonOf(err) != trust.MetadataRollback {
		t.Errorf("an older one: %v, want metadata_rollback", err)
	}
}
