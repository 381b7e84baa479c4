package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A shelf is a folder with content of one size, and a clock that goes on by itself.
type shelf struct {
	*folder
	mu  sync.Mutex
	now time.Time
}

const shelved = 2 * step // bytes of one content; too large for memory

func newShelf(t *testing.T, o Options) *shelf {
	s := &shelf{now: time.Now()}
	o.Now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now = s.now.Add(time.Millisecond)
		return s.now
	}
	s.folder = openFolder(t, o)
	return s
}

// pass lets time pass.
func (s *shelf) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// content returns the content with a number.
func shelfContent(i int) []byte {
	b := random(shelved)
	binary.BigEndian.PutUint64(b, uint64(i))
	return b
}

// has returns the numbers of the content that is there, without using it.
func (s *shelf) has() (there []int) {
	s.work.Wait()
	for i := range 100 {
		if Has(s.dir, digest.FromBytes(shelfContent(i))) {
			there = append(there, i)
		}
	}
	return there
}

func (s *shelf) use(i int) {
	s.t.Helper()
	if _, err := s.Get(digest.FromBytes(shelfContent(i))); err != nil {
		s.t.Error(i, err)
	}
}

func (s *shelf) expect(want ...int) {
	s.t.Helper()
	if got := s.has(); !slices.Equal(got, want) {
		s.t.Errorf("there are %v, want %v", got, want)
	}
	if got := s.Stats(); got.Bytes != int64(len(want)*shelved) || got.Pending != 0 {
		s.t.Errorf("stats are %+v", got)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	s := newShelf(t, Options{Size: 20 * shelved})
	for i := range 20 {
		s.stored(shelfContent(i))
	}
	s.use(0)
	s.use(2)
	if err := s.Keep(digest.FromBytes(shelfContent(3))); err != nil {
		t.Fatal(err)
	}
	s.expect(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
	s.stored(shelfContent(20)) // one too many: down to 18
	s.expect(0, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	if got := s.Stats().Evicted; got != 3 {
		t.Errorf("%d were evicted", got)
	}
}

func TestKeptGoesLastAndRecencySurvives(t *testing.T) {
	dir := t.TempDir()
	first := newShelf(t, Options{Dir: dir})
	for i := range 10 {
		first.stored(shelfContent(i))
		first.pass(time.Minute)
	}
	// A fill that runs is marked when it has ended.
	o, w := pipe(-1)
	running := first.fill(digest.FromBytes(shelfContent(10)), o)
	for _, i := range []int{0, 10} {
		for range 2 {
			if err := first.Keep(digest.FromBytes(shelfContent(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Write(shelfContent(10))
	w.Close()
	first.work.Wait()
	first.use(4)
	if err := first.Keep(digest.FromString("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Keep of what is not there returns %v", err)
	}
	if u, err := Measure(t.Context(), dir); err != nil || u.Files != 11 || u.KeptFiles != 2 || u.KeptBytes != 2*shelved || u.Bytes != 11*shelved {
		t.Errorf("usage is %+v, %v", u, err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = running

	second := newShelf(t, Options{Dir: dir})
	second.work.Wait()
	removed, err := second.Prune(t.Context(), 4*shelved)
	if err != nil || removed != (Removed{7, 7 * shelved}) {
		t.Errorf("removed %+v, %v", removed, err)
	}
	second.expect(0, 4, 9, 10)
	second.Prune(t.Context(), 2*shelved+1)
	second.expect(0, 10)
	second.Prune(t.Context(), shelved)
	second.expect(10)
	second.stored(random(10))
	if removed, err := second.Prune(t.Context(), 0); err != nil || removed.Files != 2 || second.Stats().Memory != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	second.expect()
	if removed, err := second.Prune(t.Context(), 0); err != nil || removed.Files != 0 {
		t.Errorf("removed %+v, %v", removed, err)
	}
}

// Recency costs one write an hour.
func TestTimeOfAFileIsWrittenOnceAnHour(t *testing.T) {
	s := newShelf(t, Options{})
	for _, content := range [][]byte{shelfContent(0), random(10)} {
		b := s.stored(content)
		written := func() time.Time {
			info, err := os.Stat(b.path)
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime()
		}
		before := written()
		for range 50 {
			s.pass(time.Minute)
			s.Get(b.Digest())
		}
		if at := written(); !at.Equal(before) {
			t.Errorf("written after %s", at.Sub(before))
		}
		s.pass(20 * time.Minute)
		s.Get(b.Digest())
		if at := written(); at.Before(before.Add(time.Hour)) {
			t.Errorf("an hour later it is still that of %s", at)
		}
	}
	if s.recency.mark("x", s.now, time.Time{}); !s.recency.mark("y", s.now, time.Time{}) {
		t.Error("what is not known to be written is not written")
	}
}

// What was used since it was chosen stays.
func TestUsedInTheLastMoment(t *testing.T) {
	s := newShelf(t, Options{})
	b := s.stored(shelfContent(0))
	chosen := content{digest: b.Digest(), path: b.path, size: shelved, used: s.recency.last(b.Digest(), time.Time{})}
	s.use(0)
	var sum Removed
	if err := s.evict(chosen, &sum); err != nil || sum.Files != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	s.expect(0)
}

// The ledger may be wrong, because another process was here; the walk finds out.
func TestEvictionCountsAnew(t *testing.T) {
	for _, drift := range []int64{-8 * shelved, 8 * shelved} {
		s := newShelf(t, Options{Size: 10 * shelved})
		for i := range 9 {
			s.stored(shelfContent(i))
		}
		s.total.come("elsewhere", drift)(true)
		s.stored(shelfContent(9))
		s.stored(shelfContent(10))
		s.Prune(t.Context(), 5*shelved)
		s.expect(6, 7, 8, 9, 10)
	}
}

func TestEvictionReportsWhatItCannotDo(t *testing.T) {
	s := newShelf(t, Options{})
	b := s.stored(shelfContent(0))
	// Not even root removes a folder with something in it as if it were a file.
	chosen := content{digest: b.Digest(), path: s.dir, size: shelved, used: time.Now().Add(time.Hour)}
	if err := s.evict(chosen, new(Removed)); err == nil {
		t.Error("no error")
	}
}

// Readers have what they opened, and whoever comes too late is told to ask again.
func TestEvictionUnderReaders(t *testing.T) {
	s := newShelf(t, Options{Size: 6 * shelved})
	var wg sync.WaitGroup
	for reader := range 50 {
		wg.Go(func() {
			for round := range 2 {
				content := shelfContent((reader + round*7) % 20)
				for {
					b, err := s.Fill(t.Context(), "here", digest.FromBytes(content), (&source{content: content, claim: shelved}).open)
					var r io.ReadSeekCloser
					if err == nil {
						r, err = b.Open(t.Context())
					}
					if errors.Is(err, ErrGone) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(r)
					r.Close()
					if err == nil && !bytes.Equal(got, content) {
						t.Error("content differs")
					}
					if errors.Is(err, ErrGone) {
						continue // it passed by without the disk, and this reader was too slow
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	s.work.Wait()
	got := s.Stats()
	if got.Bytes > 6*shelved || got.Pending != 0 || got.Evicted == 0 {
		t.Errorf("stats are %+v", got)
	}
	if u, err := Measure(t.Context(), s.dir); err != nil || u.Bytes != got.Bytes || u.Unfinished != 0 {
		t.Errorf("usage is %+v, stats are %+v, %v", u, got, err)
	}
}

// PRODUCT: invariant 9: what is unfinished has the same bound as what is finished.
func TestUnfinishedContentIsBounded(t *testing.T) {
	s := newShelf(t, Options{Size: 5 * step})
	first, w := pipe(-1)
	r := opened(t, t.Context(), s.fill(digest.FromBytes(random(4*step)), first))
	w.Write(random(4 * step)[:3*step+1])
	if _, err := io.ReadFull(r, make([]byte, 2*step+1)); err != nil { // all of it is on disk now
		t.Fatal(err)
	}
	second := shelfContent(1)
	o := &source{content: second, claim: shelved}
	if got, err := readAll(s.fill(digest.FromBytes(second), o.open)); err != nil || !bytes.Equal(got, second) {
		t.Errorf("content differs, or %v", err)
	}
	w.Write(random(4 * step)[3*step+1:])
	w.Close()
	if kinds := s.reported(); !slices.Equal(kinds, []EventKind{Uncached}) || Has(s.dir, digest.FromBytes(second)) {
		t.Errorf("events are %v", s.events)
	}
	if got := s.Stats(); got.Bytes != 4*step || got.Pending != 0 {
		t.Errorf("stats are %+v", got)
	}
}

// What was marked goes by its age like all else when it was not used for a month.
func TestKeptLapses(t *testing.T) {
	s := newShelf(t, Options{Dir: t.TempDir()})
	s.stored(shelfContent(0))
	if err := s.Keep(digest.FromBytes(shelfContent(0))); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute)
	s.stored(shelfContent(1))
	s.pass(keptFor - 2*time.Minute)
	s.stored(shelfContent(2))
	s.Prune(t.Context(), 2*shelved)
	s.expect(0, 2)
	s.pass(time.Minute + time.Second)
	s.Prune(t.Context(), shelved)
	s.expect(2)
}
