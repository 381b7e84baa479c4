package proxy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
)

// pushBlob pushes n bytes and returns them, and where the gateway serves them.
func (g *gate) pushBlob(n int) (content []byte, d digest.Digest, path string) {
	content = noise(g.t.Name(), n)
	d = g.registry.PushBlob("team/app", content)
	return content, d, "/v2/corp/team/app/blobs/" + d.String()
}

func upstreamPath(d digest.Digest) string { return "/v2/team/app/blobs/" + d.String() }

func TestBlob(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 1 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newGate(t)
			content, d, path := g.pushBlob(n)
			for _, asked := range []int{1, 0} {
				for _, method := range []string{"HEAD", "GET"} {
					a := g.get(method, path)
					if a.err != nil || a.status != 200 || method == "GET" && !bytes.Equal(a.body, content) {
						t.Errorf("%s: %d, %d bytes, %v", method, a.status, len(a.body), a.err)
					}
					h := a.header
					if h.Get("Content-Length") != fmt.Sprint(n) || h.Get("Docker-Content-Digest") != d.String() || h.Get("Content-Type") != "application/octet-stream" || h.Get("Accept-Ranges") != "bytes" {
						t.Errorf("%s: %v", method, h)
					}
				}
				g.kept(d)
				if got := g.asked(); len(got) != asked {
					t.Errorf("upstream was asked %v", got)
				}
			}
			if r := g.recorded(); len(r) > 0 {
				t.Errorf("blobs are recorded: %v", r)
			}
		})
	}
}

func TestBlobRefused(t *testing.T) {
	g := newGate(t)
	content, d, path := g.pushBlob(10)
	g.get("GET", path)
	g.kept(d)
	g.asked()
	none := digest.FromString("none").String()
	for _, c := range []struct {
		path   string
		status int
		code   string
		reason trust.Reason
		asked  int
	}{
		{"/v2/corp/bad/app/blobs/" + d.String(), 403, "DENIED", trust.RuleDeny, 0},
		{"/v2/evil.example/app/blobs/" + d.String(), 403, "DENIED", trust.UnknownRegistry, 0},
		{"/v2/app/blobs/" + d.String() + "?ns=evil.example", 403, "DENIED", trust.UnknownRegistry, 0},
		{"/v2/corp/team/app/blobs/sha256:bad", 400, "DIGEST_INVALID", "", 0},
		{"/v2/corp/team/app/blobs/latest", 400, "DIGEST_INVALID", "", 0},
		{"/v2/corp/team/app/blobs/" + none, 404, "BLOB_UNKNOWN", "", 1},
		{"/v2/corp/none/blobs/" + none, 404, "BLOB_UNKNOWN", "", 1},
	} {
		a := g.get("GET", c.path)
		code, message, got := refusalIn(t, a)
		if a.status != c.status || code != c.code || got.Reason != c.reason || message == "" || len(g.asked()) != c.asked {
			t.Errorf("%s: %d %s %q %+v", c.path, a.status, code, message, got)
		}
	}
	// PRODUCT: invariant 12, what is cached is for whoever has the digest, wherever from.
	if a := g.get("GET", "/v2/other.example/what/ever/blobs/"+d.String()); a.status != 200 || !bytes.Equal(a.body, content) || len(g.asked()) != 0 {
		t.Error(a.status)
	}
}

// Ranges, of content on disk and of content that is still growing.
func TestBlobRanges(t *testing.T) {
	const n = 200 << 10
	for _, growing := range []bool{false, true} {
		t.Run(fmt.Sprintf("growing %v", growing), func(t *testing.T) {
			g := newGate(t)
			content, d, path := g.pushBlob(n)
			if growing {
				// All but the last byte is there, so that it stays growing until somebody waits for that.
				stall := make(chan struct{})
				defer close(stall)
				g.registry.Fail(upstreamPath(d), upstreamtest.Fault{Stall: stall, StallAfter: n - 1})
			} else {
				g.get("GET", path)
				g.kept(d)
			}
			for _, c := range []struct {
				header string
				status int
				first  int
				last   int
			}{
				{"bytes=0-0", 206, 0, 0}, {"bytes=10-99", 206, 10, 99}, {"bytes=0-99999", 206, 0, 99999}, {"bytes=100000-110000", 206, 100000, 110000},
				{"bytes=500-0", 416, 0, 0}, {fmt.Sprintf("bytes=%d-", n), 416, 0, 0}, {"bytes=99999999-", 416, 0, 0}, {"bytes=x", 416, 0, 0}, {"bytes=-", 416, 0, 0},
				{"bytes=-10", 206, n - 10, n - 1}, {fmt.Sprintf("bytes=%d-", n-5), 206, n - 5, n - 1}, {"bytes=5-99999999", 206, 5, n - 1}, {"bytes=-99999999", 206, 0, n - 1},
			} {
				if growing && c.status == 206 && c.last > n-64<<10 {
					continue // withheld until the end
				}
				a := g.get("GET", path, "Range: "+c.header)
				if a.status != c.status || a.err != nil {
					t.Fatalf("%s: %d, %v", c.header, a.status, a.err)
				}
				if c.status == 416 {
					if a.header.Get("Content-Range") != fmt.Sprintf("bytes */%d", n) && !strings.ContainsAny(c.header, "xX") && c.header != "bytes=500-0" && c.header != "bytes=-" || len(a.body) == 0 {
						t.Errorf("%s: %v %q", c.header, a.header, a.body)
					}
					continue
				}
				if !bytes.Equal(a.body, content[c.first:c.last+1]) || a.header.Get("Content-Length") != fmt.Sprint(c.last+1-c.first) ||
					a.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, n) {
					t.Errorf("%s: %v, %d bytes", c.header, a.header, len(a.body))
				}
			}
			if got := g.asked(); len(got) != 1 {
				t.Errorf("upstream was asked %v", got)
			}
		})
	}
}

