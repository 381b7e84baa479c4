package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// PRODUCT: invariant 9.
func TestTooLarge(t *testing.T) {
	const limit = 2 * step
	for name, o := range map[string]Options{
		"MaxBlob":           {MaxBlob: limit},
		"Size":              {Size: limit},
		"Size over MaxBlob": {Size: 10 * limit, MaxBlob: limit},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFolder(t, o)
			f.stored(random(limit))

			closed := false
			claimed := func(context.Context, int64) (io.ReadCloser, int64, error) {
				return &closing{iotest.ErrReader(errors.New("read all the same")), func() { closed = true }}, limit + 1, nil
			}
			if _, err := f.Fill(t.Context(), "here", digest.FromString("claimed"), claimed); !errors.Is(err, ErrTooLarge) {
				t.Errorf("claimed: Fill returns %v", err)
			}
			if !closed {
				t.Error("claimed: body was not closed")
			}
			endless := func(context.Context, int64) (io.ReadCloser, int64, error) { return io.NopCloser(zeros{}), -1, nil }
			b, err := f.Fill(t.Context(), "here", digest.FromString("endless"), endless)
			if err == nil {
				_, err = readAll(b)
			}
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("endless: the reader got %v", err)
			}
			if left := f.unfinished(); left != nil {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestNothingIsReadBeyondTheClaim(t *testing.T) {
	f := openFolder(t, Options{MaxBlob: 10 * step})
	o := func(context.Context, int64) (io.ReadCloser, int64, error) { return io.NopCloser(zeros{}), step, nil }
	b, err := f.Fill(t.Context(), "here", digest.FromString("x"), o)
	if err == nil {
		_, err = readAll(b)
	}
	if e, ok := errors.AsType[*ContentError](err); !ok || e.Length > 2*step {
		t.Errorf("the reader got %v", err)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// One silence of a body is taken for a broken connection, a second one without progress is not.
func TestSilentOrigin(t *testing.T) {
	const stall = 10 * time.Second
	for name, c := range map[string]struct {
		o    Origin
		want time.Duration
	}{
		"answer": {func(ctx context.Context, _ int64) (io.ReadCloser, int64, error) {
			<-ctx.Done()
			return nil, 0, errors.New("request cancelled")
		}, stall},
		"body": {func(ctx context.Context, _ int64) (io.ReadCloser, int64, error) {
			silent, _ := pipe(100)
			return silent(ctx, 0)
		}, 2 * stall},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := openFolder(t, Options{Stall: stall})
			start := time.Now()
			b, err := f.Fill(t.Context(), "here", digest.FromString("x"), c.o)
			if err == nil {
				_, err = readAll(b)
			}
			if err == nil || !strings.Contains(err.Error(), "origin sent nothing for 10s") {
				t.Errorf("%s: the caller got %v", name, err)
			}
			if waited := time.Since(start).Round(time.Second); waited != c.want {
				t.Errorf("%s: it took %s", name, waited)
			}
		})
	}
}

func TestSlowDiskIsNotASilentOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		a := &attempt{ReadCloser: io.NopCloser(strings.NewReader("x")), silence: time.AfterFunc(time.Second, func() { ended = true })}
		if _, err := a.read(make([]byte, 1), time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the test's own clock
		if synctest.Wait(); ended {
			t.Error("the fill ends while it is the disk that takes its time")
		}
	})
}

func TestSlowOriginIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Stall: 10 * time.Second})
		content := random(20)
		o, w := pipe(20)
		b := f.fill(digest.FromBytes(content), o)
		go func() {
			defer w.Close()
			for i := range content {
				time.Sleep(9 * time.Second) // of the test's own clock, which does not wait
				w.Write(content[i : i+1])
			}
		}()
		if got, err := readAll(b); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
	})
}

// PRODUCT: invariant 9.
func TestFillsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{MaxFills: 1})
		slow, w := pipe(5)
		f.fill(digest.FromString("first"), slow)

		// Its caller leaves before there is a place: the origin is never asked, and nothing stays behind.
		second := &source{content: []byte("second"), claim: 6}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Fill(ctx, "here", digest.FromString("second"), second.open); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Fill returns %v", err)
		}
		synctest.Wait()
		if len(f.fills) != 1 {
			t.Errorf("%d fills are known, want the one that runs", len(f.fills))
		}

		// What ends late does not take its successor with it.
		if f.forget(&fill{q: Request{Digest: digest.FromString("first"), From: "here"}}); len(f.fills) != 1 {
			t.Error("the end of one fill made the Store forget another of the same digest")
		}

		// One of two callers leaves: the other is served as soon as there is a place.
		third := &source{content: []byte("third"), claim: 5}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		served := make(chan error)
		go func() {
			_, err := f.Fill(t.Context(), "here", digest.FromString("third"), third.open)
			served <- err
		}()
		if _, err := f.Fill(ctx, "here", digest.FromString("third"), third.open); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Fill returns %v", err)
		}
		if third.asked.Load() != 0 {
			t.Error("a fill began beyond the bound")
		}
		io.WriteString(w, "first")
		w.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		f.work.Wait()
		if second.asked.Load() != 0 || third.asked.Load() != 1 {
			t.Errorf("origins were asked %d and %d times, want 0 and 1", second.asked.Load(), third.asked.Load())
		}
		if got := f.Stats(); got.Failures != 0 || got.Running != 0 || len(f.events) != 0 {
			t.Errorf("stats are %+v, events %v", got, f.events)
		}
	})
}

// PRODUCT: invariant 9, what one place does with a digest, or with all the turns it has, holds up nobody who asks another.
func TestPlacesDoNotHoldUpEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{MaxFills: 8, Stall: time.Hour})
		content := []byte("content")
		d := digest.FromBytes(content)
		drip := func(ctx context.Context, _ int64) (io.ReadCloser, int64, error) {
			<-ctx.Done()
			return nil, 0, ctx.Err()
		}
		for i := range 20 {
			go f.Fill(t.Context(), "evil", digest.FromString(string(rune('a'+i))), drip)
		}
		go f.Fill(t.Context(), "evil", d, drip)
		synctest.Wait()
		if n := f.Stats().Running; n != 2 {
			t.Errorf("%d fills from one place run, want 2", n)
		}
		b, err := f.Fill(t.Context(), "good", d, func(context.Context, int64) (io.ReadCloser, int64, error) {
			return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Bytes(t.Context(), 100); !bytes.Equal(got, content) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		lie := func(context.Context, int64) (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader("a lie")), 5, nil
		}
		other := digest.FromString("other")
		stall := make(chan struct{})
		go f.Fill(t.Context(), "good", other, func(context.Context, int64) (io.ReadCloser, int64, error) {
			<-stall
			return io.NopCloser(strings.NewReader("other")), 5, nil
		})
		synctest.Wait()
		if b, err := f.Fill(t.Context(), "liar", other, lie); err == nil {
			if _, err := b.Bytes(t.Context(), 100); err == nil {
				t.Error("a lie was taken")
			}
		}
		close(stall)
		synctest.Wait()
		if _, err := f.Get(other); err != nil {
			t.Errorf("after a lie from elsewhere: %v", err)
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		deaf := make(chan struct{})
		go f.Fill(t.Context(), "here", digest.FromString("x"), func(context.Context, int64) (io.ReadCloser, int64, error) {
			<-deaf
			return nil, 0, io.ErrUnexpectedEOF
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returns %v", err)
		}
		close(deaf)
		if err := f.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if left := f.files(); !slices.Equal(left, []string{"", "/partial", "/turn"}) {
			t.Errorf("left on disk: %q, want the folder, partial and turn", left)
		}
	})
}
