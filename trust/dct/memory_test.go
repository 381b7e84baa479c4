package dct

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestSizeIsHonest: what a snapshot says of its size is not less than what it takes, and not many times more; the memory
// for trust data is counted by it.
func TestSizeIsHonest(t *testing.T) {
	n := trusttest.NewNotary(gun, fixtureTime)
	release := n.Delegate("targets/release", "")
	releases := n.Delegate(releasesRole, "")
	for i := range 200 {
		release.Sign(fmt.Sprintf("v1.%d.0", i), fmt.Sprint(i))
		releases.Sign(fmt.Sprintf("v1.%d.0", i), fmt.Sprint(i))
	}
	n.Publish()
	const many = 40
	w := make([]*world, many)
	for i := range w {
		w[i] = rig(t, n, pinOf(n))
	}
	var before, after runtime.MemStats
	held := make([]trust.Verifier, many)
	said := int64(0)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range held {
		held[i] = w[i].open()
		s, err := held[i].Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said += s.Size
	}
	n.Asked()
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("said %d, took %d bytes for each", said/many, took/many)
	if took > said || said > 4*took {
		t.Errorf("said %d, took %d bytes for each", said/many, took/many)
	}
	runtime.KeepAlive(held)
}
