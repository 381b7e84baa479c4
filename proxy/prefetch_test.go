package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

// A scout is a gate that fetches ahead.
type scout struct {
	*gate
	p     *Prefetch
	idle  chan time.Duration // gets how long Run would wait
	timer chan time.Time     // ends that wait
	stop  func()             // ends Run, and waits for it
}

func newScout(t *testing.T, change ...func(*Options)) *scout {
	t.Helper()
	s := &scout{p: NewPrefetch(), idle: make(chan time.Duration), timer: make(chan time.Time)}
	s.gate = newGate(t, append(change, func(o *Options) { o.Prefetch = s.p })...)
	s.p.now, s.p.looked = s.clock, start
	s.begin()
	t.Cleanup(func() { s.stop() })
	return s
}

// begin runs it with the Handler as it is now.
func (s *scout) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.p.after = func(d time.Duration) <-chan time.Time {
		select {
		case s.idle <- d:
		case <-ctx.Done():
		}
		return s.timer
	}
	h, ended := s.Handler, make(chan struct{})
	go func() {
		defer close(ended)
		s.p.Run(ctx, func() *Handler { return h })
	}()
	s.stop = func() { cancel(); <-ended }
}

// settle returns when there is nothing left to do, and how long Run waits then.
func (s *scout) settle() time.Duration {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case d := <-s.idle:
			if s.quiet() {
				return d
			}
		case <-late:
			s.t.Fatal("there is no end to it")
		}
	}
}

func (s *scout) quiet() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for _, u := range s.p.used.Values() {
		if u.pending {
			return false
		}
	}
	return len(s.p.changed) == 0 && len(s.p.busy) == 0 && len(s.p.wake) == 0
}

// change tells of new trust data, and returns what the registry was asked because of it.
func (s *scout) change(source string) []string {
	s.t.Helper()
	s.asked()
	s.p.Changed(source)
	s.settle()
	return s.asked()
}

// later lets time pass.
func (s *scout) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	s.signed.checked = s.signed.checked.Add(d)
}

// index pushes an index for two platforms and signs it as registry.example/ahead/app:v1.
func (s *scout) index(text string) upstreamtest.Image {
	i := s.registry.PushIndex("ahead/app", "v1", text)
	s.signed.sign("registry.example/ahead/app", "v1", trust.Target{Digest: i.Digest, Size: int64(len(i.Manifest)), MediaType: i.MediaType})
	return i
}

const aheadTag = "/v2/corp/ahead/app/manifests/v1"

// pathsOf are those of all of an image.
func pathsOf(repository string, i upstreamtest.Image) (paths []string) {
	paths = append(paths, "manifests/"+i.Digest.String())
	for _, p := range i.Platforms {
		paths = append(paths, "manifests/"+p.Digest.String(), "blobs/"+p.Config.String(), "blobs/"+p.Layer.String())
	}
	slices.Sort(paths)
	paths = slices.Compact(paths) // the layers are one
	for i := range paths {
		paths[i] = "GET /v2/" + repository + "/" + paths[i]
	}
	return paths
}

