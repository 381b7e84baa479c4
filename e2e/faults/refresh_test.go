package faults

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// rounds is how often a gateway is killed in one test.
const rounds = 12

// TestKilledWhileRefreshing: a gateway that is killed at any moment, while each check of its source finds a new version,
// serves after its restart what was signed, and nothing older than what it had served before: neither with the source cut
// off, nor where the source was set back meanwhile, which is refused with its reason.
//
// PRODUCT: invariants 1, 4, 6 and 11.
func TestKilledWhileRefreshing(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			k := &killing{site: newSite(t, format), rand: chance(t)}
			for i := range 6 {
				k.repo(fmt.Sprint("app", i))
			}
			k.gateway, k.floor = k.site.gateway(t, ""), slices.Repeat([]int{-1}, len(k.repos))
			for round := range rounds {
				k.hunt(t, round)
				k.restart(t, round)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d versions of the first repository, after %d kills", len(k.repos[0].signed), rounds)
		})
	}
}

// A killing is a gateway that is killed again and again.
type killing struct {
	*site
	*gateway
	rand  *rand.Rand
	floor []int // the highest version that was served, by repository; -1: none
}

// hunt kills the gateway at a random moment, while clients ask for all tags all the time.
func (k *killing) hunt(t *testing.T, round int) {
	t.Helper()
	// Each check takes four files or so, and ends with a save.
	last, delay := 1+k.rand.IntN(80), time.Duration(k.rand.Int64N(int64(12*time.Millisecond)))
	enough := make(chan struct{})
	once := sync.OnceFunc(func() { close(enough) })
	k.behave(true, false, func(_ *repo, _ string, n int) {
		if n >= last {
			once()
		}
	})
	k.start(t)
	over := make(chan struct{})
	var clients sync.WaitGroup
	for i, r := range k.repos {
		clients.Go(func() {
			for {
				a, err := k.get("/v2/" + r.image() + "/manifests/v1")
				if err != nil {
					<-over // only the kill is an excuse
					return
				}
				v := k.version(r, a)
				// PRODUCT: invariants 1 and 6.
				if v < max(k.floor[i], 0) {
					t.Errorf("round %d: %s:v1 is version %d, %v, after version %d was served", round, r.image(), v, a, k.floor[i])
				}
				k.floor[i] = max(k.floor[i], v)
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(patience):
		t.Errorf("round %d: the source is not asked", round)
	}
	<-time.After(delay) // somewhere within a fetch, a verification or a save
	if !k.running() {
		t.Errorf("round %d: tagwarden ended by itself", round)
	}
	k.kill()
	close(over)
	clients.Wait()
}

// restart starts the gateway over another source, and checks what it serves now.
func (k *killing) restart(t *testing.T, round int) {
	t.Helper()
	k.client.CloseIdleConnections()
	way, back := [...]string{"set back", "cut off", "honest"}[round%3], 0
	for i, r := range k.repos {
		if way == "set back" && k.floor[i] > 0 {
			k.show(r, k.rand.IntN(k.floor[i]))
			back++
		}
	}
	k.behave(false, way == "cut off", nil)
	k.start(t)
	for i, r := range k.repos {
		for range 2 { // before the first check has ended, perhaps, and after
			if v := k.serves(t, k.gateway, r); v < k.floor[i] {
				t.Errorf("round %d: with the source %s %s:v1 is version %d after version %d was served", round, way, r.image(), v, k.floor[i])
			} else {
				k.floor[i] = v
			}
		}
	}
	// PRODUCT: invariant 4, a rollback is refused, and a security event.
	if back > 0 {
		eventually(t, "the rollback of each repository is refused, and a security event", func() bool {
			return k.refreshes(t, "metadata_rollback") >= back && k.security(t, "verification_failed") >= back
		})
		if !k.logged(t, "security event", "verification_failed") {
			t.Errorf("round %d: nobody is told of a rollback", round)
		}
		for i, r := range k.repos {
			if v := k.serves(t, k.gateway, r); v < k.floor[i] {
				t.Errorf("round %d: after the rollback %s:v1 is version %d, not %d", round, r.image(), v, k.floor[i])
			}
		}
	}
	if k.security(t, "state_damaged") > 0 {
		t.Errorf("round %d: a kill damages the state", round)
	}
	for _, pattern := range []string{"state/.tmp-*", "state/*/.tmp-*", "state/*/*/.tmp-*"} {
		if left, _ := filepath.Glob(k.file(pattern)); len(left) > 0 && way == "cut off" { // where nothing is saved now
			t.Errorf("round %d: left %v", round, left)
		}
	}
	if round%2 == 0 {
		k.kill()
	} else {
		k.stop(t)
	}
	for _, r := range k.repos {
		k.show(r, len(r.signed)-1)
	}
}
