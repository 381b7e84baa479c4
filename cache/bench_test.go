package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

func BenchmarkGet(b *testing.B) {
	for name, size := range map[string]int{"memory": 10_000, "disk": 100_000} {
		b.Run(name, func(b *testing.B) {
			f := openFolder(b, Options{})
			d := f.stored(random(size)).Digest()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Get(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	f := openFolder(b, Options{})
	d := f.stored(random(100_000)).Digest()
	b.ReportAllocs()
	for b.Loop() {
		blob, err := f.Get(d)
		if err != nil {
			b.Fatal(err)
		}
		r, err := blob.Open(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkFill(b *testing.B) {
	for _, size := range []int{10_000, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := openFolder(b, Options{})
			content := random(size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for i := uint64(0); b.Loop(); i++ {
				b.StopTimer()
				binary.LittleEndian.PutUint64(content, i)
				d := digest.FromBytes(content)
				o := &source{content: content, claim: int64(size)}
				b.StartTimer()
				f.fill(d, o.open)
				f.work.Wait() // until it is durable
			}
		})
	}
}

// BenchmarkFillLarge compares a fill with the least that could do the same: reads of 1 MiB, hashed and written to a file
// for which there is room. The figure to compare is CPU per GB; the wall time is that of the disk.
func BenchmarkFillLarge(b *testing.B) {
	const size = 256 << 20
	h := sha256.New()
	if _, err := io.Copy(h, socket(size)); err != nil {
		b.Fatal(err)
	}
	d := digest.NewDigest(digest.SHA256, h)
	b.Run("bare", func(b *testing.B) { measure(b, size, func() { bareFill(b, socket(size)) }) })
	b.Run("cache", func(b *testing.B) {
		f := openFolder(b, Options{})
		measure(b, size, func() {
			blob := f.fill(d, func(context.Context, int64) (io.ReadCloser, int64, error) {
				return io.NopCloser(socket(size)), size, nil
			})
			f.work.Wait()
			if err := os.Remove(blob.path); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// bareFill is the least that could do what a fill does.
func bareFill(b *testing.B, from io.Reader) {
	path := filepath.Join(b.TempDir(), "bare")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(path)
	defer file.Close()
	if err := allocate(file, 0, 256<<20); err != nil {
		b.Skip(err)
	}
	h, buf := sha256.New(), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(from, buf)
		if _, err := file.Write(buf[:n]); err != nil {
			b.Fatal(err)
		}
		h.Write(buf[:n])
		if err != nil {
			break
		}
	}
	h.Sum(nil)
	if err := file.Sync(); err != nil {
		b.Fatal(err)
	}
}

// measure reports the CPU time of the process.
func measure(b *testing.B, size int64, run func()) {
	b.ReportAllocs()
	b.SetBytes(size)
	began := cpu()
	for b.Loop() {
		run()
	}
	b.ReportMetric((cpu()-began)/float64(b.N)/float64(size)*1e9, "cpu-s/GB")
}

// cpu returns how many seconds of CPU time the process has used.
func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// socket returns n bytes, as a socket does that gets them fast: up to 128 KiB at a time.
func socket(n int64) io.Reader { return io.LimitReader(&chunks{b: random(128 << 10)}, n) }

type chunks struct {
	b  []byte
	at int
}

func (c *chunks) Read(b []byte) (int, error) {
	n := copy(b, c.b[c.at:])
	c.at = (c.at + n) % len(c.b)
	return n, nil
}