// A tag moves, and its image is there before anybody asks, and when the registry is not there any more.
func TestPrefetch(t *testing.T) {
	s := newScout(t)
	s.index("old")
	s.get("GET", aheadTag)
	image := s.index("new")
	s.recorded()
	s.observed()
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()

	got := s.change("notary")
	slices.Sort(got)
	equal(t, "asked", got, pathsOf("ahead/app", image)...)
	s.mu.Lock()
	if len(s.events) != 0 || len(s.records) != 0 {
		t.Errorf("what nobody asked for was counted: %v, %v", s.events, s.records)
	}
	s.mu.Unlock()
	for _, path := range append(pathsOf("corp/ahead/app", image), "GET "+aheadTag) {
		if a := s.get("GET", strings.TrimPrefix(path, "GET ")); a.status != 200 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	equal(t, "asked by clients", s.asked())
	// It is marked as what goes last: what is not goes before, though it was used later.
	_, other, path := s.pushBlob(100 << 10) // more than is held in memory
	s.get("GET", path)
	s.until("all of it is written", func() bool { return s.o.Cache.Stats().Running == 0 })
	if _, err := s.o.Cache.Prune(t.Context(), s.o.Cache.Stats().Bytes-1); err != nil {
		t.Error(err)
	}
	if _, err := s.o.Cache.Get(other); err == nil {
		t.Error("what was fetched ahead does not go last")
	}
	equal(t, "asked at the next change", s.change("notary"))
}

// Only what is in use, by a rule with prefetch, because of its own source, when it means something else.
func TestPrefetchNothing(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(s *scout)
		source string
		tags   int
	}{
		"never served": {func(s *scout) { s.index("new") }, "notary", 0},
		"a rule without": {func(s *scout) {
			s.sign("team/app", "v1", "1")
			s.get("GET", "/v2/corp/team/app/manifests/v1")
			s.sign("team/app", "v1", "2")
		}, "notary", 0},
		"not used for long": {func(s *scout) { s.index("1"); s.get("GET", aheadTag); s.index("2"); s.later(inUseFor + 1) }, "notary", 1},
		"another source":    {func(s *scout) { s.index("1"); s.get("GET", aheadTag); s.index("2") }, "site", 1},
		"what it was":       {func(s *scout) { s.index("1"); s.get("GET", aheadTag) }, "notary", 1},
		"asked for by digest": {func(s *scout) {
			i := s.index("1")
			s.get("GET", "/v2/corp/ahead/app/manifests/"+i.Digest.String())
			s.index("2")
		}, "notary", 0},
		"refused": {func(s *scout) { s.get("GET", aheadTag); s.index("2") }, "notary", 0},
		"not signed any more": {func(s *scout) {
			s.index("1")
			s.get("GET", aheadTag)
			s.signed.sign("x", "y", trust.Target{})
			delete(s.signed.targets, trust.Name{Repository: "registry.example/ahead/app", Tag: "v1"})
		}, "notary", 1},
		"a rule without by now": {func(s *scout) {
			s.index("1")
			s.get("GET", aheadTag)
			s.index("2")
			s.o.Decider = without{s.o.Decider}
		}, "notary", 1},
		"in use, and it moves": {func(s *scout) { s.index("1"); s.get("GET", aheadTag); s.index("2"); s.later(inUseFor) }, "notary", -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScout(t)
			// So that it is not the look at everything that finds it.
			s.p.mu.Lock()
			s.p.looked = start.Add(48 * time.Hour)
			s.p.mu.Unlock()
			c.do(s)
			if got := s.change(c.source); (len(got) > 0) != (c.tags < 0) {
				t.Errorf("the registry was asked %v", got)
			}
			if n := s.p.used.Len(); c.tags >= 0 && n != c.tags {
				t.Errorf("%d tags are in use", n)
			}
		})
	}
}

// What fails is said once, tried again once by itself, and at a change ten minutes later or more.
func TestPrefetchFails(t *testing.T) {
	s := newScout(t)
	s.index("old")
	s.get("GET", aheadTag)
	image := s.index("new")
	s.registry.Fail("/v2/ahead/app/blobs/"+image.Platforms[0].Layer.String(), upstreamtest.Fault{Status: 404})
	s.observed()
	s.p.Changed("notary")
	if wait := s.settle(); wait != retryAfter {
		t.Errorf("it waits for %v", wait)
	}
	equal(t, "events", s.observed(), PrefetchFailed)
	s.asked()

	s.later(retryAfter - 1)
	s.timer <- time.Time{}
	if wait := s.settle(); wait != 1 || len(s.asked()) > 0 {
		t.Errorf("it is tried again too early, or waits for %v", wait)
	}
	s.later(1)
	s.timer <- time.Time{}
	if wait := s.settle(); wait != lookEvery-retryAfter {
		t.Errorf("it waits for %v", wait)
	}
	equal(t, "tried again", s.asked(), "GET /v2/ahead/app/blobs/"+image.Platforms[0].Layer.String())
	// PRODUCT: invariant 9, whoever changes trust data again and again does not have it fetched as often.
	if got := s.change("notary"); len(got) > 0 {
		t.Errorf("at the next change %v", got)
	}
	s.later(retryAfter)
	if got := s.change("notary"); len(got) != 1 {
		t.Errorf("at a later change %v", got)
	}
	equal(t, "events", s.observed())
	s.registry.Heal()
	s.later(retryAfter)
	if got := s.change("notary"); len(got) < 1 {
		t.Error("it is not tried again when it would be right")
	}
	equal(t, "asked when all is there", s.change("notary"))
}

