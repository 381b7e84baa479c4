package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestBytes(t *testing.T) {
	for _, claim := range []int64{-1, 100} {
		synctest.Test(t, func(t *testing.T) {
			f := openFolder(t, Options{})
			content := random(100)
			b, w := growing(f, content, claim)

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := b.Bytes(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("before the content is verified, Bytes returns %v", err)
			}
			if _, err := b.Bytes(t.Context(), 99); !errors.Is(err, ErrTooLarge) {
				t.Errorf("while it grows beyond the limit, Bytes returns %v", err)
			}
			w.Close()
			for range 2 {
				if got, err := b.Bytes(t.Context(), 100); err != nil || !bytes.Equal(got, content) {
					t.Errorf("content differs, or %v", err)
				}
				if _, err := b.Bytes(t.Context(), 99); !errors.Is(err, ErrTooLarge) {
					t.Errorf("beyond the limit, Bytes returns %v", err)
				}
				f.work.Wait() // and once more when it is complete
			}
			again, err := f.Get(b.Digest())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := again.Bytes(t.Context(), 100); err != nil || !bytes.Equal(got, content) {
				t.Errorf("from disk, content differs, or %v", err)
			}
			if _, err := again.Bytes(t.Context(), 99); !errors.Is(err, ErrTooLarge) {
				t.Errorf("from disk and beyond the limit, Bytes returns %v", err)
			}
		})
	}
}

// Content of unknown size is refused as soon as too much of it is there, and not when it ends.
func TestBytesOfEndlessContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{Stall: time.Hour})
		content := random(3 * step)
		o, w := pipe(-1)
		b := f.fill(digest.FromBytes(content), o)
		got := make(chan error)
		go func() {
			_, err := b.Bytes(t.Context(), 2*step)
			got <- err
		}()
		synctest.Wait()
		go w.Write(content)
		select {
		case err := <-got:
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("Bytes returns %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Bytes waits for the end")
			w.Close()
			<-got
		}
		w.CloseWithError(errReset)
	})
}

// What nobody could hold for so long is gone, which is no fault of the disk and no damage.
func TestBytesOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := noDisk(t)
		content := random(wholeRing + 20*step)
		o, w := pipe(int64(len(content)))
		b := f.fill(digest.FromBytes(content), o)
		go w.Write(content[:2*step])
		fast := opened(t, t.Context(), b)
		got := make(chan error)
		go func() {
			_, err := b.Bytes(t.Context(), int64(len(content)))
			got <- err
		}()
		synctest.Wait()
		go func() {
			w.Write(content[2*step:])
			w.Close()
		}()
		if all, err := io.ReadAll(fast); err != nil || !bytes.Equal(all, content) {
			t.Errorf("content differs, or %v", err)
		}
		if err := <-got; !errors.Is(err, ErrGone) || errors.Is(err, ErrDisk) {
			t.Errorf("Bytes returns %v", err)
		}
		f.work.Wait()
		for _, e := range f.events {
			if e.Kind == Damaged {
				t.Errorf("an event says %v", e.Err)
			}
		}
	})
}

// PRODUCT: invariant 3.
func TestBytesFindsDamage(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(Small + 1)
	b := f.stored(content)
	if err := os.WriteFile(b.path, random(Small), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(b.path, Small+1); err != nil { // the size is right, the last byte is not
		t.Fatal(err)
	}
	if got, err := b.Bytes(t.Context(), Small+1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Bytes returns %d damaged bytes, %v", len(got), err)
	}
	if _, err := b.Bytes(t.Context(), Small+1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Bytes of what was taken away: %v", err)
	}
	if kinds := f.reported(); !slices.Equal(kinds, []EventKind{Damaged}) || f.Stats().Bytes != 0 {
		t.Errorf("events are %v, stats %+v", f.events, f.Stats())
	}
	f.stored(content)
}

// FuzzBytes holds that whatever an origin sends and claims, Bytes returns the content asked for or an error, and that an
// honest origin is served.
func FuzzBytes(f *testing.F) {
	f.Add([]byte("right"), []byte("right"), int64(5))
	f.Add([]byte("right"), []byte("right"), int64(-1))
	f.Add([]byte("right"), []byte("wrong"), int64(5))
	f.Add([]byte("right"), []byte("righ"), int64(5))
	f.Add([]byte("right"), []byte("right!"), int64(5))
	f.Add([]byte(""), []byte(""), int64(0))
	f.Add(random(3*step), random(3*step), int64(3*step))
	f.Add(random(3*step), random(3*step-1), int64(-1))
	store := openFolder(f, Options{MaxBlob: 1 << 20})
	scope := 0
	f.Fuzz(func(t *testing.T, asked, sent []byte, claim int64) {
		d := digest.FromBytes(asked)
		scope++ // what failed before is remembered in its scope, and not asked for at once
		q := Request{Digest: d, From: "here", Scope: fmt.Sprint(scope), Origin: (&source{content: sent, claim: claim}).open}
		b, err := store.Store.Fill(t.Context(), q)
		var got []byte
		if err == nil {
			got, err = b.Bytes(t.Context(), 1<<20)
		}
		if err == nil && !bytes.Equal(got, asked) {
			t.Fatalf("asked for %x, got %x", asked, got)
		}
		honest := bytes.Equal(asked, sent) && (claim == -1 || claim == int64(len(sent))) && len(sent) <= 1<<20
		if honest && err != nil {
			t.Fatal(err)
		}
		store.work.Wait()
		if b, err := store.Get(d); err == nil {
			os.Remove(b.path)
			store.memory.clear()
		}
	})
}
