package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// verdicts are attacks by time and by outage.
func verdicts() []door {
	return []door{
		{27, "replayed trust data", "old data is never taken, and what is in hand ends with its bounds and not before", replayed},
		{29, "negative answers", "a refusal and an absence end as soon as they are wrong, and cost the source little", negative},
		{30, "admin on the registry port", "the registry port has the registry, and the admin port has none of it", separate},
		{31, "verification is down", "what cannot be verified is refused as such, and the registry is not asked instead", down},
	}
}

func replayed(t *testing.T) {
	w := newWorld(t, settings{source: "    refresh: 500ms\n    max_stale: 3s"})
	w.expect(t, "200", manifest("v1"))
	first := w.app.Files()
	delete(w.app.Delegations[0].Entries, "v1")
	w.sign(w.app, "v2", w.good)
	w.app.Next(w.app.Delegations[0])
	w.site.publish(w.app)
	eventually(t, "v1 is revoked", func() bool { return w.get(t, manifest("v1")).String() == "403 unsigned_tag" })
	w.expect(t, "200", manifest("v2"))
	w.app.Serve(first)
	w.site.publish(w.app)
	eventually(t, "the replay is seen", func() bool {
		return w.metrics(t)[`tagwarden_source_refresh_total{result="metadata_rollback",source="corp"}`] > 0
	})
	w.expect(t, "403 unsigned_tag", manifest("v1"))
	w.expect(t, "200", manifest("v2"))
	// A source that only replays is one that cannot be asked: what is in hand serves until max_stale, and then nothing does.
	eventually(t, "max_stale is over", func() bool {
		a := w.get(t, manifest("v2"))
		if a.String() != "200" && a.String() != "503 metadata_stale" {
			t.Fatalf("v2 in between: %s", a)
		}
		return a.String() == "503 metadata_stale" && a.header.Get("Retry-After") != ""
	})
	if a := w.get(t, manifest("v1")); a.status == http.StatusOK {
		t.Error("v1 comes back")
	}
	w.expect(t, "503 metadata_stale", "/v2/r.example/app/tags/list")
	w.expect(t, "200", manifest(w.good.Digest))
}

func negative(t *testing.T) {
	w := newWorld(t, settings{})
	w.expect(t, "403 unsigned_tag", manifest("fresh"))
	w.sign(w.app, "fresh", w.good)
	w.app.Next(w.app.Delegations[0])
	w.site.publish(w.app)
	began := time.Now()
	eventually(t, "a fresh signature pulls", func() bool { return w.get(t, manifest("fresh")).status == http.StatusOK })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a fresh signature pulls after %v", took)
	}
	late := w.up.PushImage("elsewhere", "", "late")
	w.expect(t, "404 MANIFEST_UNKNOWN", manifest(late.Digest))
	w.expect(t, "404 BLOB_UNKNOWN", blob(late.Layer))
	w.up.PushImage("app", "", "late")
	w.expect(t, "200", manifest(late.Digest))
	w.expect(t, "200", blob(late.Layer))
	// Tags and names that nobody ever signed hammer nobody.
	w.site.requests()
	began = time.Now()
	for i := range 100 {
		w.expect(t, "403 unsigned_tag", manifest(fmt.Sprint("random-", i)))
	}
	// One check in two seconds, of two files at most.
	if n, most := len(w.site.requests()), 2+2*int(time.Since(began)/(2*time.Second)); n > most {
		t.Errorf("%d requests to the source for unsigned tags, want at most %d", n, most)
	}
	for i := range 50 {
		w.expect(t, "403 root_not_pinned", fmt.Sprintf("/v2/r.example/random/%d/manifests/v1", i))
		w.expect(t, "403 no_trust_data", fmt.Sprintf("/v2/r.example/cold/random%d/manifests/v1", i%10))
	}
	if n, most := len(w.site.requests()), 10*(1+int(time.Since(began)/(2*time.Second))); n > most {
		t.Errorf("%d requests to the source for unknown names, want at most %d", n, most)
	}
}

