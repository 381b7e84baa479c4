package proxy

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// PRODUCT: section 4, audit: the registry's answer, and the record of what enforce would have done.
func TestAudit(t *testing.T) {
	for name, c := range map[string]struct {
		signed          string // what is signed as v1; "" for nothing
		verdict, reason string
	}{
		"signed":   {"now", "allow", ""},
		"unsigned": {"", "would_deny", "unsigned_tag"},
		"moved":    {"before", "would_change", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			g := newGate(t)
			if c.signed != "" {
				g.sign("watched/app", "v1", c.signed)
			}
			image := g.registry.PushImage("watched/app", "v1", "now")
			a := g.get(method, "/v2/corp/watched/app/manifests/v1")
			if a.status != 200 || a.header.Get("Docker-Content-Digest") != image.Digest.String() || a.header.Get("Tagwarden-Decision") == "" {
				t.Errorf("%s: %d %v", name, a.status, a.header)
			}
			g.until("the record", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.records) == 1 })
			r := g.recorded()[0]
			if r.Verdict != c.verdict || r.Reason != c.reason || r.Mode != "audit" || r.Served != image.Digest || r.Decision != a.header.Get("Tagwarden-Decision") || r.Source != "notary" {
				t.Errorf("%s: %+v", name, r)
			}
			if asked := g.asked(); len(asked) != 2 || asked[0] != "HEAD /v2/watched/app/manifests/v1" {
				t.Errorf("%s: asked %v", name, asked)
			}
		}
	}
}

// TestAuditIsNotDelayed: a source that says nothing holds no answer up; its word is recorded when it comes.
func TestAuditIsNotDelayed(t *testing.T) {
	g := newGate(t)
	g.signed.wait = make(chan struct{})
	g.sign("watched/app", "v1", "now")
	if a := g.get("GET", "/v2/corp/watched/app/manifests/v1"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := g.recorded(); len(r) != 0 {
		t.Errorf("recorded before anything was decided: %+v", r)
	}
	close(g.signed.wait)
	g.until("the record", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.records) == 1 })
	if r := g.recorded()[0]; r.Verdict != "allow" {
		t.Errorf("%+v", r)
	}
}

// TestAuditOpinionsAreBounded: with too many decisions awaited, what is in hand is recorded, and the answer is the same.
func TestAuditOpinionsAreBounded(t *testing.T) {
	g := newGate(t)
	g.signed.wait = make(chan struct{})
	defer close(g.signed.wait)
	for range maxOpinions {
		g.opinionsOf("notary") <- struct{}{}
	}
	g.sign("watched/app", "v1", "now")
	if a := g.get("GET", "/v2/corp/watched/app/manifests/v1"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := g.recorded(); len(r) != 1 || r[0].Verdict != "would_deny" || r[0].Reason != "source_unreachable" {
		t.Errorf("%+v", r)
	}
}

// PRODUCT: section 4, allow: the registry's answer; nobody is asked for trust data.
func TestExempt(t *testing.T) {
	g := newGate(t)
	g.signed.wait = make(chan struct{}) // whoever asks waits for ever
	image := g.registry.PushImage("exempt/app", "v1", "any")
	a := g.get("GET", "/v2/corp/exempt/app/manifests/v1")
	r := g.recorded()
	if a.status != 200 || string(a.body) != string(image.Manifest) || len(r) != 1 || r[0].Verdict != "allow" || r[0].Mode != "allow" || r[0].Served != image.Digest {
		t.Errorf("%d, %+v", a.status, r)
	}
	for path, want := range map[string]int{"manifests/v2": 404, "manifests/" + image.Digest.String(): 200, "tags/list": 200} {
		if a := g.get("GET", "/v2/corp/exempt/app/"+path); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	// What must not be served by digest must not be served by such a tag.
	g.registry.Fail("/v2/exempt/app/manifests/v3", upstreamtest.Fault{Body: []byte(`{"schemaVersion":1,"fsLayers":[]}`)})
	if a := g.get("GET", "/v2/corp/exempt/app/manifests/v3"); a.status == 200 {
		t.Errorf("schema 1: %d", a.status)
	}
}

// TestTagMemory: tag_ttl and stale_if_error, and which answers end them.
func TestTagMemory(t *testing.T) {
	for name, c := range map[string]struct {
		ttl, stale, after time.Duration
		fault             int // status of the registry after the first request
		status            int
		asked             bool
	}{
		"no memory":                {0, 0, time.Second, 0, 200, true},
		"within tag_ttl":           {time.Minute, 0, 59 * time.Second, 500, 200, false},
		"after tag_ttl":            {time.Minute, 0, time.Minute, 500, 502, true},
		"down, in stale_if_error":  {0, time.Hour, 59 * time.Minute, 500, 200, true},
		"limits us":                {0, time.Hour, time.Minute, 429, 200, true},
		"down, after both":         {time.Minute, time.Hour, 61 * time.Minute, 500, 502, true},
		"404 is an answer":         {0, time.Hour, time.Minute, 404, 404, true},
		"403 is an answer":         {0, time.Hour, time.Minute, 403, 502, true},
		"401 is an answer":         {0, time.Hour, time.Minute, 401, 502, true},
		"no memory, and then down": {0, 0, time.Second, 500, 502, true},
	} {
		g := newGate(t)
		g.ttl, g.stale = c.ttl, c.stale
		g.Handler.o.Decider = g.authority()
		g.registry.PushImage("exempt/app", "v1", "any")
		path := "/v2/corp/exempt/app/manifests/v1"
		if a := g.get("GET", path); a.status != 200 {
			t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
		g.asked()
		if c.fault != 0 {
			g.registry.Fail("/v2/exempt/app/manifests/v1", upstreamtest.Fault{Status: c.fault})
		}
		g.mu.Lock()
		g.now = g.now.Add(c.after)
		g.mu.Unlock()
		a := g.get("GET", path)
		if asked := g.asked(); a.status != c.status || len(asked) > 0 != c.asked {
			t.Errorf("%s: %d, asked %v", name, a.status, asked)
		}
	}
}

// TestOneQuestionPerTag: those who ask at the same time share one question.
func TestOneQuestionPerTag(t *testing.T) {
	g := newGate(t)
	stall := make(chan struct{})
	g.registry.PushImage("exempt/app", "v1", "any")
	g.registry.Fail("/v2/exempt/app/manifests/v1", upstreamtest.Fault{Stall: stall})
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if a := g.get("HEAD", "/v2/corp/exempt/app/manifests/v1"); a.status != 200 {
				t.Errorf("%d", a.status)
			}
		})
	}
	g.until("32 in flight", func() bool {
		g.Handler.mu.Lock()
		defer g.Handler.mu.Unlock()
		return g.inFlight == 32
	})
	close(stall)
	all.Wait()
	if n := g.registry.Count("HEAD", "/v2/exempt/app/manifests/v1"); n > 2 {
		t.Errorf("%d questions", n)
	}
}

