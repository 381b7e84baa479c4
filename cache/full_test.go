//go:build linux

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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// smallDisk mounts a disk of so many bytes.
func smallDisk(t *testing.T, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		if os.Getenv("CI") == "true" || !errors.Is(err, syscall.EPERM) {
			t.Fatal(err)
		}
		t.Skipf("a disk cannot be mounted, which only root can do: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// On a full disk older content gives way, and a fill goes on.
func TestFullDiskMakesRoom(t *testing.T) {
	for _, claim := range []int64{-1, 40 * step} {
		f := openFolder(t, Options{Dir: smallDisk(t, 64*step)})
		var old []*Blob
		for i := range 5 {
			old = append(old, f.stored(append(random(10*step), byte(i))))
		}
		f.Keep(old[0].Digest())
		content := random(40 * step)
		d := digest.FromBytes(content)
		o := &source{content: content, claim: claim}
		if got, err := readAll(f.fill(d, o.open)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("content differs, or %v", err)
		}
		f.work.Wait()
		if _, err := f.Get(d); err != nil || f.reported() != nil || f.Stats().Evicted == 0 {
			t.Errorf("%v, %v, %+v", err, f.events, f.Stats())
		}
		if !Has(f.dir, old[0].Digest()) || Has(f.dir, old[1].Digest()) {
			t.Error("what was kept went before what was not")
		}
	}
}

// Where that does not help, all who read have it all the same, from memory, and nothing is kept.
func TestFullDiskStreams(t *testing.T) {
	for _, claim := range []int64{-1, 100 * step} {
		for _, wrong := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %t", claim, wrong), func(t *testing.T) {
				f := openFolder(t, Options{Dir: smallDisk(t, 16*step)})
				old := f.stored(random(10 * step))
				reading := opened(t, t.Context(), old)
				content := random(100 * step)
				d := digest.FromBytes(content)
				sent := bytes.Clone(content)
				if wrong {
					sent[len(sent)-1] ^= 1
				}
				o, w := pipe(claim)
				var asked atomic.Int64
				const readers = 8
				var open, done sync.WaitGroup
				open.Add(readers)
				for range readers {
					done.Go(func() {
						b, err := f.Fill(t.Context(), "here", d, func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
							asked.Add(1)
							return o(ctx, offset)
						})
						var r io.ReadSeekCloser
						if err == nil {
							r, err = b.Open(t.Context())
						}
						open.Done()
						if err != nil {
							t.Error(err)
							return
						}
						defer r.Close()
						got, err := io.ReadAll(r)
						if (err != nil) != wrong || !wrong && !bytes.Equal(got, content) || wrong && len(got) > len(content)-step {
							t.Errorf("%d bytes, %v", len(got), err)
						}
						if b.Complete() {
							t.Error("it says that it is kept")
						}
					})
				}
				open.Wait()
				w.Write(sent)
				w.Close()
				done.Wait()
				kinds := f.reported()
				if want := map[bool][]EventKind{false: {Uncached}, true: {Uncached, FillFailed}}[wrong]; !slices.Equal(kinds, want) || !errors.Is(f.events[0].Err, syscall.ENOSPC) {
					t.Errorf("events are %v", f.events)
				}
				if asked.Load() != 1 || Has(f.dir, d) || f.unfinished() != nil || f.Stats().Pending != 0 {
					t.Errorf("asked %d times, left %q, stats %+v", asked.Load(), f.unfinished(), f.Stats())
				}
				if got, err := io.ReadAll(reading); err != nil || !bytes.Equal(got, random(10*step)) {
					t.Errorf("who read what was evicted got %v", err)
				}
				if !f.rings.TryAcquire(maxRings) {
					t.Error("memory was not given back")
				}
			})
		}
	}
}

// Room is made beforehand where the size is known, and no more of it than is likely to be needed.
func TestRoomIsMadeBeforehand(t *testing.T) {
	f := openFolder(t, Options{})
	blocks := func() int64 {
		info, err := os.Stat(f.unfinished()[0])
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, w := pipe(3 * allocateAhead)
	b, err := f.Fill(ctx, "here", digest.FromString("x"), o)
	if err != nil {
		t.Fatal(err)
	}
	r := opened(t, ctx, b)
	w.Write(random(step))
	io.ReadFull(r, make([]byte, step))
	if got := blocks(); got < allocateAhead || got > allocateAhead+largeStep {
		t.Errorf("%d bytes are taken on disk", got)
	}
	w.CloseWithError(errReset)
}

// A disk that is full when a Store opens is no reason not to serve what is on it: the oldest content gives way to the folder
// that the Store needs.
func TestFullDiskOpens(t *testing.T) {
	dir := smallDisk(t, 64*step)
	f := openFolder(t, Options{Dir: dir})
	old, kept := f.stored(random(10*step)), f.stored(random(10*step+1))
	if err := f.Keep(kept.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// There is room for a lock and not for a folder, as on a disk whose folders take blocks.
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=64"); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		err := os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o700)
		if errors.Is(err, syscall.ENOSPC) {
			err = os.Remove(filepath.Join(dir, "0"))
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f = openFolder(t, Options{Dir: dir})
	if Has(dir, old.Digest()) {
		t.Error("there was room")
	}
	b, err := f.Get(kept.Digest())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b); err != nil || !bytes.Equal(got, random(10*step+1)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