// One image of a registry at a time, and two in all; the end of Run ends them.
func TestPrefetchTurns(t *testing.T) {
	s := newScout(t)
	stall := make(chan struct{})
	names := []string{"registry.example/ahead/a", "registry.example/ahead/b", "other.example/ahead/c", "docker.io/ahead/d"}
	sign := func(text string) (digests []digest.Digest) {
		for _, n := range names {
			_, repository, _ := strings.Cut(n, "/")
			i := s.registry.PushImage(repository, "v1", text+n)
			s.signed.sign(n, "v1", trust.Target{Digest: i.Digest})
			s.registry.Fail("/v2/"+repository+"/blobs/"+i.Layer.String(), upstreamtest.Fault{Stall: stall})
			digests = append(digests, i.Layer)
		}
		return digests
	}
	sign("old")
	for _, n := range names {
		s.get("GET", "/v2/"+n+"/manifests/v1")
	}
	layers := sign("new")
	s.asked()
	s.p.Changed("notary")
	stalled := func() (repositories []string) {
		for _, q := range s.registry.Requests() {
			if i := slices.IndexFunc(layers, func(d digest.Digest) bool { return strings.HasSuffix(q.Path, d.String()) }); i >= 0 {
				repositories = append(repositories, names[i])
			}
		}
		slices.Sort(repositories)
		return repositories
	}
	<-s.idle
	s.until("two are under way", func() bool { return len(stalled()) == 2 })
	equal(t, "under way", stalled(), "docker.io/ahead/d", "other.example/ahead/c")
	close(stall)
	s.settle()
	if got := stalled(); len(got) != 4 {
		t.Errorf("fetched %v", got)
	}
	stall = make(chan struct{})
	layers = sign("newer")
	s.asked()
	s.p.Changed("notary")
	<-s.idle
	s.until("two are under way", func() bool { return len(stalled()) == 2 })
	s.observed()
	s.stop()
	equal(t, "events of the end", s.observed())
	close(stall)
}

// PRODUCT: invariant 9, registries whose images never end do not take all turns, however much their tags are used.
func TestPrefetchFair(t *testing.T) {
	p := NewPrefetch()
	now := start
	p.now = func() time.Time { return now }
	tags := func(registry string, n int) {
		for i := range n {
			name := trust.Name{Repository: registry + "/app", Tag: fmt.Sprint(i)}
			p.served(trust.Decision{Name: name, Source: "site"}, digest.FromString("old"))
		}
	}
	turns := map[string]int{}
	for range 12 {
		now = now.Add(time.Hour)
		tags("good.example", 1)
		tags("slow.example", 10)
		tags("stuck.example", 10)
		p.Changed("site")
		pending, _ := p.plan()
		var taken []trust.Name
		for _, n := range pending {
			if p.take(n) {
				taken = append(taken, n)
				registry, _ := names.Split(n.Repository)
				turns[registry]++
			}
		}
		for _, n := range taken {
			p.note(n, digest.FromString("new"), context.DeadlineExceeded)
			now = now.Add(time.Second)
			p.drop(n)
		}
	}
	if turns["good.example"] < 6 || len(turns) != 3 {
		t.Errorf("%v", turns)
	}
}

// PRODUCT: invariant 9. All tags are looked at once an hour, and what failed is tried once more when its time has come: between
// the two nothing goes round.
func TestPrefetchRests(t *testing.T) {
	p := NewPrefetch()
	now := start
	p.now, p.looked = func() time.Time { return now }, start
	tag := trust.Name{Repository: "good.example/app", Tag: "v1"}
	p.served(trust.Decision{Name: tag, Source: "site"}, digest.FromString("old"))
	plan := func(what string, want int, rest time.Duration) {
		t.Helper()
		pending, wait := p.plan()
		if len(pending) != want || wait != rest {
			t.Errorf("%s: %d pending, and %s of rest, want %d and %s", what, len(pending), wait, want, rest)
		}
		for _, n := range pending {
			if !p.take(n) {
				t.Errorf("%s: %s is not taken", what, n)
			}
			p.drop(n)
		}
	}
	plan("at first", 0, lookEvery)
	now = now.Add(lookEvery)
	plan("after an hour", 1, lookEvery)
	p.note(tag, digest.FromString("new"), context.DeadlineExceeded)
	plan("what failed rests", 0, retryAfter)
	now = now.Add(retryAfter)
	plan("its time has come", 1, lookEvery-retryAfter)
	plan("and is over", 0, lookEvery-retryAfter)
}
