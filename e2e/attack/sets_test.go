package attack

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// generations is how often both tags of TestSets come to mean something else.
const generations = 5

// TestSets: two tags that two roles sign change together for who pulls them. Whoever has seen the newer of one never sees
// the older of the other.
func TestSets(t *testing.T) {
	t.Parallel()
	t.Run("tuf/mix-and-match", func(t *testing.T) {
		t.Parallel()
		up := new(upstreamtest.Registry)
		i := newImages(up, "sets")
		r := newTUF(t, "r.example/"+i.path, i)
		sign := func(image upstreamtest.Image) {
			r.sign(r.releases, image)
			r.team.Entries["r.example/"+i.aside+":v1"] = r.releases.Entries[r.target]
			r.Next(r.releases, r.team)
			r.publish()
		}
		flip(t, up, r.entry(serve(t, r)), sign, i.place(i.path, "v1"), i.place(i.aside, "v1"))
	})
	t.Run("dct/mix-and-match", func(t *testing.T) {
		t.Parallel()
		up := new(upstreamtest.Registry)
		i := newImages(up, "sets")
		n := newNotary(t, "r.example/"+i.path, i)
		sign := func(image upstreamtest.Image) {
			n.sign(n.releases, image)
			n.Targets.Entries["other"] = trusttest.Entry{Digest: image.Digest, Length: int64(len(image.Manifest))}
			n.Next(n.releases, n.Targets)
			n.publish()
		}
		n.publish()
		flip(t, up, n.entry(serve(t, n)), sign, i.place(i.path, "v1"), i.place(i.path, "other"))
	})
}

// flip lets the tags change, while many pull one after the other.
func flip(t *testing.T, up *upstreamtest.Registry, entry string, sign func(upstreamtest.Image), tags ...string) {
	t.Helper()
	known := make(map[digest.Digest]int)
	var all []upstreamtest.Image
	for n := range generations {
		all = append(all, up.PushImage("sets/app", "", fmt.Sprint("generation ", n)))
		up.PushImage("sets/web", "", fmt.Sprint("generation ", n))
		known[all[n].Digest] = n
	}
	sign(all[0])
	g := launch(t, fmt.Sprintf("registries:\n  r.example: {url: %q}\nsources:\n  site: %s\nrules:\n  - {match: r.example/**, source: site}\n", serve(t, up), strings.Replace(entry, "refresh: 2s", "refresh: 500ms", 1)))
	pull := func(tag string) int {
		a := g.get(t, tag)
		n, ok := known[a.digest(t)]
		if !ok {
			t.Errorf("%s is %s", tag, a)
		}
		return n
	}
	pull(tags[0])
	var over atomic.Bool
	var pulls atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for newest := 0; !over.Load(); {
				for _, tag := range tags {
					n := pull(tag)
					if n < newest {
						t.Errorf("%s is of generation %d, after another was of %d", tag, n, newest)
						return
					}
					newest = n
					pulls.Add(1)
				}
			}
		})
	}
	for n := 1; n < generations; n++ {
		sign(all[n])
		done := func() bool { return pull(tags[0]) == n }
		if !await(done) {
			t.Errorf("generation %d does not come", n)
			break
		}
	}
	over.Store(true)
	clients.Wait()
	if n := pulls.Load(); n < 10*generations {
		t.Errorf("%d pulls see %d generations", n, generations)
	}
}