// PRODUCT: section 4, tags/list under audit and allow: the registry's, sorted and paged by us.
func TestOpenTags(t *testing.T) {
	for _, repository := range []string{"watched/app", "exempt/app"} {
		g := newGate(t)
		for _, tag := range []string{"b", "c", "a"} {
			g.registry.PushImage(repository, tag, tag)
		}
		var list struct{ Tags []string }
		a := g.get("GET", "/v2/corp/"+repository+"/tags/list?n=2")
		if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Tags, []string{"a", "b"}) || a.header.Get("Link") == "" {
			t.Errorf("%s: %d %s %v", repository, a.status, a.body, a.header)
		}
		for status, want := range map[int]int{404: 404, 500: 502} {
			g.registry.Fail("/v2/"+repository+"/tags/list", upstreamtest.Fault{Status: status})
			if a := g.get("GET", "/v2/corp/"+repository+"/tags/list"); a.status != want {
				t.Errorf("%s: registry says %d, client got %d", repository, status, a.status)
			}
		}
	}
}

// TestBypassIsNoticed: a client that was refused a tag and asks for what the registry has under it was there.
func TestBypassIsNoticed(t *testing.T) {
	g := newGate(t)
	unsigned := g.registry.PushImage("team/app", "v2", "unsigned")
	signed := g.sign("team/app", "v1", "signed")
	pull := func(reference string) { g.get("GET", "/v2/corp/team/app/manifests/"+reference) }
	quiet := func(what string) {
		t.Helper()
		g.until("nothing under way", func() bool { return len(g.suspicions) == 0 })
		if kinds := g.observed(); len(kinds) != 0 {
			t.Errorf("%s: %v", what, kinds)
		}
	}
	pull(unsigned.Digest.String())
	quiet("a digest by itself")
	pull("v1")
	pull(signed.Digest.String())
	quiet("a signed tag")
	pull("v2")
	pull(signed.Digest.String())
	quiet("another digest after a refusal")
	pull(unsigned.Digest.String())
	g.until("the event", func() bool { return slices.Contains(g.observed(), BypassSuspected) })
	pull(unsigned.Digest.String())
	quiet("a second time")
	pull("v3")
	late := g.sign("team/app", "v3", "signed since")
	pull("v3")
	pull(late.Digest.String())
	quiet("a tag that was signed since")
	pull("v2")
	g.mu.Lock()
	g.now = g.now.Add(suspicious + time.Second)
	g.mu.Unlock()
	pull(unsigned.Digest.String())
	quiet("long after")
}

// An exception that has ended refuses tags, says so, and asks nobody.
func TestExceptionExpired(t *testing.T) {
	g := newGate(t)
	g.end = g.now
	g.Handler.o.Decider = g.authority()
	image := g.registry.PushImage("exempt/app", "v1", "any")
	g.registry.PushImage("watched/app", "v1", "any")
	for _, path := range []string{"exempt/app/manifests/v1", "exempt/app/tags/list", "watched/app/manifests/v1", "watched/app/tags/list"} {
		a := g.get("GET", "/v2/corp/"+path)
		if _, _, d := refusalIn(t, a); a.status != 403 || d.Reason != trust.ExceptionExpired {
			t.Errorf("%s: %d %+v", path, a.status, d)
		}
	}
	if asked := g.asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	if a := g.get("GET", "/v2/corp/exempt/app/manifests/"+image.Digest.String()); a.status != 200 {
		t.Errorf("digest: %d", a.status)
	}
}
