package attack

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// A drip answers a byte a second, and tells who waits for it that it has begun.
type drip struct {
	once  sync.Once
	begun chan struct{}
}

func newDrip() *drip { return &drip{begun: make(chan struct{})} }

func (d *drip) answer(w http.ResponseWriter) {
	d.once.Do(func() { close(d.begun) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, err := w.Write([]byte(" ")); err == nil; _, err = w.Write([]byte(" ")) {
		if err = http.NewResponseController(w).Flush(); err != nil {
			return
		}
		<-tick.C
	}
}

// slowNames are the sources of TestSlowRetrieval: two that become slow, and two that always were.
var slowNames = []string{"tuf", "dct", "coldtuf", "colddct"}

// TestSlowRetrieval: a source that answers a byte a second holds up what is in hand for 2 s and no longer, nothing that
// another source has, and each refresh for 30 s. It lets other tests run while it waits for these.
func TestSlowRetrieval(t *testing.T) {
	up := new(upstreamtest.Registry)
	all := make(map[string]*images)
	drips := make(map[string]*drip)
	sources, rules, faults := "", "", make(map[string]func())
	for n, name := range slowNames {
		i, d := newImages(up, name), newDrip()
		all[name], drips[name] = i, d
		entry := ""
		if n%2 == 0 {
			f := newTUF(t, "r.example/"+i.path, i)
			entry = f.entry(serve(t, f))
			faults[name] = func() { f.fail(instead("timestamp", d.answer)) }
		} else {
			f := newNotary(t, "r.example/"+i.path, i)
			f.publish()
			entry = f.entry(serve(t, f))
			faults[name] = func() { f.fail(instead("timestamp", d.answer)) }
		}
		sources += fmt.Sprintf("  %s: %s\n", name, entry)
		rules += fmt.Sprintf("  - {match: r.example/%s/*, source: %s}\n", name, name)
	}
	g := launch(t, fmt.Sprintf("registries:\n  r.example: {url: %q}\nsources:\n%srules:\n%s", serve(t, up), sources, rules))
	g.client.Timeout = 2 * patience // who has nothing in hand waits for the whole refresh
	good := func(name string) {
		t.Helper()
		if got, a := all[name].meaning(t, g, all[name].path, "v1"); got != "200 good" {
			t.Errorf("v1 of %s is %s; %.300s", name, got, a.body)
		}
	}
	good("tuf")
	good("dct")
	var asked sync.WaitGroup
	cold := make([]string, len(slowNames))
	for n, name := range slowNames {
		if faults[name](); n < 2 {
			continue
		}
		asked.Go(func() { cold[n], _ = all[name].meaning(t, g, all[name].path, "v1") })
	}
	for _, name := range slowNames {
		select {
		case <-drips[name].begun:
		case <-time.After(patience):
			t.Fatalf("%s is not asked", name)
		}
	}
	// Ask for so long that what was checked last is older than refresh allows.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for range 16 {
		began := time.Now()
		good("tuf")
		good("dct")
		// PRODUCT: section 8, with verified data in hand an answer waits at most 2 s.
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("two answers wait %v for sources that are slow", took)
		}
		<-tick.C
	}
	// Another repository of the same Notary server, which nobody has asked for yet, is not held up either.
	if got, a := all["dct"].meaning(t, g, all["dct"].aside, "v1"); got != "200 calm" {
		t.Errorf("v1 of another name is %s; %.300s", got, a.body)
	}
	t.Parallel()
	asked.Wait()
	for n, name := range slowNames[2:] {
		if cold[2+n] != "503 source_unreachable" {
			t.Errorf("v1 of %s is %s", name, cold[2+n])
		}
	}
	for _, name := range slowNames {
		eventually(t, name+" is given up", func() bool {
			metrics := g.metrics(t)
			return metrics[fmt.Sprintf(`tagwarden_source_refresh_total{result="source_unreachable",source=%q}`, name)] > 0 && metrics[fmt.Sprintf(`tagwarden_source_up{source=%q}`, name)] == 0
		})
	}
	good("tuf")
	good("dct")
}
