package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// PRODUCT: invariant 9: what has failed is not asked for in a tight loop.
func TestFailureStandsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Backoff: time.Second, Tries: -1})
		d := digest.FromString("x")
		asked := 0
		fill := func(scope string) error {
			_, err := f.Store.Fill(t.Context(), Request{Digest: d, From: "here", Scope: scope, Origin: func(context.Context, int64) (io.ReadCloser, int64, error) {
				asked++
				return nil, 0, fmt.Errorf("answer %d: %w", asked, fs.ErrNotExist)
			}})
			return err
		}
		var pauses []time.Duration
		for range 7 {
			first := fill("a")
			began, before := time.Now(), asked
			for asked == before {
				if err := fill("a"); asked == before && err != first {
					t.Fatalf("Fill returns %v, before it was %v", err, first)
				}
				time.Sleep(time.Second / 2)
			}
			pauses = append(pauses, time.Since(began).Truncate(time.Second))
			synctest.Wait()
			time.Sleep(maxBackoff) // until the next answer stands no more
		}
		if got := fmt.Sprint(pauses); got != "[1s 4s 10s 10s 10s 10s 10s]" {
			t.Errorf("failures stand for %s", got)
		}
		if before := asked; !errors.Is(fill("b"), fs.ErrNotExist) || asked != before+1 {
			t.Error("a failure in one scope is an answer in another")
		}
		time.Sleep(3 * maxBackoff)
		before := asked
		if errs := []error{fill("a"), fill("a")}; slices.Contains(errs, nil) || asked != before+1 {
			t.Error("old failures stand for ever, or do not stand")
		}
		time.Sleep(time.Second)
		o := &source{content: []byte("x"), claim: 1}
		if _, err := f.Store.Fill(t.Context(), Request{Digest: d, From: "here", Scope: "a", Origin: o.open}); err != nil {
			t.Error(err)
		}
		f.work.Wait()
		if _, ok := f.setbacks.all.Peek(matter{"a", d}); ok {
			t.Error("what has been had since is still remembered as a failure")
		}
	})
}

func TestSetbacksAreBounded(t *testing.T) {
	s := newSetbacks(time.Second, 0)
	for i := range 2 * maxSetbacks {
		s.add(matter{"scope", digest.Digest(fmt.Sprint(i))}, time.Now(), fs.ErrNotExist)
	}
	if s.all.Len() != maxSetbacks {
		t.Errorf("%d failures are remembered", s.all.Len())
	}
}

// A busy origin says for how long it wants to be left alone.
type busy time.Duration

func (b busy) Error() string             { return "429 too many requests" }
func (b busy) RetryAfter() time.Duration { return time.Duration(b) }

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{MaxFills: 1})
		began := time.Now()
		asked := 0
		content := []byte("content")
		o := func(context.Context, int64) (io.ReadCloser, int64, error) {
			if asked++; asked <= 2 {
				return nil, 0, fmt.Errorf("registry: %w", busy(5*time.Second))
			}
			return (&source{content: content, claim: 7}).open(t.Context(), 0)
		}
		served := make(chan error)
		go func() {
			_, err := f.Fill(t.Context(), "busy", digest.FromBytes(content), o)
			served <- err
		}()
		synctest.Wait()
		// Nobody else waits, though there is one turn for all.
		if _, err := f.Fill(t.Context(), "other", digest.FromString("y"), (&source{content: []byte("y"), claim: 1}).open); err != nil || time.Since(began) != 0 {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		// Who asks the busy one for something else waits, too.
		other := &source{content: []byte("other"), claim: 5}
		if _, err := f.Fill(t.Context(), "busy", digest.FromString("other"), other.open); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		if err := <-served; err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
	})
}

// Who would have to wait for long hears so at once.
func TestRetryAfterTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		began := time.Now()
		if _, err := f.Fill(t.Context(), "busy", digest.FromString("x"), failing(busy(time.Hour))); !errors.Is(err, busy(time.Hour)) {
			t.Error(err)
		}
		o := &source{content: []byte("y"), claim: 1}
		if _, err := f.Fill(t.Context(), "busy", digest.FromString("y"), o.open); !errors.Is(err, busy(time.Hour)) || o.asked.Load() != 0 {
			t.Errorf("%v, asked %d times", err, o.asked.Load())
		}
		if time.Since(began) != 0 {
			t.Errorf("it took %s", time.Since(began))
		}
		time.Sleep(maxTold) // which is all that anybody can demand
		if _, err := f.Fill(t.Context(), "busy", digest.FromString("y"), o.open); err != nil {
			t.Error(err)
		}
		// Demands that are short, but do not end, are too long in the end.
		asked := 0
		_, err := f.Fill(t.Context(), "again", digest.FromString("z"), func(context.Context, int64) (io.ReadCloser, int64, error) {
			asked++
			return nil, 0, busy(4 * time.Second)
		})
		if !errors.Is(err, busy(4*time.Second)) || asked != 4 {
			t.Errorf("%v, after %d questions", err, asked)
		}
	})
}

// TestFirstFailuresAreFree: what fails for a moment may be tried again at once, and only then there are pauses.
func TestFirstFailuresAreFree(t *testing.T) {
	s, now := newSetbacks(time.Second, 2), time.Unix(0, 0)
	m := matter{scope: "a"}
	m.digest = "sha256:x"
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second} {
		s.add(m, now, errors.New("no"))
		_, at := s.standing(m, now)
		_, before := s.standing(m, now.Add(want-1))
		_, after := s.standing(m, now.Add(want))
		if (at != nil) != (want > 0) || want > 0 && before == nil || after != nil {
			t.Errorf("failure %d: %v, %v, %v", i, at, before, after)
		}
		now = now.Add(want)
	}
}
