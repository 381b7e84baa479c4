package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// HTTP: RFC 9112 6.3, a client of 1.0 takes the end of the connection for the end of the blob: of one without a length it
// gets all that is right, or nothing.
func TestOldClientsGetWholeBlobs(t *testing.T) {
	content := noise("old", 300<<10)
	h := &Handler{idle: idleLimit, o: Options{Log: zap.NewNop()}}
	for name, c := range map[string]struct {
		end error // how the content ends
		old bool
		got int
	}{
		"right, 1.0": {io.EOF, true, len(content)}, "cut, 1.0": {io.ErrUnexpectedEOF, true, 0},
		"right, 1.1": {io.EOF, false, len(content)}, "cut, 1.1": {io.ErrUnexpectedEOF, false, len(content)},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if c.old {
			r.Proto, r.ProtoMinor = "HTTP/1.0", 0
		}
		w := httptest.NewRecorder()
		err := h.send(w, r, digest.FromBytes(content), -1, ending{bytes.NewReader(content), c.end})
		if (err == nil) != (c.end == io.EOF) || !bytes.Equal(w.Body.Bytes(), content[:c.got]) || w.Flushed != (c.got > 0) {
			t.Errorf("%s: %v, %d bytes sent", name, err, w.Body.Len())
		}
	}
}

// ending is content that ends with an error.
type ending struct {
	*bytes.Reader
	end error
}

// Read implements io.Reader.
func (e ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		err = e.end
	}
	return n, err
}

// Close implements io.Closer.
func (ending) Close() error { return nil }

// PRODUCT: section 8, a manifest that arrives as a blob of unknown size is no larger than any other, and is waited for.
func TestManifestOfUnknownSize(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close files that were forgotten
	for name, c := range map[string]struct {
		size int
		wait time.Duration
		want string
	}{
		"too large, without an end": {6 << 20, 10 * time.Second, "more than the 4 MiB"},
		"small, without an end":     {100, 100 * time.Millisecond, context.DeadlineExceeded.Error()},
	} {
		g := newGate(t)
		content := noise(name, c.size)
		d := digest.FromBytes(append(bytes.Clone(content), '.'))
		end := make(chan struct{})
		_, err := g.o.Cache.Fill(t.Context(), cache.Request{Digest: d, From: "registry.example", Origin: func(context.Context, int64) (io.ReadCloser, int64, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content), stalled(end))), -1, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), c.wait)
		defer cancel()
		if m, err := g.content(ctx, "", "registry.example/team/app", d); err == nil || !strings.Contains(err.Error(), c.want) || m.content != nil || m.body != nil {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		close(end)
		g.until("the file is closed", func() bool { return openFiles(t, d.Encoded()) == 0 })
	}
}

// PRODUCT: invariant 3, what came into the cache as a blob is inspected when it is asked for as a manifest, also if it is
// so large that it is not held in memory; and its file is closed again.
func TestLargeBlobIsNoManifest(t *testing.T) {
	g := newGate(t)
	content, d, path := g.pushBlob(2 * maxSmall)
	if a := g.get("GET", path); a.status != 200 || !bytes.Equal(a.body, content) {
		t.Fatalf("as a blob: %d", a.status)
	}
	g.kept(d)
	g.until("the blob is sent", func() bool { return openFiles(t, d.Encoded()) == 0 })
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what was forgotten
	if a := g.get("GET", "/v2/corp/team/app/manifests/"+d.String()); a.status != 403 || !bytes.Contains(a.body, []byte("media_type_mismatch")) {
		t.Errorf("as a manifest: %d %.200q", a.status, a.body)
	}
	if n := openFiles(t, d.Encoded()); n != 0 {
		t.Errorf("its file is still open, %d times", n)
	}
}

// openFiles returns how many files of this process are open whose names hold a word; none where that cannot be told.
func openFiles(t *testing.T, word string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		if file, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(file, word) {
			n++
		}
	}
	return n
}

