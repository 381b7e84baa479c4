package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// growing returns a blob whose origin has sent content but not ended, and what ends it.
func growing(f *folder, content []byte, claim int64) (*Blob, *io.PipeWriter) {
	f.t.Helper()
	o, w := pipe(claim)
	b := f.fill(digest.FromBytes(content), o)
	if _, err := w.Write(content); err != nil {
		f.t.Fatal(err)
	}
	return b, w
}

// opened opens a reader that is closed when the test ends.
func opened(t *testing.T, ctx context.Context, b *Blob) io.ReadSeekCloser {
	t.Helper()
	r, err := b.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// PRODUCT: invariant 3: the last bytes are withheld until the hash is right.
func TestEarlyBytesLeaveAndLastBytesWait(t *testing.T) {
	for _, c := range []struct{ size, claim, early int }{
		{5*step + 7, 5*step + 7, 4*step + 7},
		{5*step + 7, -1, 4*step + 7},
		{step + 1, step + 1, 1},
		{step + 1, -1, 1},
		{step, step, 0},
		{step, -1, 0},
		{1, 1, 0},
		{1, -1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := openFolder(t, Options{})
			content := random(c.size)
			b, w := growing(f, content, int64(c.claim))
			r := opened(t, t.Context(), b)
			arrived := make(chan []byte)
			go func() {
				defer close(arrived)
				for {
					buf := make([]byte, c.size+1)
					n, err := r.Read(buf)
					if err != nil {
						if err != io.EOF {
							t.Error(err)
						}
						return
					}
					arrived <- buf[:n]
				}
			}()
			var got []byte
			take := func() { // all that arrives without help from the origin
				time.Sleep(2 * soon) // of the test's own clock
				for {
					synctest.Wait()
					select {
					case b, ok := <-arrived:
						got = append(got, b...)
						if ok {
							continue
						}
					default:
					}
					return
				}
			}
			take()
			if !bytes.Equal(got, content[:c.early]) {
				t.Errorf("%+v: %d bytes left before the end, want %d", c, len(got), c.early)
			}
			w.Close()
			take()
			if !bytes.Equal(got, content) {
				t.Errorf("%+v: %d bytes left in the end", c, len(got))
			}
		})
	}
}

func TestSeekWhileGrowing(t *testing.T) {
	const size = 4*step + 9
	f := openFolder(t, Options{})
	content := random(size)
	b, w := growing(f, content, size)
	r := opened(t, t.Context(), b)
	for _, c := range []struct {
		offset int64
		whence int
		want   int64
	}{
		{0, io.SeekEnd, size}, // as http.ServeContent asks for the size
		{3 * step, io.SeekStart, 3 * step},
		{-step, io.SeekCurrent, 2*step + 5}, // five were read at the one before
		{-2 * step, io.SeekEnd, size - 2*step},
		{0, io.SeekStart, 0},
	} {
		at, err := r.Seek(c.offset, c.whence)
		if err != nil || at != c.want {
			t.Fatalf("%+v: Seek returns %d, %v", c, at, err)
		}
		if at == size {
			continue
		}
		var got [5]byte
		if _, err := io.ReadFull(r, got[:]); err != nil || !bytes.Equal(got[:], content[at:at+5]) {
			t.Errorf("%+v: content differs, or %v", c, err)
		}
	}
	for _, c := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-6, io.SeekCurrent}, {-size - 1, io.SeekEnd}, {0, 3}, {0, -1}, {1<<63 - 1, io.SeekCurrent}} {
		if _, err := r.Seek(c.offset, c.whence); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: Seek returns %v", c, err)
		}
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing returns %d, %v", n, err)
	}

	// The end, and beyond it, is only known to be that when the content is verified.
	if _, err := r.Seek(100, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("beyond the end: Read returns %d, %v", n, err)
	}
	if _, err := r.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[size-3:]) {
		t.Errorf("the last three bytes are %x, %v", got, err)
	}
}

func TestSeekFromAnUnknownEnd(t *testing.T) {
	f := openFolder(t, Options{})
	b, w := growing(f, random(3*step), -1)
	r := opened(t, t.Context(), b)
	if _, err := r.Seek(5, io.SeekEnd); err == nil {
		t.Error("Seek knows the end of content of unknown size")
	}
	if _, err := r.Seek(step, io.SeekStart); err != nil {
		t.Error(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, random(3 * step)[step:]) {
		t.Errorf("content differs, or %v", err)
	}
	if at, err := r.Seek(-1, io.SeekEnd); err != nil || at != 3*step-1 {
		t.Errorf("Seek returns %d, %v when the size is known", at, err)
	}
}

func TestReaderIsBoundByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		content := random(10)
		b, w := growing(f, content, 10)
		gone := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		leaves, stays := opened(t, ctx, b), opened(t, t.Context(), b)
		left, stayed := make(chan error), make(chan error)
		go func() {
			_, err := leaves.Read(make([]byte, 1))
			left <- err
		}()
		go func() {
			got, err := io.ReadAll(stays)
			if !bytes.Equal(got, content) {
				t.Error("the one who stays got other content")
			}
			stayed <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Errorf("Read returns %v", err)
		}
		w.Close()
		if err := <-stayed; err != nil {
			t.Error(err)
		}
		if _, err := leaves.Read(make([]byte, 1)); !errors.Is(err, gone) {
			t.Errorf("Read returns %v now that bytes are there", err)
		}
	})
}

func TestCloseEndsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFolder(t, Options{})
		b, w := growing(f, random(10), 10)
		r := opened(t, t.Context(), b)
		read := make(chan error)
		go func() {
			_, err := r.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-read; !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Read returns %v", err)
		}
		w.Close()
		if got, err := readAll(b); err != nil || !bytes.Equal(got, random(10)) {
			t.Errorf("after one reader closed twice, another got %x, %v", got, err)
		}
	})
}

func TestReaderOutlivesFillAndFile(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(3 * step)
	b, w := growing(f, content, 3*step)
	r := opened(t, t.Context(), b)
	w.Close()
	f.work.Wait()
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or %v", err)
	}
	if b.fill.ctx.Err() == nil {
		t.Error("the context of the fill outlives it")
	}
	file := b.fill.file
	r.Close()
	if _, err := file.Stat(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the file stays open after its last reader: %v", err)
	}
}

func TestLostBytesAreNotTheEnd(t *testing.T) {
	f := openFolder(t, Options{})
	b, w := growing(f, random(3*step), -1)
	r := opened(t, t.Context(), b)
	if _, err := io.ReadFull(r, make([]byte, 2*step)); err != nil { // all of it is in the file now
		t.Fatal(err)
	}
	if err := os.Truncate(f.unfinished()[0], 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrDisk) || errors.Is(err, io.EOF) {
		t.Errorf("Read returns %v", err)
	}
	w.CloseWithError(io.ErrClosedPipe)
}
