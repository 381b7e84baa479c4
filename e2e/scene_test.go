//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// scene is a stack with one repository, shop/app, in which v1 is signed and v2
// is not.
type scene struct {
	*stack
	publisher        *signer
	repository, root string        // the name of the repository, and the id of its root key
	signed           digest.Digest // of v1
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{stack: newStack(t)}
	s.publisher = newSigner(t, newEngine(t), s.stack)
	s.repository = s.stack.repository("shop/app")
	s.root = s.publisher.adopt(t, s.repository)
	s.publisher.make(t, s.repository+":v1", 1<<10)
	s.publisher.sign(t, s.repository+":v1")
	s.push(t, "v2")
	s.signed = upstreamDigest(t, s.repository, "v1")
	return s
}

// push gives a tag other content in the registry, and signs nothing.
func (s *scene) push(t testing.TB, tag string) {
	t.Helper()
	s.publisher.make(t, s.repository+":"+tag, 1<<10)
	s.publisher.docker(t, "push", s.repository+":"+tag)
}

// traffic is what some clients see who ask for one tag again and again.
type traffic struct {
	stop  chan struct{}
	wait  sync.WaitGroup
	mu    sync.Mutex
	asked int
	slow  []time.Duration // the answers that took longer than half a second
	wrong []string        // the answers that were not 200 with the digest
}

// load starts clients that want a tag of shop/app to be the digest, one request
// in 20 ms each.
func (g *gateway) load(t testing.TB, clients int, tag string, want digest.Digest) *traffic {
	t.Helper()
	l := &traffic{stop: make(chan struct{})}
	for range clients {
		l.wait.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				begun := time.Now()
				a, err := g.try(http.MethodGet, "corp/shop/app/manifests/"+tag)
				l.answer(a, err, want, time.Since(begun))
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	return l
}

// answer takes note of one answer.
func (l *traffic) answer(a answer, err error, want digest.Digest, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if took > 500*time.Millisecond {
		l.slow = append(l.slow, took)
	}
	switch got := digest.FromBytes(a.body); {
	case err != nil:
		l.wrong = append(l.wrong, err.Error())
	case a.status != http.StatusOK || got != want:
		l.wrong = append(l.wrong, fmt.Sprintf("status %d, %s: %.300s", a.status, got, a.body))
	}
}

// more waits until the clients have had n more answers.
func (l *traffic) more(t testing.TB, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.asked
	}
	enough := count() + n
	eventually(t, "the clients go on", func() bool { return count() >= enough })
}

// end stops the clients. Each of their answers must have been the right one.
func (l *traffic) end(t testing.TB) {
	t.Helper()
	close(l.stop)
	l.wait.Wait()
	t.Logf("%d answers, slower than half a second: %v", l.asked, l.slow)
	if len(l.wrong) > 0 || l.asked == 0 {
		t.Errorf("%d of %d answers are wrong, the first: %s", len(l.wrong), l.asked, append(l.wrong, "")[0])
	}
}
