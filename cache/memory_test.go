package cache

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Once used, small content is there whatever becomes of the disk, and costs nothing to get.
func TestSmallContentIsInMemory(t *testing.T) {
	content := random(Small)
	dir := t.TempDir()
	for _, how := range []string{"filled", "used"} {
		for name, change := range map[string]func(path string) error{
			"gone": os.Remove, "damaged": func(path string) error { return os.WriteFile(path, random(Small-1), 0o600) },
		} {
			t.Run(how+" "+name, func(t *testing.T) {
				f := openFolder(t, Options{Dir: dir})
				b := f.stored(content)
				if how == "used" {
					f.memory.clear()
					b, _ = f.Get(b.Digest())
					if _, err := b.Bytes(t.Context(), Small); err != nil {
						t.Fatal(err)
					}
				}
				if err := change(b.path); err != nil {
					t.Fatal(err)
				}
				hit, err := f.Get(b.Digest())
				if err != nil || !hit.Complete() || hit.Size() != Small {
					t.Fatalf("Get returns %+v, %v", hit, err)
				}
				if allocs := testing.AllocsPerRun(100, func() {
					if hit, err := f.Get(b.Digest()); err != nil || hit.Size() != Small {
						t.Error(err)
					} else if got, err := hit.Bytes(t.Context(), Small); err != nil || len(got) != Small {
						t.Error(err)
					}
				}); allocs > 0 {
					t.Errorf("a hit allocates %v times", allocs)
				}
				for _, b := range []*Blob{b, hit} {
					got, err := b.Bytes(t.Context(), Small)
					read, e := readAll(b)
					if !bytes.Equal(got, content) || !bytes.Equal(read, content) {
						t.Errorf("content differs, or %v, %v", err, e)
					}
					if _, err := b.Bytes(t.Context(), Small-1); !errors.Is(err, ErrTooLarge) {
						t.Errorf("beyond the limit, Bytes returns %v", err)
					}
				}
				os.Remove(b.path)
			})
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const size, fit = 1000, 10
	f := openFolder(t, Options{Memory: fit * (size + entryCost)})
	at := func(i int) []byte { return append(random(size-2), byte(i>>8), byte(i)) }
	for i := range 30 {
		f.stored(at(i))
		f.Get(digest.FromBytes(at(0))) // stays, because it is used
		if i == 15 {
			f.memory.add(f.memory.get(digest.FromBytes(at(15)))) // no more than once
		}
	}
	if got := f.Stats().Memory; got != fit*(size+entryCost) {
		t.Errorf("%d bytes are in memory", got)
	}
	for i := range 30 {
		if in := f.memory.get(digest.FromBytes(at(i))) != nil; in != (i == 0 || i > 20) {
			t.Errorf("%d: in memory is %t", i, in)
		}
	}
	roomy := openFolder(t, Options{})
	large := roomy.stored(random(Small + 1))
	if _, err := large.Bytes(t.Context(), 1<<20); err != nil || roomy.Stats().Memory != 0 {
		t.Errorf("large content is in memory, or %v", err)
	}
	tiny := openFolder(t, Options{Memory: 1})
	if b := tiny.stored(random(10)); tiny.memory.get(b.Digest()) != nil || tiny.Stats().Memory != 0 {
		t.Error("more is in memory than may be")
	}
}

// What was never verified does not get there.
func TestDamageDoesNotGetIntoMemory(t *testing.T) {
	f := openFolder(t, Options{})
	b := f.stored(random(100))
	f.memory.clear()
	if err := os.WriteFile(b.path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b, err := f.Get(b.Digest())
		if err == nil {
			_, err = b.Bytes(t.Context(), 100)
		}
		if !errors.Is(err, fs.ErrNotExist) || f.Stats().Memory != 0 {
			t.Errorf("%d: %v, %d bytes in memory", i, err, f.Stats().Memory)
		}
	}
}

func TestMemoryReaderSeeks(t *testing.T) {
	f := openFolder(t, Options{})
	b, _ := f.Get(f.stored([]byte("content")).Digest())
	r := opened(t, t.Context(), b)
	if n, err := r.Seek(-3, io.SeekEnd); n != 4 || err != nil {
		t.Error(n, err)
	}
	if got, err := io.ReadAll(r); string(got) != "ent" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
