package cache

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

func BenchmarkGet(b *testing.B) {
	f := openFolder(b, Options{})
	d := f.stored(random(10_000)).Digest()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Get(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	f := openFolder(b, Options{})
	d := f.stored(random(10_000)).Digest()
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
	for _, size := range []int{10_000, 16 << 20} {
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
