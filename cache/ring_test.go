package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// noDisk opens a store whose folder becomes a file.
func noDisk(t *testing.T) *folder {
	f := openFolder(t, Options{})
	f.work.Wait()
	if err := errors.Join(os.RemoveAll(f.dir), os.WriteFile(f.dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(f.dir); err != nil { // so that it can be closed
			t.Error(err)
		}
	})
	return f
}

// Where no file can be made at all, content passes by its readers, and small content is in memory afterwards.
func TestNoDisk(t *testing.T) {
	for _, size := range []int{0, 100, step, step + 1, wholeRing, wholeRing + 3*step + 7} {
		f := noDisk(t)
		content := random(size)
		b := f.fill(digest.FromBytes(content), (&source{content: content, claim: int64(size)}).open)
		if size <= wholeRing {
			if got, err := b.Bytes(t.Context(), wholeRing); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d: content differs, or %v", size, err)
			}
		} else if got, err := readAll(b); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d: content differs, or %v", size, err)
		}
		f.work.Wait()
		if _, err := f.Get(digest.FromBytes(content)); (err == nil) != (size <= Small) {
			t.Errorf("%d: Get returns %v", size, err)
		}
		if got, err := readAll(b); size <= Small && (err != nil || !bytes.Equal(got, content)) || size > Small && !errors.Is(err, ErrGone) {
			t.Errorf("%d: afterwards %d bytes, %v", size, len(got), err)
		}
	}
}

// What has come before its first reader waits for it, for a moment.
func TestUncachedContentWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := noDisk(t)
		content := random(2 * step)
		for _, late := range []time.Duration{0, linger - 1, linger + 1} {
			b := f.fill(digest.FromBytes(content), (&source{content: content, claim: 2 * step}).open)
			f.work.Wait()
			time.Sleep(late)
			synctest.Wait()
			if got, err := readAll(b); late < linger && (err != nil || !bytes.Equal(got, content)) || late > linger && !errors.Is(err, ErrGone) {
				t.Errorf("after %s: %d bytes, %v", late, len(got), err)
			}
			if !f.rings.TryAcquire(maxRings) {
				t.Errorf("after %s: memory was not given back", late)
			}
			f.rings.Release(maxRings)
		}
	})
}

// A slow reader does not hold up a fast one for long, and is told to ask again.
func TestSlowReaderOfUncachedContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := noDisk(t)
		content := random(wholeRing + 20*step)
		began := time.Now()
		o, w := pipe(int64(len(content)))
		b := f.fill(digest.FromBytes(content), o)
		go w.Write(content[:2*step])
		slow, fast := opened(t, t.Context(), b), opened(t, t.Context(), b)
		if _, err := io.ReadFull(slow, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		// Who comes now begins anew.
		anew := &source{content: content, claim: int64(len(content))}
		if got, err := readAll(f.fill(b.Digest(), anew.open)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
		go func() {
			w.Write(content[2*step:])
			w.Close()
		}()
		if got, err := io.ReadAll(fast); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
		if held := time.Since(began).Round(time.Second); held != grace {
			t.Errorf("the fast one was held up for %s", held)
		}
		if got, err := io.ReadAll(slow); !errors.Is(err, ErrGone) || len(got) >= len(content) {
			t.Errorf("the slow one got %d bytes, %v", len(got), err)
		}
		if _, err := b.Open(t.Context()); !errors.Is(err, ErrGone) {
			t.Errorf("Open returns %v", err)
		}
	})
}

// Content that nobody reads, or nobody reads on, does not stay.
func TestUnreadUncachedContent(t *testing.T) {
	for name, c := range map[string]struct {
		read int
		want error
		took time.Duration
	}{"no reader": {0, errUnread, linger}, "stuck": {10, errStuck, defaultStall}} {
		synctest.Test(t, func(t *testing.T) {
			f := noDisk(t)
			content := random(2 * wholeRing)
			o := &source{content: content, claim: int64(len(content))}
			began := time.Now()
			b := f.fill(digest.FromBytes(content), o.open)
			if c.read > 0 {
				r := opened(t, t.Context(), b)
				if _, err := io.ReadFull(r, make([]byte, c.read)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := b.fill.until(t.Context(), func(progress) bool { return false })
			if took := time.Since(began).Round(time.Second); !errors.Is(err, c.want) || took != c.took {
				t.Errorf("%s: ends with %v after %s", name, err, took)
			}
			f.work.Wait()
			if got := f.Stats().Failures; got != 0 {
				t.Errorf("%s: %d failures", name, got)
			}
		})
	}
}

// PRODUCT: invariant 9: what passes through memory is bounded.
func TestUncachedContentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := noDisk(t)
		if err := f.rings.Acquire(t.Context(), maxRings); err != nil {
			t.Fatal(err)
		}
		content := random(3 * step)
		began := time.Now()
		_, err := f.Fill(t.Context(), "here", digest.FromBytes(content), (&source{content: content, claim: -1}).open)
		if !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.ENOTDIR) || time.Since(began).Round(time.Second) != defaultStall {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		f.work.Wait()
		f.rings.Release(maxRings)
		// It was not the origin that failed.
		if got, err := readAll(f.fill(digest.FromBytes(content), (&source{content: content, claim: -1}).open)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
	})
}

func TestRing(t *testing.T) {
	content := random(1000)
	for size := 1; size < 40; size++ {
		g := &ring{first: 100, start: 100, end: 100, buf: make([]byte, size), leave: func() {}}
		for n := 1; g.end < 1000; n = min(n+1, size, int(1000-g.end)) {
			g.put(content[g.end : int(g.end)+n])
			for at := g.start; at < g.end; at++ {
				got := make([]byte, 2*size)
				n, err := g.readAt(got, at)
				if err != nil || n != int(g.end-at) || !bytes.Equal(got[:n], content[at:g.end]) {
					t.Fatalf("size %d, %d-%d: reading at %d returns %d bytes, %v", size, g.start, g.end, at, n, err)
				}
			}
			if _, err := g.readAt(make([]byte, 1), g.start-1); !errors.Is(err, ErrGone) || g.lossy() != (g.end > int64(100+size)) {
				t.Fatalf("size %d: %v, lossy is %t at %d", size, err, g.lossy(), g.end)
			}
		}
		g.free()
		if _, err := g.readAt(make([]byte, 1), g.start); !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
	for _, c := range []struct{ size, at, want int64 }{
		{-1, 0, wholeRing}, {10, 10, 1}, {wholeRing + 5, 5, wholeRing}, {wholeRing + 6, 5, smallRing},
	} {
		if got := ringFor(c.size, c.at); got != c.want {
			t.Errorf("%+v: a ring of %d bytes", c, got)
		}
	}
}