// PRODUCT: section 4 and invariant 10, under audit the one record says what became of the request at the registry, too.
func TestAuditRecordsTheRegistry(t *testing.T) {
	const path = "/v2/watched/app/manifests/v1"
	for name, c := range map[string]struct {
		fault           upstreamtest.Fault
		status          int
		verdict, reason string
	}{
		"nothing there":  {upstreamtest.Fault{Status: 404}, 404, "would_deny", "unsigned_tag"},
		"registry fails": {upstreamtest.Fault{Status: 500}, 502, "deny", "upstream_unreachable"},
	} {
		g := newGate(t)
		g.registry.PushImage("watched/app", "v1", "now")
		g.registry.Fail(path, c.fault)
		a := g.get("GET", "/v2/corp/watched/app/manifests/v1")
		g.until("the record", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.records) == 1 })
		if r := g.recorded()[0]; a.status != c.status || r.Verdict != c.verdict || string(r.Reason) != c.reason || r.Served != "" {
			t.Errorf("%s: %d, %+v", name, a.status, r)
		}
	}
}

// PRODUCT: invariant 10, under audit a client that leaves changes neither the record nor what it says of the tag.
func TestClientLeavesAudit(t *testing.T) {
	g := newGate(t)
	g.registry.PushImage("watched/app", "v1", "now")
	stall := make(chan struct{})
	g.registry.Fail("/v2/watched/app/manifests/v1", upstreamtest.Fault{Stall: stall})
	client := &http.Client{Timeout: 100 * time.Millisecond}
	if _, err := client.Get(g.server.URL + "/v2/corp/watched/app/manifests/v1"); err == nil {
		t.Fatal("an answer came")
	}
	g.until("the record", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.records) == 1 })
	close(stall)
	if r := g.recorded()[0]; r.Served != "" || r.Verdict != "would_deny" || r.Reason != "unsigned_tag" {
		t.Errorf("%+v", r)
	}
}

// PRODUCT: section 4, whatever keeps referrers from being served, the answer is an index without any, and the log says why.
func TestReferrersAreAlwaysAnswered(t *testing.T) {
	d := digest.FromString("any")
	path := "/v2/team/app/referrers/" + d.String()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		fault upstreamtest.Fault
		said  string // what the log says; empty: nothing
	}{
		"none":          {t.Context(), upstreamtest.Fault{Status: 404}, ""},
		"failing":       {t.Context(), upstreamtest.Fault{Status: 500}, "500"},
		"ambiguous":     {t.Context(), upstreamtest.Fault{Body: []byte(`{"mediaType":"` + ociIndex + `","manifests":[],"layers":[]}`)}, "an index and an image at once"},
		"client leaves": {gone, upstreamtest.Fault{}, "canceled"},
	} {
		core, logs := observer.New(zap.WarnLevel)
		g := newGate(t, func(o *Options) { o.Log = zap.New(core) })
		g.registry.Fail(path, c.fault)
		if c.ctx == gone {
			for range cap(g.referrers["registry.example"]) {
				g.referrers["registry.example"] <- struct{}{} // so that there is nothing but to leave
			}
		}
		for _, artifactType := range []string{"", "a/b"} {
			index, filtered := g.askReferrers(c.ctx, "registry.example/team/app", d, artifactType)
			if string(index) != noReferrers || filtered != (artifactType != "") {
				t.Errorf("%s, type %q: %s, %v", name, artifactType, index, filtered)
			}
			said := logs.TakeAll()
			if len(said) == 1 && c.said != "" && strings.Contains(fmt.Sprint(said[0].ContextMap()["error"]), c.said) || len(said) == 0 && c.said == "" {
				continue
			}
			t.Errorf("%s: the log says %v", name, said)
		}
	}
}

// stalled is a reader that comes to its end when it is closed.
type stalled <-chan struct{}

// Read implements io.Reader.
func (s stalled) Read([]byte) (int, error) {
	<-s
	return 0, io.EOF
}
