package cache

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A folder is a Store under test and what it reported.
type folder struct {
	*Store
	t      testing.TB
	mu     sync.Mutex
	events []Event
}

// openFolder opens a Store in a folder of its own unless o names one, and closes it when the test ends. Events are
// remembered before o.Observe is told.
func openFolder(t testing.TB, o Options) *folder {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "cache")
	}
	f := &folder{t: t}
	if o.Backoff == 0 {
		o.Backoff = 1
	}
	also := o.Observe
	o.Observe = func(e Event) {
		f.mu.Lock()
		f.events = append(f.events, e)
		f.mu.Unlock()
		if also != nil {
			also(e)
		}
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Store = s
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// reported returns the kinds of the events so far, once all background work has ended.
func (f *folder) reported() []EventKind {
	f.work.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var kinds []EventKind
	for _, e := range f.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// Fill is Store.Fill from a place, in a scope of its own and for nobody in particular.
func (f *folder) Fill(ctx context.Context, from string, d digest.Digest, o Origin) (*Blob, error) {
	return f.Store.Fill(ctx, Request{Digest: d, From: from, Scope: from, Origin: o})
}

// fill fills from o and fails the test if that fails at once.
func (f *folder) fill(d digest.Digest, o Origin) *Blob {
	f.t.Helper()
	b, err := f.Fill(context.Background(), "here", d, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// stored fills content and waits until it is complete.
func (f *folder) stored(content []byte) *Blob {
	f.t.Helper()
	b := f.fill(digest.FromBytes(content), (&source{content: content, claim: int64(len(content))}).open)
	f.work.Wait()
	if !b.Complete() {
		f.t.Fatal("content is not complete after its fill")
	}
	return b
}

// files lists every file and folder below the Store's folder but those that come and go with the Store itself.
func (f *folder) files() []string {
	f.t.Helper()
	var names []string
	err := filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if own := path == f.partial || path == f.partial+lockSuffix; err == nil && !own {
			names = append(names, strings.TrimPrefix(path, f.dir))
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

// unfinished lists the partial files of all Stores on the folder.
func (f *folder) unfinished() []string {
	f.t.Helper()
	names, err := filepath.Glob(filepath.Join(f.dir, "partial", "*", "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

// A source is an origin that sends the same content whenever it is asked, and counts that.
type source struct {
	content []byte
	claim   int64         // the size it claims
	gate    chan struct{} // if not nil, it answers only when this is closed
	asked   atomic.Int64
	closed  atomic.Int64 // how many bodies were closed
}

func (o *source) open(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
	o.asked.Add(1)
	if o.gate != nil {
		select {
		case <-o.gate:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return &closing{bytes.NewReader(o.content[offset:]), func() { o.closed.Add(1) }}, o.claim, nil
}

// A closing body tells that it is closed.
type closing struct {
	io.Reader
	tell func()
}

func (b *closing) Close() error {
	b.tell()
	return nil
}

// pipe returns an origin that claims size and sends what the test writes.
func pipe(size int64) (Origin, *io.PipeWriter) {
	r, w := io.Pipe()
	return func(context.Context, int64) (io.ReadCloser, int64, error) { return r, size, nil }, w
}

// failing returns an origin that does not answer but with err.
func failing(err error) Origin {
	return func(context.Context, int64) (io.ReadCloser, int64, error) { return nil, 0, err }
}

// random returns n bytes that are always the same.
func random(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// readAll opens a blob and reads it to its end.
func readAll(b *Blob) ([]byte, error) {
	r, err := b.Open(context.Background())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
