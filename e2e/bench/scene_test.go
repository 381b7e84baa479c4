package main

import (
	"bufio"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestPieces(t *testing.T) {
	block := newBlock()
	seen := make(map[digest.Digest]bool)
	for _, size := range []int64{1, 64, 10_000, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 5} {
		b := newBlob(block, "name", size)
		h, n := sha256.New(), int64(0)
		for piece := range b.pieces() {
			h.Write(piece)
			n += int64(len(piece))
		}
		if n != size || digest.NewDigest(digest.SHA256, h) != b.digest || seen[b.digest] {
			t.Errorf("%d bytes: %d came, digest %s", size, n, b.digest)
		}
		seen[b.digest] = true
	}
	if newBlob(block, "one", 100).digest == newBlob(block, "two", 100).digest {
		t.Error("two names, one digest")
	}
	for range newBlob(block, "name", 3*blockSize).pieces() {
		break // who has enough is not asked again
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(0, 0)
	p := pace{rate: 1 << 20}
	for i, want := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond} {
		if n, delay := p.take(now, 1<<20); n != 256<<10 || delay != want {
			t.Errorf("piece %d: %d bytes after %s, want 256 KiB after %s", i, n, delay, want)
		}
	}
	// Time that nobody used is lost.
	if n, delay := p.take(now.Add(time.Minute), 5); n != 5 || delay != 0 {
		t.Errorf("%d bytes after %s", n, delay)
	}
	if n, delay := (&pace{}).take(now, 1<<30); n != 1<<30 || delay != 0 {
		t.Errorf("without a limit: %d bytes after %s", n, delay)
	}
}

func TestReadHead(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      answer
		fails     bool
	}{
		{"usual", "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 12\r\n\r\n", answer{status: 200, length: 12}, false},
		{"last of its connection", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", answer{status: 403, closes: true}, false},
		{"no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", answer{status: 200, length: -1}, true},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", answer{status: 200}, true},
		{"no status", "HTTP\r\n", answer{length: -1}, true},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n", answer{status: 200, length: 12}, true},
	} {
		got, err := readHead(bufio.NewReader(strings.NewReader(c.raw)))
		if got != c.want || err != nil != c.fails {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// scene is an origin and a bare server in front of it.
func scene(t *testing.T) (*catalogue, *origin, *instance) {
	t.Helper()
	c := newCatalogue(sizes{medium: 3 * mib, large: 5*mib + 7, cold: 4 * mib, herd: 4*mib + 1})
	o := &origin{paths: c.paths}
	upstream := httptest.NewServer(o)
	t.Cleanup(upstream.Close)
	b := newBare(upstream.URL, t.TempDir())
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	return c, o, &instance{name: bareName, addr: strings.TrimPrefix(front.URL, "http://")}
}

func TestBare(t *testing.T) {
	c, o, i := scene(t)
	all := append(append(c.byDigest[:3:3], c.byTag[:3]...), c.small[0], c.medium[0], c.large[0])
	for range 2 {
		if err := once(t.Context(), i, all...); err != nil {
			t.Fatal(err)
		}
	}
	want := tally{Requests: 9, Manifests: 6, Blobs: 3, BlobBytes: c.small[0].length + c.medium[0].length + c.large[0].length}
	if got := o.take(); got != want {
		t.Errorf("origin was asked %+v, want %+v", got, want)
	}
}

// TestHerd measures a herd as the bench does, and unplugs nobody: one fetch serves all.
func TestHerd(t *testing.T) {
	c, o, i := scene(t)
	for _, q := range []request{c.herds[0], c.coldTag} {
		o.behave(time.Millisecond, 0)
		s, err := herd(t.Context(), i, 8, q)
		if err != nil || s.Requests != 8 || s.Failed != 0 || s.Bytes != 8*q.length || s.Seconds <= 0 || s.FirstMS <= 0 {
			t.Errorf("%s: %+v, %v", q.path, s, err)
		}
		if got := o.take(); got.Requests != 1 {
			t.Errorf("%s: origin was asked %+v", q.path, got)
		}
	}
}

func TestLoad(t *testing.T) {
	c, o, i := scene(t)
	s, err := load(t.Context(), i, 4, 0, c.byDigest)
	if err != nil || s.Requests != 4 || s.Bytes != 4*c.byDigest[0].length {
		t.Errorf("%+v, %v", s, err)
	}
	if got := o.take(); got.Manifests != 4 {
		t.Errorf("origin was asked %+v: the clients do not begin apart", got)
	}
	wrong := c.byTag[0]
	wrong.length++
	if s, err := load(t.Context(), i, 4, 0, []request{wrong}); err == nil || s.Failed != 4 {
		t.Errorf("answers of a wrong length: %+v, %v", s, err)
	}
}

// TestBareWrongBytes has the origin serve other bytes than those of the digest: they never leave complete.
func TestBareWrongBytes(t *testing.T) {
	c, o, i := scene(t)
	for _, q := range []request{c.herds[0], c.byDigest[0]} {
		lie := *o.paths[q.path]
		lie.head = append([]byte("x"), lie.head[1:]...)
		o.paths[q.path] = &lie
		if err := once(t.Context(), i, q); err == nil {
			t.Errorf("%s: wrong bytes were served", q.path)
		}
	}
	missing := request{path: "/v2/team/app-000/blobs/" + digest.FromString("nothing").String(), status: http.StatusBadGateway, length: -1}
	if err := once(t.Context(), i, missing); err != nil {
		t.Error(err)
	}
}

func TestNotary(t *testing.T) {
	c, _, _ := scene(t)
	n := newNotary(c.signed, time.Now())
	s := httptest.NewServer(n)
	defer s.Close()
	i := &instance{addr: strings.TrimPrefix(s.URL, "http://")}
	base := "/v2/" + registryName + "/team/app-099/_trust/tuf/"
	if err := once(t.Context(), i,
		request{path: base + "timestamp.json", status: 200, length: int64(len(n.files[base+"timestamp.json"]))},
		request{path: base + "9.root.json", status: 404, length: -1}); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	var out strings.Builder
	if o, err := parse([]string{"-quick"}, &out); err != nil || o.rounds != 3 || o.budget != 150*time.Second {
		t.Errorf("quick: %+v, %v", o, err)
	}
	if o, err := parse(nil, &out); err != nil || o.rounds != 5 || o.budget != 9*time.Minute {
		t.Errorf("full: %+v, %v", o, err)
	}
	if _, err := parse([]string{"quick"}, &out); err == nil {
		t.Error("an argument that means nothing is taken")
	}
	if _, err := find("no-such-program-anywhere"); err == nil {
		t.Error("found what does not exist")
	}
}
