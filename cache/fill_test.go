package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestHerdIsOneDownload(t *testing.T) {
	const callers = 64
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		content := random(5*step + 7)
		o := &source{content: content, claim: int64(len(content)), gate: make(chan struct{})}
		results := make(chan []byte, callers)
		for range callers {
			go func() {
				b, err := f.Fill(t.Context(), "here", digest.FromBytes(content), o.open)
				if err != nil {
					t.Error(err)
					results <- nil
					return
				}
				got, err := readAll(b)
				if err != nil {
					t.Error(err)
				}
				results <- got
			}()
		}
		synctest.Wait() // all of them wait for the origin now
		close(o.gate)
		for range callers {
			if got := <-results; !bytes.Equal(got, content) {
				t.Error("a caller got other content")
			}
		}
		if o.asked.Load() != 1 || o.closed.Load() != 1 {
			t.Errorf("origin was asked %d times and closed %d times, want once", o.asked.Load(), o.closed.Load())
		}
		f.work.Wait()
		if got := f.Stats(); got.Fills != 1 || got.Misses != callers || got.Running != 0 {
			t.Errorf("stats are %+v", got)
		}
	})
}

func TestFillReturnsWhenTheOriginAnswers(t *testing.T) {
	for _, size := range []int64{-1, 10} {
		synctest.Test(t, func(t *testing.T) {
			f := openFolder(t, Options{})
			content := random(10)
			o, w := pipe(size)
			b := f.fill(digest.FromBytes(content), o)
			if b.Size() != size || b.Complete() {
				t.Errorf("size is %d and complete is %t before the first byte", b.Size(), b.Complete())
			}
			if _, err := f.Get(b.Digest()); err == nil {
				t.Error("Get returns content that is not complete")
			}
			if got := f.Stats(); got.Running != 1 {
				t.Errorf("%d fills run, want 1", got.Running)
			}
			w.Write(content)
			w.Close()
			f.work.Wait()
			if b.Size() != 10 || !b.Complete() {
				t.Errorf("size is %d and complete is %t at the end", b.Size(), b.Complete())
			}
		})
	}
}

func TestCallerLeavesAndTheFillGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		content := random(100)
		o := &source{content: content, claim: -1, gate: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := f.Fill(ctx, "here", digest.FromBytes(content), o.open); !errors.Is(err, context.Canceled) {
			t.Fatalf("Fill returns %v", err)
		}
		close(o.gate)
		f.work.Wait()
		if _, err := f.Get(digest.FromBytes(content)); err != nil {
			t.Errorf("the fill ended with its caller: %v", err)
		}
	})
}

func TestNobodyBeginsAFill(t *testing.T) {
	f := openFolder(t, Options{})
	gone := errors.New("client went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	o := &source{}
	if _, err := f.Fill(ctx, "here", digest.FromString("x"), o.open); !errors.Is(err, gone) {
		t.Errorf("Fill returns %v", err)
	}
	if f.work.Wait(); o.asked.Load() != 0 {
		t.Error("the origin was asked for a caller that had left before")
	}
	b := f.stored(random(10))
	if _, err := f.Fill(ctx, "here", b.Digest(), o.open); err != nil {
		t.Errorf("what is on disk needs no waiting, but Fill returns %v", err)
	}
}

func TestFailureIsSharedWithThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		d := digest.FromString("x")
		unreachable := errors.New("no route to host")
		answer := make(chan struct{})
		asked := 0
		o := func(context.Context, int64) (io.ReadCloser, int64, error) {
			asked++
			<-answer
			return nil, 0, unreachable
		}
		errs := make(chan error)
		for range 2 {
			go func() {
				_, err := f.Fill(t.Context(), "here", d, o)
				errs <- err
			}()
		}
		synctest.Wait()
		close(answer)
		for range 2 {
			if err := <-errs; !errors.Is(err, unreachable) {
				t.Errorf("Fill returns %v", err)
			}
		}
		if asked != 1 {
			t.Errorf("origin was asked %d times", asked)
		}
	})
}