// Bytes leave as they arrive, and the last ones only when all are right.
func TestBlobStreams(t *testing.T) {
	for _, length := range []int64{0, -1} { // as it is, and not told
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			g := newGate(t)
			const n, early = 300 << 10, 200 << 10
			content, d, path := g.pushBlob(n)
			stall := make(chan struct{})
			g.registry.Fail(upstreamPath(d), upstreamtest.Fault{Stall: stall, StallAfter: early, Length: length})
			res, err := http.Get(g.server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if want := map[int64]int64{0: n, -1: -1}[length]; res.ContentLength != want || res.StatusCode != 200 {
				t.Errorf("%d: length %d", res.StatusCode, res.ContentLength)
			}
			got := make([]byte, early-64<<10)
			if _, err := io.ReadFull(res.Body, got); err != nil {
				t.Fatal(err)
			}
			close(stall)
			rest, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(append(got, rest...), content) {
				t.Errorf("%d bytes, %v", len(got)+len(rest), err)
			}
		})
	}
}

// PRODUCT: invariant 3, a complete wrong blob never leaves. A small one gets a proper refusal instead.
func TestBlobCorrupt(t *testing.T) {
	for name, c := range map[string]struct {
		n      int
		fault  upstreamtest.Fault
		status int // 0: the connection breaks, unless it is known before the first byte, or 502 if the fault was found before the first byte left
		events []EventKind
	}{
		"small, last byte":   {1000, upstreamtest.Fault{CorruptLast: true}, 502, []EventKind{UpstreamInvalid}},
		"small, cut":         {1000, upstreamtest.Fault{Truncate: 1}, 502, []EventKind{UpstreamInvalid}},
		"small, cut, untold": {1000, upstreamtest.Fault{Truncate: 1, Length: -1}, 502, []EventKind{UpstreamInvalid}},
		"small, other":       {1000, upstreamtest.Fault{Body: []byte("other")}, 502, []EventKind{UpstreamInvalid}},
		"500":                {1000, upstreamtest.Fault{Status: 500}, 502, nil},
		"redirect inwards":   {1000, upstreamtest.Fault{Redirect: "http://169.254.169.254/"}, 502, nil},
		"404":                {1000, upstreamtest.Fault{Status: 404}, 404, nil},
		"large, last byte":   {1 << 20, upstreamtest.Fault{CorruptLast: true}, 0, []EventKind{UpstreamInvalid}},
		"large, cut":         {1 << 20, upstreamtest.Fault{Truncate: 1}, 0, []EventKind{UpstreamInvalid}},
		"large, untold":      {1 << 20, upstreamtest.Fault{CorruptLast: true, Length: -1}, 0, []EventKind{UpstreamInvalid}},
		"large, cut, untold": {1 << 20, upstreamtest.Fault{Truncate: 1 << 19, Length: -1}, 0, []EventKind{UpstreamInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			content, d, path := g.pushBlob(c.n)
			g.registry.Fail(upstreamPath(d), c.fault)
			a := g.get("GET", path)
			broken := c.status == 0 && a.err != nil && len(a.body) < c.n
			refused := a.err == nil && (a.status == c.status || c.status == 0 && a.status == 502)
			if !broken && !refused {
				t.Errorf("%d, %d of %d bytes, %v", a.status, len(a.body), c.n, a.err)
			}
			equal(t, "events", g.observed(), c.events...)
			g.registry.Heal()
			if a := g.get("GET", path); a.status != 200 || !bytes.Equal(a.body, content) {
				t.Errorf("healed: %d, %d bytes, %v", a.status, len(a.body), a.err)
			}
		})
	}
}

// A connection that breaks is taken up where it broke, or from the beginning where the registry has no ranges.
func TestBlobResumes(t *testing.T) {
	const n = 1 << 20
	for times, want := range map[int][]string{
		1: {"", "bytes=524288-"},
		2: {"", "bytes=524288-", ""}, // the second one answers 200
	} {
		g := newGate(t)
		content, d, path := g.pushBlob(n)
		g.registry.Fail(upstreamPath(d), upstreamtest.Fault{Truncate: n / 2, Times: times})
		if a := g.get("GET", path); a.err != nil || a.status != 200 || !bytes.Equal(a.body, content) {
			t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
		}
		var ranges []string
		for _, q := range g.registry.Requests() {
			ranges = append(ranges, q.Header.Get("Range"))
		}
		equal(t, "ranges", ranges, want...)
		equal(t, "events", g.observed())
	}
}

// noise returns n bytes that do not repeat.
func noise(seed string, n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256([]byte(seed)); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}
