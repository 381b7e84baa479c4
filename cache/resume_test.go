package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// A flaky origin breaks every body after so many bytes, and remembers from where it was asked.
type flaky struct {
	content []byte
	claim   int64
	every   int
	how     error // io.EOF for an end that looks like one
	refuse  bool  // an offset other than 0
	mu      sync.Mutex
	offsets []int64
	sent    int
}

var errReset = errors.New("connection reset by peer")

func (o *flaky) open(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offsets = append(o.offsets, offset)
	if offset > 0 && o.refuse {
		return nil, 0, fmt.Errorf("200 where 206 was to come: %w", fs.ErrInvalid)
	}
	rest := o.content[offset:]
	if len(rest) <= o.every {
		o.sent += len(rest)
		return io.NopCloser(bytes.NewReader(rest)), o.claim, nil
	}
	o.sent += o.every
	return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:o.every]), iotest.ErrReader(o.how))), o.claim, nil
}

func TestBrokenBodyGoesOnWhereItBroke(t *testing.T) {
	for _, size := range []int{1000, 10 * step, 30*step + 7} {
		for _, how := range []error{errReset, io.ErrUnexpectedEOF, io.EOF} {
			for _, known := range []bool{true, false} {
				if !known && how == io.EOF {
					continue // the end of content of unknown size
				}
				t.Run(fmt.Sprintf("%d %v %t", size, how, known), func(t *testing.T) {
					f := openFolder(t, Options{})
					o := &flaky{content: random(size), claim: -1, every: (size + 9) / 10, how: how}
					want := 10
					if known {
						o.claim = int64(size)
					}
					if !known && size == 1000 {
						o.every = size / 5 // less than a step counts for nothing where the size is unknown
						want = 5
					}
					d := digest.FromBytes(o.content)
					if got, err := readAll(f.fill(d, o.open)); err != nil || !bytes.Equal(got, o.content) {
						t.Errorf("content differs, or %v", err)
					}
					f.work.Wait()
					if len(o.offsets) != want || o.sent != size || !slices.IsSorted(o.offsets) {
						t.Errorf("asked at %v for %d bytes in all", o.offsets, o.sent)
					}
					if _, err := f.Get(d); err != nil || f.Stats().Resumed != uint64(want-1) || f.reported() != nil {
						t.Errorf("%v, %+v, %v", err, f.Stats(), f.events)
					}
				})
			}
		}
	}
}

// An origin that cannot begin in the middle is asked from the beginning, and what is there already is skipped.
func TestOriginWithoutRanges(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(20 * step)
	broken := &flaky{content: content, claim: 20 * step, every: 7 * step, how: errReset, refuse: true}
	calls := 0
	o := func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		if calls++; calls == 4 {
			broken.every = len(content)
		}
		return broken.open(ctx, offset)
	}
	if got, err := readAll(f.fill(digest.FromBytes(content), o)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or %v", err)
	}
	// The second answer from the beginning breaks where the first one did.
	if !slices.Equal(broken.offsets, []int64{0, 7 * step, 0, 7 * step, 0}) {
		t.Errorf("asked at %v", broken.offsets)
	}
}

// What comes from another offset than was asked for has another hash, whoever claims what.
func TestWrongRest(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(4 * step)
	o := func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		if offset == 0 {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content[:2*step]), iotest.ErrReader(errReset))), 4 * step, nil
		}
		return io.NopCloser(bytes.NewReader(content[offset-1 : len(content)-1])), 4 * step, nil
	}
	var got []byte
	b, err := f.Fill(t.Context(), "here", digest.FromBytes(content), o)
	if err == nil { // the fill may have failed already
		got, err = readAll(b)
	}
	if _, ok := errors.AsType[*ContentError](err); !ok || len(got) > 3*step {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{FillFailed}) || f.unfinished() != nil {
		t.Errorf("events are %v, left %q", f.events, f.unfinished())
	}
}

// PRODUCT: invariant 9: attempts without progress are bounded, and come slower and slower.
func TestNoProgress(t *testing.T) {
	for name, c := range map[string]struct {
		o    func(content []byte) Origin
		want string
	}{
		"a byte at a time": {func(content []byte) Origin {
			return (&flaky{content: content, claim: int64(len(content)), every: 1, how: errReset}).open
		}, "connection reset"},
		"a byte at a time, unknown size": {func(content []byte) Origin {
			return (&flaky{content: content, claim: -1, every: 1, how: errReset}).open
		}, "connection reset"},
		"gone": {func(content []byte) Origin {
			return func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
				if offset > 0 {
					return nil, 0, fs.ErrNotExist
				}
				return io.NopCloser(io.MultiReader(bytes.NewReader(content[:step]), iotest.ErrReader(errReset))), -1, nil
			}
		}, "does not exist"},
		"another size": {func(content []byte) Origin {
			return func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
				if offset > 0 {
					return io.NopCloser(bytes.NewReader(content[offset:])), int64(len(content)) + 1, nil
				}
				return io.NopCloser(io.MultiReader(bytes.NewReader(content[:step]), iotest.ErrReader(errReset))), int64(len(content)), nil
			}
		}, "had claimed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := openFolder(t, Options{Backoff: time.Second})
			content := random(3 * step)
			asked := 0
			began := time.Now()
			b, err := f.Fill(t.Context(), "here", digest.FromBytes(content), func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
				asked++
				return c.o(content)(ctx, offset)
			})
			if err == nil {
				_, err = readAll(b)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: the reader got %v", name, err)
			}
			if took := time.Since(began).Round(time.Second); asked != 1+attempts || took != (1+2+4+8+10+10)*time.Second {
				t.Errorf("%s: asked %d times in %s", name, asked, took)
			}
		})
	}
}

// Bytes that come slowly do not wait for more of them.
func TestSlowLinkIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		content := random(20 * step)
		b, w := growing(f, content[:10*step], int64(len(content)))
		r := opened(t, t.Context(), b)
		if _, err := io.ReadFull(r, make([]byte, 10*step)); err != nil {
			t.Fatal(err)
		}
		for at := 10 * step; at < 18*step; at += 100 {
			began := time.Now()
			if _, err := w.Write(content[at : at+100]); err != nil {
				t.Fatal(err)
			}
			var got [100]byte
			if _, err := io.ReadFull(r, got[:]); err != nil || !bytes.Equal(got[:], content[at:at+100]) {
				t.Fatalf("content differs, or %v", err)
			}
			if waited := time.Since(began); waited > soon {
				t.Fatalf("waited for %s", waited)
			}
		}
		w.Close()
	})
}
