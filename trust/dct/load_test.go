//go:build load

package dct

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// How large the site is.
const (
	loadCollections = 5000
	loadTags        = 200
	loadMemory      = 256 << 20
)

// site is the source of all collections. Their files differ only in the root, which is for one name.
type site struct {
	files map[string]map[string][]byte
	asked atomic.Int64
}

func (s *site) source(gun string) trust.Source {
	return fetch(func(_ context.Context, file string, limit int64) ([]byte, error) {
		s.asked.Add(1)
		return kept(s.files[gun]).Fetch(context.Background(), file, limit)
	})
}

// TestManyCollections: memory, start and load of a site with thousands of repositories in use. It takes some minutes.
func TestManyCollections(t *testing.T) {
	s := &site{files: make(map[string]map[string][]byte)}
	for i := range loadCollections {
		n := trusttest.NewNotary(fmt.Sprintf("r.example/team/app%d", i), time.Now())
		releases := n.Delegate(releasesRole, "")
		for j := range loadTags {
			releases.Sign(fmt.Sprintf("v1.%d.0", j), fmt.Sprint(i, j))
		}
		n.Publish()
		s.files[n.GUN] = n.Files()
	}
	dir := t.TempDir()
	collections := func(store *state.Store, refresh time.Duration) *trust.Collections {
		m, err := names.ParseMatch("r.example/**")
		if err != nil {
			t.Fatal(err)
		}
		var pins names.Index[Pin]
		pins.Add(m, Pin{TOFU: true})
		f, err := New(Options{Source: "corp", GUN: "{name}", Pins: pins, State: store, Fetcher: s.source, Now: time.Now, Observe: func(trust.Event) {}})
		if err != nil {
			t.Fatal(err)
		}
		return trust.NewCollections(trust.CollectionsOptions{Source: "corp", Format: f, Memory: loadMemory, Refresh: refresh})
	}
	ask := func(c *trust.Collections, i int) {
		st, err := c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/team/app%d", i), Tag: "v1.7.0"}, time.Hour)
		if err != nil || len(st.Claims) != 1 {
			t.Fatalf("app%d: %v", i, err)
		}
	}
	open := func() *state.Store {
		store, err := state.Open(t.Context(), state.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}

	store := open()
	c := collections(store, 0)
	began := time.Now()
	for i := range loadCollections {
		ask(c, i)
	}
	t.Logf("%d collections of %d tags checked for the first time in %s", loadCollections, loadTags, time.Since(began).Round(time.Millisecond))
	c.Close()
	store.Close()

	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began = time.Now()
	store = open()
	c = collections(store, time.Minute)
	ask(c, loadCollections-1)
	if took := time.Since(began); took > time.Second {
		t.Errorf("start to first answer took %s", took)
	} else {
		t.Logf("start to first answer took %s, with all state on disk", took.Round(time.Millisecond))
	}
	for i := range loadCollections {
		ask(c, i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("all in use: %d MiB of memory", took>>20)
	if took > loadMemory+64<<20 {
		t.Errorf("%d bytes in use, more than trust_memory and 64 MiB", took)
	}
	s.asked.Store(0)
	<-time.After(time.Minute)
	t.Logf("%d requests to the source in a minute of background refresh", s.asked.Load())
	c.Close()
	store.Close()
}
