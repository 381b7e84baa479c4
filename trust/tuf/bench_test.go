package tuf

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// tags is how many tags the one role of the benchmarks signs.
const tags = 10_000

// large returns a published repository whose one delegated role signs many tags.
func large(n int) *trusttest.TUF {
	repo := trusttest.NewTUF(now)
	release := repo.Delegate(repo.Targets, "release", "registry.example.com/team/*:*")
	for i := range n {
		name := fmt.Sprintf("registry.example.com/team/app-%d:v1.%d", i%20, i)
		release.Sign(name, name)
		e := release.Entries[name]
		e.MediaType = "application/vnd.oci.image.index.v1+json"
		release.Entries[name] = e
	}
	repo.Publish()
	return repo
}

// fresh returns the verifier of a repository of which nothing is known. It keeps nothing.
func fresh(tb testing.TB, repo *trusttest.TUF) trust.Verifier {
	tb.Helper()
	store, err := state.Open(tb.Context(), state.Options{Dir: tb.TempDir(), ReadOnly: true})
	if err != nil {
		tb.Fatal(err)
	}
	pin := repo.Files()["1.root.json"]
	f, err := New(Options{
		Source: "site", Target: "{name}:{tag}", Root: func(string) ([]byte, error) { return pin, nil }, State: store,
		Fetcher: func(string) trust.Source { return repo }, Now: func() time.Time { return repo.Now }, Observe: func(trust.Event) {},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return f.Open(Whole)
}

func refreshed(tb testing.TB, v trust.Verifier) *trust.Snapshot {
	tb.Helper()
	s, err := v.Refresh(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkColdRefresh10k is the first check of 10,000 tags in one role. It reports the memory that stays, beyond the
// files themselves.
func BenchmarkColdRefresh10k(b *testing.B) {
	repo := large(tags)
	raw := 0
	for _, f := range repo.Files() {
		raw += len(f)
	}
	b.ReportAllocs()
	began := busy(b)
	for b.Loop() {
		refreshed(b, fresh(b, repo))
	}
	b.StopTimer()
	b.ReportMetric((busy(b)-began).Seconds()/float64(b.N), "CPU-s/op")
	v := fresh(b, repo)
	before := heap()
	s := refreshed(b, v)
	b.ReportMetric(float64(heap()-before-int64(raw))/(1<<20), "MiB-live-beyond-files")
	b.ReportMetric(float64(raw)/(1<<20), "MiB-files")
	b.ReportMetric(float64(s.Size)/(1<<20), "MiB-said")
	runtime.KeepAlive(v)
	runtime.KeepAlive(s)
}

// busy returns how much processor time the process has taken.
func busy(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkUnchanged is a check that finds nothing new.
func BenchmarkUnchanged(b *testing.B) {
	v := fresh(b, large(tags))
	refreshed(b, v)
	b.ReportAllocs()
	for b.Loop() {
		refreshed(b, v)
	}
}

// BenchmarkRenewed is a check that finds a new timestamp, as a publisher makes one every day.
func BenchmarkRenewed(b *testing.B) {
	repo := large(tags)
	v := fresh(b, repo)
	refreshed(b, v)
	files := repo.Files()
	var versions []map[string][]byte
	for range 100 {
		repo.Next()
		versions = append(versions, repo.Files())
	}
	_ = files
	i := 0
	for b.Loop() {
		if i == len(versions) {
			b.StopTimer()
			v = fresh(b, repo)
			i = 0
			b.StartTimer()
		}
		repo.Serve(versions[i])
		refreshed(b, v)
		i++
	}
}

// BenchmarkLookup asks for tags that are signed, and for one that is not.
func BenchmarkLookup(b *testing.B) {
	s := refreshed(b, fresh(b, large(tags)))
	for name, target := range map[string]string{"signed": "registry.example.com/team/app-7:v1.4007", "unsigned": "registry.example.com/team/app-7:none", "elsewhere": "docker.io/library/nginx:1"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Lookup(target)
			}
		})
	}
}
