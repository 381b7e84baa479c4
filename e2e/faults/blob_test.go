package faults

import (
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// layer returns so many random bytes.
func layer(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestKilledWhileFilling: a gateway that is killed while a large blob arrives has sent nothing that could be taken for the
// whole, keeps nothing of it, and after the restart the blob comes whole, and from then on without its registry.
//
// PRODUCT: invariant 3.
func TestKilledWhileFilling(t *testing.T) {
	t.Parallel()
	random := chance(t)
	s := newSite(t, "tuf")
	s.repo("app")
	content := layer(random, 4<<20)
	path := "/v2/app/blobs/" + s.up.PushBlob("app", content).String()
	g := s.gateway(t, "")
	for range 5 {
		hold := make(chan struct{})
		s.up.Fail(path, upstreamtest.Fault{Stall: hold, StallAfter: 1 + random.IntN(len(content)-1)})
		g.start(t)
		got := begin(t, g, path)
		g.kill()
		if rest, err := io.ReadAll(got.body); err == nil || !bytes.HasPrefix(content, append(got.first, rest...)) || len(got.first)+len(rest) >= len(content) {
			t.Errorf("before the kill: %d bytes, %v", len(got.first)+len(rest), err)
		}
		close(hold)
		if left := files(t, g.file("cache/sha256")); len(left) > 0 {
			t.Errorf("content that nobody has verified: %v", left)
		}
		if unfinished(t, g) == 0 {
			t.Error("the kill came before anything was written")
		}
		s.up.Fail(path, upstreamtest.Fault{Truncate: 1 + random.IntN(1<<20), Times: 1})
		g.start(t)
		if n := unfinished(t, g); n > 0 {
			t.Errorf("%d files of a dead process are left", n)
		}
		// It breaks off once more on the way, and comes whole.
		if a, err := g.get("/v2/r.example/app/blobs/" + digest.FromBytes(content).String()); err != nil || !bytes.Equal(a.body, content) {
			t.Errorf("after the restart: status %d, %d bytes, %v", a.status, len(a.body), err)
		}
		s.up.Heal()
		eventually(t, "the blob is kept", func() bool { return len(files(t, g.file("cache/sha256"))) > 0 })
		// Without the registry: it is kept.
		s.up.Delete("app", digest.FromBytes(content).String())
		g.kill()
		g.start(t)
		if a, err := g.get("/v2/r.example/app/blobs/" + digest.FromBytes(content).String()); err != nil || !bytes.Equal(a.body, content) {
			t.Errorf("from the cache, after a kill: %v, %v", a.status, err)
		}
		g.stop(t)
		if err := os.RemoveAll(g.file("cache")); err != nil {
			t.Fatal(err)
		}
		s.up.PushBlob("app", content)
	}
}

// A beginning is an answer of which more is to come.
type beginning struct {
	first []byte
	body  io.Reader
}

// begin asks for a blob, and returns when some of it, or nothing for now, has come.
func begin(t *testing.T, g *gateway, path string) beginning {
	t.Helper()
	type outcome struct {
		res *http.Response
		err error
	}
	came := make(chan outcome, 1)
	go func() {
		res, err := g.client.Get("http://" + g.addr + strings.Replace(path, "/app/", "/r.example/app/", 1))
		came <- outcome{res, err}
	}()
	eventually(t, "the blob arrives", func() bool { return unfinished(t, g) > 0 })
	select {
	case o := <-came:
		if o.err != nil {
			t.Fatal(o.err)
		}
		t.Cleanup(func() { o.res.Body.Close() })
		first := make([]byte, 1)
		n, _ := o.res.Body.Read(first)
		return beginning{first[:n], o.res.Body}
	default: // what came is withheld: the answer has not begun
		return beginning{nil, failing{}}
	}
}

// failing is an answer that never came.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// files returns the regular files below a folder that have something in them.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err == nil && info.Size() > 0 {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unfinished returns how many files with content there are that are not finished.
func unfinished(t *testing.T, g *gateway) int {
	t.Helper()
	return len(files(t, g.file("cache/partial")))
}

// TestSpoiltCache: what a power cut, or a disk, does to kept content never leaves the gateway whole: manifests come right or
// not at all; so do blobs that were kept shortly before the cut; and everything is fetched again.
//
// PRODUCT: invariants 3 and 6.
func TestSpoiltCache(t *testing.T) {
	t.Parallel()
	s := newSite(t, "tuf")
	r := s.repo("app")
	image := s.up.PushImage("app", "", "kept")
	large := layer(chance(t), 2<<20)
	contents := map[string][]byte{
		"manifests/" + image.Digest.String():                  image.Manifest,
		"blobs/" + s.up.PushBlob("app", large).String():       large,
		"blobs/" + s.up.PushBlob("app", large[:300]).String(): large[:300],
	}
	spoil := map[string]func(path string, data []byte) error{
		"empty":    func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"half":     func(path string, data []byte) error { return os.Truncate(path, int64(len(data)/2)) },
		"zeroed":   func(path string, data []byte) error { return os.WriteFile(path, make([]byte, len(data)), 0o600) },
		"gone":     func(path string, _ []byte) error { return os.Remove(path) },
		"a folder": func(path string, _ []byte) error { _ = os.Remove(path); return os.Mkdir(path, 0o700) },
		"longer":   func(path string, data []byte) error { return os.WriteFile(path, append(data, 0), 0o600) },
		"one bit": func(path string, data []byte) error {
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
	}
	g := s.gateway(t, "")
	g.start(t)
	for how, spoil := range spoil {
		all := func(when string) {
			t.Helper()
			for path, content := range contents {
				// What is found damaged may break off once; it never comes whole, and then it comes right.
				eventually(t, when+" "+how+": "+path+" comes right", func() bool {
					a, err := g.get("/v2/r.example/app/" + path)
					if err == nil && a.status == http.StatusOK && !bytes.Equal(a.body, content) {
						t.Fatalf("%s %s: %s has %d wrong bytes", when, how, path, len(a.body))
					}
					return err == nil && a.status == http.StatusOK
				})
			}
			if v := s.serves(t, g, r); v != 0 {
				t.Errorf("%s %s: v1 is version %d", when, how, v)
			}
		}
		all("before")
		var kept []string
		eventually(t, "everything is kept", func() bool {
			kept = files(t, g.file("cache/sha256"))
			return len(kept) == len(contents)+1 // and what v1 is
		})
		g.kill()
		for _, path := range kept {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o600); err != nil { // what is signed is kept read only
				t.Fatal(err)
			}
			if err := spoil(path, data); err != nil {
				t.Fatal(err)
			}
		}
		// Whoever is first to come after the cut asks for nothing, and ends in good order: the doubt remains.
		g.must(t, "cache", "prune", "--to", "1GiB")
		g.start(t)
		g.stop(t)
		g.start(t)
		all("after")
		if how != "gone" && g.security(t, "cache_damaged") == 0 {
			t.Errorf("%s: nobody is told", how)
		}
	}
}
