package proxy

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// Upstream's failures, by status, reason and event. None of them is cached.
func TestManifestUpstreamFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault  upstreamtest.Fault
		status int
		code   string
		reason trust.Reason
		events []EventKind
	}{
		"other bytes":      {upstreamtest.Fault{Body: []byte(`{"schemaVersion":2,"manifests":[]}`)}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"last byte":        {upstreamtest.Fault{CorruptLast: true}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"no bytes":         {upstreamtest.Fault{Body: []byte{}}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"cut short":        {upstreamtest.Fault{Truncate: 1}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"too many bytes":   {upstreamtest.Fault{Body: make([]byte, maxManifest+1)}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"encoded":          {upstreamtest.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"login page":       {upstreamtest.Fault{Body: []byte("<html>"), Header: http.Header{"Content-Type": {"text/html"}}}, 502, "UNKNOWN", trust.UpstreamInvalid, []EventKind{UpstreamInvalid}},
		"500":              {upstreamtest.Fault{Status: 500}, 502, "UNKNOWN", trust.UpstreamDown, nil},
		"403":              {upstreamtest.Fault{Status: 403}, 502, "UNKNOWN", trust.UpstreamDown, nil},
		"401":              {upstreamtest.Fault{Status: 401}, 502, "UNKNOWN", trust.UpstreamDown, nil},
		"429":              {upstreamtest.Fault{Status: 429}, 502, "UNKNOWN", trust.UpstreamDown, nil},
		"redirect inwards": {upstreamtest.Fault{Redirect: "https://169.254.169.254/"}, 502, "UNKNOWN", trust.UpstreamDown, nil},
		"404":              {upstreamtest.Fault{Status: 404}, 404, "MANIFEST_UNKNOWN", trust.SignedDigestGone, nil},
		"contradiction":    {upstreamtest.Fault{Header: http.Header{"Content-Type": {ociIndex}}}, 403, "DENIED", trust.MediaTypeMismatch, nil},
		"schema 1":         {upstreamtest.Fault{Header: http.Header{"Content-Type": {dockerV1}}}, 403, "DENIED", trust.MediaTypeMismatch, nil},
		"generic type":     {upstreamtest.Fault{Header: http.Header{"Content-Type": {"application/json"}}}, 200, "", "", nil},
		"no type":          {upstreamtest.Fault{Header: http.Header{"Content-Type": {""}}}, 200, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			image := g.sign("team/app", "v1", "signed")
			g.registry.Fail("/v2/team/app/manifests/"+image.Digest.String(), c.fault)
			a := g.get("GET", "/v2/corp/team/app/manifests/v1")
			if a.status != c.status {
				t.Fatalf("%d: %s", a.status, a.body)
			}
			checkAnswer(t, a, c.code, c.reason, image)
			r := g.recorded()
			checkRecord(t, a, r[0], "GET", c.reason, image.Digest)
			equal(t, "events", g.observed(), c.events...)
			g.registry.Heal()
			if a := g.get("GET", "/v2/corp/team/app/manifests/v1"); a.status != 200 {
				t.Errorf("healed: %d: %s", a.status, a.body)
			}
		})
	}
}

// The Upstream's contract: how its errors are told apart.
func TestUpstreamErrors(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("registry says: %w", err) }
	for name, c := range map[string]struct {
		err    error
		status int
		reason trust.Reason
	}{
		"missing": {wrap(fs.ErrNotExist), 404, ""},
		"invalid": {wrap(fs.ErrInvalid), 502, trust.UpstreamInvalid},
		"down":    {errors.New("no\nroute"), 502, trust.UpstreamDown},
	} {
		g := newGate(t, func(o *Options) { o.Upstream = faulty{err: c.err} })
		d := digest.FromString("x").String()
		for _, path := range []string{"/v2/corp/free/app/manifests/" + d, "/v2/corp/free/app/blobs/" + d} {
			a := g.get("GET", path)
			_, message, got := refusalIn(t, a)
			if a.status != c.status || got.Reason != c.reason || strings.Contains(message, "\n") || strings.Contains(message, "origin: origin") {
				t.Errorf("%s %s: %d %q %+v", name, path, a.status, message, got)
			}
		}
		// PRODUCT: section 4, referrers are always 200.
		if a := g.get("GET", "/v2/corp/free/app/referrers/"+d); a.status != 200 || string(a.body) != noReferrers {
			t.Errorf("%s: referrers %d %s", name, a.status, a.body)
		}
	}
}

// A cache that cannot be used is no fault of trust or upstream, and passes.
func TestCacheFails(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	if err := g.o.Cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/blobs/" + image.Layer.String()} {
		a := g.get("GET", path)
		code, message, d := refusalIn(t, a)
		if a.status != 503 || code != "UNAVAILABLE" || d.Reason != trust.StateUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(message, cache.ErrClosed.Error()) {
			t.Errorf("%d %s %q %+v", a.status, code, message, d)
		}
	}
}

// PRODUCT: invariant 3, a manifest that has been damaged on disk is not served from there, but brought again.
func TestDamagedManifestIsBroughtAgain(t *testing.T) {
	dir := t.TempDir()
	open := func() *cache.Store {
		store, err := cache.Open(cache.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	g := newGate(t, func(o *Options) { o.Cache = store })
	image := g.sign("team/app", "v1", "signed")
	g.get("GET", "/v2/corp/team/app/manifests/v1")
	g.kept(image.Digest)
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, image.Digest.Encoded()) {
			return err
		}
		damaged++
		return os.WriteFile(path, bytes.Repeat([]byte("x"), len(image.Manifest)), 0o600)
	})
	if err != nil || damaged != 1 {
		t.Fatalf("%d files damaged, %v", damaged, err)
	}
	g.o.Cache = open()
	defer g.o.Cache.Close(context.Background())
	g.server.Client().CloseIdleConnections() // over one of those a client asks again if it is broken off
	if a := g.get("GET", "/v2/corp/team/app/manifests/v1"); a.status != 200 || !bytes.Equal(a.body, image.Manifest) {
		t.Errorf("%d with %d bytes", a.status, len(a.body))
	}
}

// What was signed with the digest holds too: the type always, length and second hash where the format promises them.
func TestSignedTypeAndSize(t *testing.T) {
	g := newGate(t)
	image := g.registry.PushImage("team/app", "", "signed")
	size := int64(len(image.Manifest))
	sign := func(tag string, size int64, mediaType string) {
		g.signed.sign("registry.example/team/app", tag, trust.Target{Digest: image.Digest, Size: size, MediaType: mediaType})
	}
	sign("right", size, ociManifest)
	sign("index", size, ociIndex)
	sign("long", size+1, "")
	exact := func(tag string, size int64, content []byte) {
		sum := fmt.Sprintf("%x", sha512.Sum512(content))
		g.signed.sign("registry.example/team/app", tag, trust.Target{Digest: image.Digest, Size: size, SHA512: sum, Exact: true})
	}
	exact("exact", size, image.Manifest)
	exact("exactly-long", size+1, image.Manifest)
	exact("other", size, []byte("other"))
	large := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"a":%q}}`, ociIndex, strings.Repeat("large ", 10<<10))
	g.signed.sign("registry.example/team/app", "big", trust.Target{
		Digest: g.registry.PushManifest("team/app", "", ociIndex, large), Size: int64(len(large)), SHA512: fmt.Sprintf("%x", sha512.Sum512(large)), Exact: true,
	})
	for _, c := range []struct {
		tag    string
		reason trust.Reason
		events []EventKind
	}{
		{"right", "", nil},
		{"index", trust.MediaTypeMismatch, nil},
		{"long", "", []EventKind{LengthDiffers}},
		{"long", "", nil}, // said once
		{"right", "", nil},
		{"exact", "", nil},
		{"exactly-long", trust.LengthMismatch, nil},
		{"other", trust.MetadataInvalid, nil},
		{"big", "", nil},
		{"big", "", nil},
	} {
		a := g.get("GET", "/v2/corp/team/app/manifests/"+c.tag)
		if c.tag == "big" && string(a.body) != string(large) {
			t.Errorf("big: %d bytes", len(a.body))
		}
		if r := g.recorded(); r[0].Reason != string(c.reason) || (a.status == 200) != (c.reason == "") {
			t.Errorf("%s: %d %+v", c.tag, a.status, r)
		}
		equal(t, c.tag, g.observed(), c.events...)
	}
}

// What the cache has is a hit, and what somebody else is fetching is not.
func TestHitOrMiss(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	kinds := func() (kinds []EventKind) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, e := range g.events {
			if e.Kind != Answered { // that comes when the client has gone on already
				kinds = append(kinds, e.Kind)
			}
		}
		g.events = nil
		return kinds
	}
	for _, path := range []string{"/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/blobs/" + image.Layer.String()} {
		g.get("GET", path)
		equal(t, "cold", kinds(), Miss)
		g.kept(image.Digest)
		if strings.Contains(path, "blobs") {
			g.kept(image.Layer)
		}
		g.get("GET", path)
		equal(t, "warm", kinds(), Hit)
	}
}

// TestSourceFails has a row for each reason that a source can be refused for.
func TestSourceFails(t *testing.T) {
	g := newGate(t)
	g.sign("team/app", "v1", "signed")
	for _, reason := range []trust.Reason{
		trust.NoTrustData, trust.RootNotPinned, trust.RootMismatch, trust.SignatureInvalid, trust.ThresholdNotMet, trust.MetadataExpired, trust.MetadataRollback,
		trust.MetadataInvalid, trust.SourceUnreachable, trust.MetadataStale, trust.StateUnavailable,
	} {
		g.signed.errs["registry.example/team/app"] = &trust.Refusal{Reason: reason, Text: "targets v3: \x1b[31mwrong\r\nX: y"}
		want := meaning(reason)
		for _, path := range []string{"/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/tags/list"} {
			a := g.get("GET", path)
			code, message, d := refusalIn(t, a)
			if a.status != want.status || code != want.code || d != (detail{reason, "registry.example/team/**", "notary", "ID"}) {
				t.Errorf("%s: %d %s %+v", reason, a.status, code, d)
			}
			if strings.ContainsAny(message, "\x1b\r\n") || strings.ContainsAny(a.header.Get("Warning"), "\x1b\r\n") {
				t.Errorf("%s: %q", reason, message)
			}
			if len(g.asked()) > 0 {
				t.Errorf("%s: upstream was asked", reason)
			}
			if r := g.recorded(); len(r) != 1 || r[0].Reason != string(reason) || a.header.Get("Tagwarden-Decision") != "ID" {
				t.Errorf("%s: %+v", reason, r)
			}
		}
	}
}

// Large manifests wait for each other, small ones for nobody.
func TestManifestRoom(t *testing.T) {
	g := newGate(t)
	small := g.sign("team/app", "v1", "small")
	body := []byte(`{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[],"annotations":{"x":"` + strings.Repeat("x", maxSmall) + `"}}`)
	large := "/v2/corp/team/app/manifests/" + g.registry.PushManifest("team/app", "", ociIndex, body).String()
	if a := g.get("GET", large); a.status != 200 || !bytes.Equal(a.body, body) {
		t.Fatal(a.status)
	}
	if err := g.large.Acquire(t.Context(), maxLarge); err != nil {
		t.Fatal(err) // or the answer before has not given its room back
	}
	if a := g.get("GET", "/v2/corp/team/app/manifests/"+small.Digest.String()); a.status != 200 {
		t.Error(a.status)
	}
	client := &http.Client{Timeout: 100 * time.Millisecond}
	if _, err := client.Get(g.server.URL + large); err == nil {
		t.Error("a large manifest came although there is no room for it")
	}
	g.large.Release(maxLarge)
	if a := g.get("GET", large); a.status != 200 {
		t.Error(a.status)
	}
}

// A registry is asked for a few manifests at a time, since they are held in memory, and one does not wait for another.
func TestManifestSlots(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	var release []func()
	for range maxQuestions {
		r, err := g.manifests.acquire(t.Context(), "registry.example/x")
		if err != nil {
			t.Fatal(err)
		}
		release = append(release, r, r)
	}
	client := &http.Client{Timeout: 100 * time.Millisecond}
	if _, err := client.Get(g.server.URL + "/v2/corp/team/app/manifests/v1"); err == nil || len(g.asked()) > 0 {
		t.Error("the registry was asked")
	}
	other := g.registry.PushImage("x", "", "other")
	if a := g.get("GET", "/v2/other.example/x/manifests/"+other.Digest.String()); a.status != 200 {
		t.Error("another registry has to wait too")
	}
	for _, r := range release {
		r()
	}
	if a := g.get("GET", "/v2/corp/team/app/manifests/"+image.Digest.String()); a.status != 200 {
		t.Error(a.status)
	}
	// Every answer gives its slot back.
	for i := range 2 * maxQuestions {
		g.get("GET", "/v2/corp/team/app/manifests/"+digest.FromString(fmt.Sprint(i)).String())
		i := g.registry.PushImage("team/app", "", fmt.Sprint(i))
		if a := g.get("GET", "/v2/corp/team/app/manifests/"+i.Digest.String()); a.status != 200 {
			t.Fatal(a.status)
		}
	}
}

// 3.9 MB must pass; more than 4 MiB must not, be it cached as something else.
func TestManifestSize(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct{ size, status int }{{3_900_000, 200}, {maxManifest, 200}, {maxManifest + 1, 502}} {
		frame := `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[],"annotations":{"x":"`
		body := []byte(frame + strings.Repeat("x", c.size-len(frame)-3) + `"}}`)
		d := g.registry.PushManifest("team/app", "", ociIndex, body)
		a := g.get("GET", "/v2/corp/team/app/manifests/"+d.String())
		if a.status != c.status || a.status == 200 && !bytes.Equal(a.body, body) {
			t.Errorf("%d bytes: %d", c.size, a.status)
		}
		g.registry.PushBlob("team/app", body)
		if a := g.get("GET", "/v2/corp/team/app/blobs/"+d.String()); a.status != 200 {
			t.Errorf("%d bytes as a blob: %d", c.size, a.status)
		}
		g.kept(d)
		if a := g.get("GET", "/v2/corp/team/app/manifests/"+d.String()); c.size > maxManifest && a.status != 403 {
			t.Errorf("%d bytes, cached: %d", c.size, a.status)
		}
	}
}