func TestFailureIsNotSharedWithThoseWhoComeLater(t *testing.T) {
	linger := make(chan struct{})
	f := openFolder(t, Options{Observe: func(Event) { <-linger }})
	content := random(100)
	d := digest.FromBytes(content)
	if _, err := f.Fill(t.Context(), "here", d, failing(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("Fill returns %v", err)
	}
	// The goroutine of the failed fill has not ended, and must not be met any more.
	bad := &source{content: []byte("wrong"), claim: 5}
	b, err := f.Fill(t.Context(), "here", d, bad.open)
	if err == nil {
		_, err = readAll(b)
	}
	if _, ok := errors.AsType[*ContentError](err); !ok || bad.asked.Load() != 1 {
		t.Errorf("the second caller got %v", err)
	}
	good := &source{content: content, claim: 100}
	if got, err := f.fill(d, good.open).Bytes(t.Context(), 100); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the third caller got %x, %v", got, err)
	}
	close(linger)
	f.work.Wait()
	if got := f.Stats(); got.Failures != 2 || got.Fills != 3 {
		t.Errorf("stats are %+v", got)
	}
}

func TestFillLooksAtTheDiskAgain(t *testing.T) {
	// A caller can miss on disk, and then find no fill because the one that ran has just ended.
	f := openFolder(t, Options{})
	b := f.stored(random(10))
	o := &source{}
	late, err := f.join(Request{Digest: b.Digest(), From: "here", Origin: o.open})
	if err != nil {
		t.Fatal(err)
	}
	p, err := late.until(t.Context(), func(p progress) bool { return p.stage > asking })
	if err != nil || p.stage != complete || p.size != 10 || o.asked.Load() != 0 {
		t.Errorf("progress %+v, %v; origin asked %d times", p, err, o.asked.Load())
	}
	f.leave(late)
	f.memory.clear()
	content, err := (&Blob{store: f.Store, digest: b.Digest(), path: late.path, fill: late}).Bytes(t.Context(), 10)
	if err != nil || !bytes.Equal(content, random(10)) {
		t.Errorf("content differs: %v", err)
	}
}

func TestCloseDuringFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{MaxFills: 1})
		content := random(3 * step)
		o, w := pipe(int64(len(content)))
		b := f.fill(digest.FromBytes(content), o)
		w.Write(content[:2*step])
		r, err := b.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(r)
			read <- err
		}()
		queued := make(chan error)
		go func() {
			_, err := f.Fill(t.Context(), "here", digest.FromString("queued"), failing(io.EOF))
			queued <- err
		}()
		synctest.Wait()

		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, ErrClosed) {
			t.Errorf("a reader got %v", err)
		}
		if err := <-queued; !errors.Is(err, ErrClosed) {
			t.Errorf("a caller that waited for its place got %v", err)
		}
		if _, err := w.Write(content); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the body was not closed: %v", err)
		}
		if left := f.files(); !slices.Equal(left, []string{"", "/partial", "/turn"}) {
			t.Errorf("left on disk: %q, want the folder, partial and turn", left)
		}
		if _, err := f.Fill(t.Context(), "here", b.Digest(), o); !errors.Is(err, ErrClosed) {
			t.Errorf("Fill after Close: %v", err)
		}
		if _, err := f.join(Request{Digest: b.Digest(), From: "here", Origin: o}); !errors.Is(err, ErrClosed) {
			t.Errorf("a Fill that Close overtakes: %v", err)
		}
		if _, err := f.Get(b.Digest()); !errors.Is(err, ErrClosed) {
			t.Errorf("Get after Close: %v", err)
		}
		if _, err := b.Open(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Open of a stopped fill: %v", err)
		}
		if got := f.Stats(); got.Failures != 0 || len(f.events) != 0 {
			t.Errorf("closing counts as failure: %+v, %v", got, f.events)
		}
	})
}
