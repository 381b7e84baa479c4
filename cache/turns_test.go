package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// PRODUCT: invariant 9: one client does not take all turns, and waits in nobody's way.
func TestClientsDoNotHoldUpEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{MaxFills: 20, MaxClient: 3, Stall: time.Hour})
		drip := func(ctx context.Context, _ int64) (io.ReadCloser, int64, error) {
			<-ctx.Done()
			return nil, 0, ctx.Err()
		}
		begin := func(ctx context.Context, who string, n int) {
			for i := range n {
				go f.Store.Fill(ctx, Request{Digest: digest.FromString(fmt.Sprint(who, i)), From: "here", Who: who, Origin: drip})
			}
		}
		begin(t.Context(), "greedy", 10)
		synctest.Wait()
		if got := f.Stats(); got.Running != 3 || got.Waiting != 7 {
			t.Errorf("stats are %+v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		begin(ctx, "other", 1)
		begin(ctx, "", 5) // nobody in particular has the bound of the place only
		synctest.Wait()
		if got := f.Stats(); got.Running != 5 || got.Waiting != 11 {
			t.Errorf("stats are %+v", got)
		}
		cancel()
		synctest.Wait()
		if got := f.Stats(); got.Waiting != 7 {
			t.Errorf("those who left still wait: %+v", got)
		}
	})
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(2, 2, 1)
		gone, cancel := context.WithCancelCause(t.Context())
		cancel(errAbandoned)
		for range 50 { // the turn is free, so that which of the two it sees first is a matter of luck
			if w, err := s.take(gone, "a", "x"); w != nil || !errors.Is(err, errAbandoned) || s.count() != 0 || s.waiting() != 0 {
				t.Fatalf("take returns %v, and %d turns are taken", err, s.count())
			}
		}
		first, err := s.take(t.Context(), "a", "x")
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 3)
		for _, who := range []string{"x", "y", "z"} {
			go func() {
				w, _ := s.take(t.Context(), "a", who)
				order <- who
				time.Sleep(time.Second)
				s.give(w)
			}()
			synctest.Wait()
		}
		if who := <-order; who != "y" {
			t.Errorf("%s comes before who has none", who)
		}
		s.give(first)
		if who := <-order; who != "x" {
			t.Errorf("%s comes before who came first", who)
		}
		<-order
		time.Sleep(time.Hour)
		if s.count() != 0 || len(s.places) != 0 || len(s.clients) != 0 {
			t.Errorf("%d turns are taken, %v %v", s.count(), s.places, s.clients)
		}
	})
}

// PRODUCT: invariant 9: nobody makes the gateway download for nobody.
func TestUnreadFillStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Stall: time.Hour})
		content := random(3 * step)
		o, w := pipe(int64(len(content)))
		q := Request{Digest: digest.FromBytes(content), From: "here", Origin: o}
		b, err := f.Store.Fill(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(unread - 1)
		r := opened(t, t.Context(), b)
		time.Sleep(2 * unread)
		if f.Stats().Running != 1 {
			t.Error("a fill stops that is read")
		}
		r.Close()
		time.Sleep(unread - 1)
		r = opened(t, t.Context(), b)
		r.Close()
		time.Sleep(unread + 1)
		synctest.Wait()
		if f.Stats().Running != 0 {
			t.Error("a fill goes on that nobody reads")
		}
		w.Write(content)
		w.Close()
		f.work.Wait()
		if _, err := f.Get(q.Digest); err == nil || f.unfinished() != nil || f.Stats().Failures != 0 || f.events != nil {
			t.Errorf("%v, left %q, %+v", err, f.unfinished(), f.events)
		}
	})
}

// A fill that nobody ever opens stops, and who comes then begins anew, though its origin has not let go yet. One that
// somebody reads goes on, even when the clock has struck.
func TestFillThatNobodyOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Stall: time.Hour})
		content := random(3 * step)
		d := digest.FromBytes(content)
		late := make(chan struct{})
		stubborn := func(context.Context, int64) (io.ReadCloser, int64, error) {
			<-late
			return nil, 0, errReset
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Fill(ctx, "here", d, stubborn); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Fill returns %v", err)
		}
		time.Sleep(unread + time.Second)
		o, w := pipe(int64(len(content)))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b, err := f.Fill(ctx, "here", d, o)
		if err != nil {
			t.Fatalf("who comes then gets %v", err)
		}
		close(late)
		r := opened(t, t.Context(), b)
		f.giveUp(b.fill)
		go func() {
			w.Write(content)
			w.Close()
		}()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
		f.work.Wait()
		if f.Stats().Failures != 0 {
			t.Errorf("events are %v", f.events)
		}
	})
}

// Whoever comes right after the last caller has left a fill that waits for its turn begins anew.
func TestAbandonedFillIsForgotten(t *testing.T) {
	f := openFolder(t, Options{MaxFills: 1, Stall: time.Hour})
	blocker, w := pipe(-1)
	f.fill(digest.FromString("blocker"), blocker)
	q := Request{Digest: digest.FromString("x"), From: "here", Origin: failing(errReset)}
	for range 100 {
		left, err := f.join(q)
		if err != nil {
			t.Fatal(err)
		}
		f.leave(left)
		next, err := f.join(q)
		if err != nil {
			t.Fatal(err)
		}
		f.leave(next)
		if next == left {
			t.Fatal("who comes joins what was abandoned")
		}
	}
	w.CloseWithError(errReset)
}