func separate(t *testing.T) {
	w := newWorld(t, settings{})
	for _, target := range []string{"/metrics", "/livez", "/readyz", "/", "/status", "/api/", "/api/explain", "/explain", "/why?ref=r.example/app:v1", "/debug/pprof/", "/debug/vars",
		"/v2/../metrics", "/v2/%2e%2e/metrics", "//metrics", "/metrics/", "/v2/metrics", "/healthz", "/config"} {
		if a := w.say(t, target); a.status != http.StatusNotFound && a.status != http.StatusBadRequest || strings.Contains(string(a.body), "go_goroutines") {
			t.Errorf("%s: %s", target, a)
		}
		if a := w.say(t, target, "Host: "+w.admin); a.status != http.StatusNotFound && a.status != http.StatusBadRequest {
			t.Errorf("%s for the admin's host: %s", target, a)
		}
	}
	for _, target := range []string{"/v2/", manifest("v1"), manifest(w.good.Digest), blob(w.good.Layer), "/debug/pprof/", "/debug/vars", "/etc/passwd"} {
		res, err := w.client.Get("http://" + w.admin + target)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("the admin port answers %s with %d", target, res.StatusCode)
		}
	}
	if !strings.HasPrefix(w.admin, "127.0.0.1:") {
		t.Errorf("the admin port listens on %s", w.admin)
	}
	w.untouched(t)
}

func down(t *testing.T) {
	w := newWorld(t, settings{
		registries: "  a.example: {url: \"URL\"}",
		rules:      "  - {match: a.example/**, name: audit, mode: audit, source: backup}\n  - {match: r.example/second/**, source: backup}",
		source:     "    refresh: 500ms",
		sources:    "  backup: {notary: \"http://127.0.0.1:1\", pins: {\"**\": {tofu: true}}}",
		before: func(w *world) {
			n := w.repository("r.example/second/x")
			w.sign(n, "v1", w.evil)
			w.site.publish(n)
		},
	})
	w.expect(t, "200", manifest("v1"))
	w.up.Forget()
	for i, fault := range []func(rw http.ResponseWriter){
		func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusInternalServerError) },
		func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusUnauthorized) },
		func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusForbidden) },
		func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusTooManyRequests) },
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		func(rw http.ResponseWriter) {
			rw.Header().Set("Content-Length", "100")
			_, _ = rw.Write([]byte(`{"signed":{`)) // the rest never comes
			panic(http.ErrAbortHandler)
		},
	} {
		w.site.fail(func(rw http.ResponseWriter, _, _ string) bool { fault(rw); return true })
		if a := w.expect(t, "503 source_unreachable", fmt.Sprintf("/v2/r.example/cold/x%d/manifests/v1", i)); a.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		w.expect(t, "503 source_unreachable", fmt.Sprintf("/v2/r.example/cold/x%d/tags/list", i))
		w.expect(t, "200", manifest("v1"))
	}
	// PRODUCT: invariant 7, sources never fall through.
	w.expect(t, "503 source_unreachable", "/v2/r.example/second/x/manifests/v1")
	for _, path := range w.site.requests() {
		if strings.Contains(path, "/second/") {
			t.Errorf("the other source was asked for %s", path)
		}
	}
	if n := w.up.Count("", "/v2/app/manifests/"+w.good.Digest.String()); n != len(w.up.Requests()) {
		t.Errorf("the registry was asked what tags mean: %d requests", len(w.up.Requests()))
	}
	// PRODUCT: section 8, with verified data in hand an answer waits at most 2 s.
	hung := make(chan struct{})
	defer close(hung)
	w.site.fail(func(http.ResponseWriter, string, string) bool { <-hung; return true })
	began := time.Now()
	w.expect(t, "200", manifest("v1"))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("an answer waits %v for a source that hangs", took)
	}
	// Audit is not enforcement, and says so.
	if d := w.expect(t, "200", "/v2/a.example/app/manifests/v1").digest(t); d != w.evil.Digest {
		t.Errorf("under audit v1 is %s, not what the registry has", d)
	}
	eventually(t, "audit records what enforce would have done", func() bool {
		return w.metrics(t)[`tagwarden_decisions_total{mode="audit",reason="source_unreachable",rule="audit",verdict="would_deny"}`] == 1
	})
}
