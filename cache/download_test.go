package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

func TestRightContentIsStored(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		for _, size := range []int{0, 1, step - 1, step, step + 1, 2 * step, 5*step + 3} {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %d %t", algorithm, size, known), func(t *testing.T) {
					f := openFolder(t, Options{})
					content := random(size)
					d := algorithm.FromBytes(content)
					o := &source{content: content, claim: -1}
					if known {
						o.claim = int64(size)
					}
					b := f.fill(d, o.open)
					if got, err := readAll(b); err != nil || !bytes.Equal(got, content) {
						t.Errorf("while it grows: content differs, or %v", err)
					}
					f.work.Wait()
					if !b.Complete() || b.Size() != int64(size) {
						t.Errorf("complete is %t, size is %d", b.Complete(), b.Size())
					}
					got, err := os.ReadFile(filepath.Join(f.dir, algorithm.String(), d.Encoded()[:2], d.Encoded()))
					if err != nil || !bytes.Equal(got, content) {
						t.Errorf("on disk: content differs, or %v", err)
					}
					if _, err := f.Get(d); err != nil {
						t.Error(err)
					}
					if left := f.unfinished(); left != nil {
						t.Errorf("left behind: %q", left)
					}
					if o.closed.Load() != 1 {
						t.Errorf("body was closed %d times", o.closed.Load())
					}
				})
			}
		}
	}
}

// wrong are the ways in which an origin can fail to send the right content.
var wrong = []struct {
	name  string
	spoil func(content []byte) []byte
	claim func(size int64) int64 // of the right content's size
	text  string                 // of the error
}{
	{"first byte", flip(0), same, "other content"},
	{"last byte", flip(-1), same, "other content"},
	{"first byte, unknown size", flip(0), unknown, "other content"},
	{"last byte, unknown size", flip(-1), unknown, "other content"},
	{"one byte short", cut(1), same, "of the"},
	{"one byte short, unknown size", cut(1), unknown, "other content"},
	{"one byte short, as claimed", cut(1), plus(-1), "other content"},
	{"one step short", cut(step), same, "of the"},
	{"one step short, unknown size", cut(step), unknown, "other content"},
	{"one byte long", long, same, "more than"},
	{"one byte long, unknown size", long, unknown, "other content"},
	{"one byte long, as claimed", long, plus(1), "other content"},
	{"right, claimed too small", right, plus(-1), "more than"},
	{"right, claimed too large", right, plus(1), "of the"},
	{"right, claimed far too large", right, plus(10 * step), "of the"},
	{"right, claimed empty", right, func(int64) int64 { return 0 }, "more than the 0 bytes"},
	{"right, claimed negative", right, func(int64) int64 { return -2 }, "claims a size of -2"},
	{"nothing", func([]byte) []byte { return nil }, same, "sent 0 of"},
	{"nothing, unknown size", func([]byte) []byte { return nil }, unknown, "other content, 0 bytes"},
	{"nothing, as claimed", func([]byte) []byte { return nil }, func(int64) int64 { return 0 }, "other content, 0 bytes"},
}

func right(b []byte) []byte    { return b }
func long(b []byte) []byte     { return append(b, 'x') }
func same(size int64) int64    { return size }
func unknown(size int64) int64 { return -1 }

func plus(n int64) func(int64) int64 { return func(size int64) int64 { return size + n } }

func flip(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:max(0, len(b)-n)] } }

// PRODUCT: invariant 3.
func TestWrongContentNeverLeavesComplete(t *testing.T) {
	for _, size := range []int{100, step, step + 1, 3*step + 123} {
		for _, c := range wrong {
			t.Run(fmt.Sprintf("%d %s", size, c.name), func(t *testing.T) {
				f := openFolder(t, Options{})
				content := random(size)
				d := digest.FromBytes(content)
				o := &source{content: c.spoil(bytes.Clone(content)), claim: c.claim(int64(size))}

				var got []byte
				b, err := f.Fill(t.Context(), "here", d, o.open)
				if err == nil {
					got, err = readAll(b)
				}
				wrong, ok := errors.AsType[*ContentError](err)
				if !ok || wrong.Want != d || !strings.Contains(err.Error(), c.text) {
					t.Errorf("the reader got %v", err)
				}
				if withheld := len(o.content) - len(got); len(got) > 0 && o.claim <= int64(len(o.content)) && withheld < step {
					t.Errorf("only %d bytes of wrong content were withheld", withheld)
				}
				if len(o.content) <= step && len(got) > 0 && o.claim <= step {
					t.Errorf("%d bytes of small content left before they were verified", len(got))
				}
				if b != nil {
					if _, err := b.Bytes(t.Context(), 1<<20); err == nil {
						t.Error("Bytes returns wrong content")
					}
				}
				if left := f.unfinished(); left != nil {
					t.Errorf("left behind: %q", left)
				}
				if _, err := f.Get(d); err == nil {
					t.Error("Get returns wrong content")
				}
				if kinds := f.reported(); !slices.Equal(kinds, []EventKind{FillFailed}) || f.Stats().Failures != 1 {
					t.Errorf("events are %v, stats %+v", f.events, f.Stats())
				}
				if o.closed.Load() != o.asked.Load() {
					t.Errorf("body was closed %d times", o.closed.Load())
				}
				f.stored(content)
			})
		}
	}
}

func TestOriginErrors(t *testing.T) {
	reset := errors.New("connection reset")
	begin := func(then io.Reader) io.Reader { return io.MultiReader(bytes.NewReader(random(2*step)), then) }
	for name, c := range map[string]struct {
		body io.Reader
		want error
	}{
		"error after bytes": {begin(iotest.ErrReader(reset)), reset},
		"error at once":     {iotest.ErrReader(reset), reset},
		"wrapped EOF":       {begin(iotest.ErrReader(fmt.Errorf("proxy: %w", io.EOF))), io.ErrUnexpectedEOF},
		"no progress":       {begin(idle{}), io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t, Options{})
			o := func(context.Context, int64) (io.ReadCloser, int64, error) { return io.NopCloser(c.body), -1, nil }
			b, err := f.Fill(t.Context(), "here", digest.FromString(name), o)
			if err == nil {
				_, err = readAll(b)
			}
			if !errors.Is(err, c.want) || errors.Is(err, io.EOF) {
				t.Errorf("the reader got %v", err)
			}
			if left := f.unfinished(); left != nil {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// An idle reader returns nothing and no error, which io.Reader discourages but allows.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestTheOriginDoesNotWaitForTheDisk(t *testing.T) {
	f := openFolder(t, Options{})
	d := digest.FromString("content")
	path, err := f.path(d)
	if err != nil {
		t.Fatal(err)
	}
	f.fill(d, func(context.Context, int64) (io.ReadCloser, int64, error) {
		return &closing{strings.NewReader("content"), func() {
			if _, err := os.Lstat(path); err == nil {
				t.Error("the body is closed only after its content has its name")
			}
		}}, -1, nil
	})
	f.work.Wait()
}
