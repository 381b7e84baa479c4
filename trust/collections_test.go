package trust_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// format is a Format of collections that all hold one snapshot, behind a source that takes its time.
type format struct {
	mu       sync.Mutex
	snapshot *trust.Snapshot // what a refresh returns, checked at that time
	kept     *trust.Snapshot // what a load returns
	err      error
	loadErr  error
	takes    atomic.Int64 // nanoseconds
	boom     atomic.Bool

	refreshes, loads atomic.Int64
	opened           atomic.Int64
	flying           sync.Map     // names of collections whose refresh is under way
	doubles          atomic.Int64 // refreshes of one collection by two verifiers at the same time
}

func (f *format) Locate(n trust.Name) (string, string) { return n.Repository, n.Tag }
func (f *format) Tag(_, target string) (string, bool)  { return target, true }
func (f *format) Open(name string) trust.Verifier      { f.opened.Add(1); return &verifier{f, name} }
func (f *format) set(s *trust.Snapshot, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapshot, f.err = s, err
}

type verifier struct {
	f    *format
	name string
}

func (v *verifier) Load(context.Context) (*trust.Snapshot, error) {
	v.f.loads.Add(1)
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	return v.f.kept, v.f.loadErr
}

func (v *verifier) Refresh(ctx context.Context) (*trust.Snapshot, error) {
	if _, under := v.f.flying.LoadOrStore(v.name, true); under {
		v.f.doubles.Add(1)
	}
	defer v.f.flying.Delete(v.name)
	v.f.refreshes.Add(1)
	began := time.Now()
	if d := v.f.takes.Load(); d > 0 {
		select {
		case <-time.After(time.Duration(d)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	v.f.mu.Lock()
	defer v.f.mu.Unlock()
	if v.f.boom.Load() {
		panic("index out of range")
	}
	if v.f.err != nil {
		return nil, v.f.err
	}
	s := *v.f.snapshot
	if s.Checked.IsZero() {
		s.Checked = began
	}
	return &s, nil
}

func snapshotAt(checked time.Time, tags int) *trust.Snapshot {
	s := &trust.Snapshot{Checked: checked, Expires: checked.Add(1000 * time.Hour), Entries: make(map[string]trust.Entry), Size: 1000}
	for i := range tags {
		s.Entries[fmt.Sprintf("t%d", i)] = trust.Entry{Claims: []trust.Claim{{Target: trust.Target{Digest: digest.FromString(fmt.Sprint(i))}, Released: true}}}
	}
	return s
}

var name = trust.Name{Repository: "r.example/a", Tag: "t0"}

// TestThousandClientsOneRefresh: whoever asks a cold repository, its source is asked once; the clients that leave cancel
// nobody.
func TestThousandClientsOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: &trust.Snapshot{Expires: time.Now().Add(time.Hour), Entries: snapshotAt(time.Now(), 1).Entries}}
		f.takes.Store(int64(5 * time.Second))
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
		defer c.Close()
		var answered atomic.Int64
		gone, leave := context.WithCancel(t.Context())
		for i := range 1000 {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = gone
			}
			go func() {
				if st, err := c.Resolve(ctx, name, time.Minute); err == nil && len(st.Claims) == 1 {
					answered.Add(1)
				}
			}()
		}
		synctest.Wait()
		leave()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if f.refreshes.Load() != 1 || f.loads.Load() != 1 || answered.Load() != 500 {
			t.Errorf("%d refreshes, %d loads, %d answers", f.refreshes.Load(), f.loads.Load(), answered.Load())
		}
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil || f.refreshes.Load() != 1 {
			t.Errorf("a warm answer asked the source: %v", err)
		}
	})
}

// TestSlowSourceDelaysByPatienceOnly: with verified data in hand an answer waits 2 s at most.
func TestSlowSourceDelaysByPatienceOnly(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &format{snapshot: snapshotAt(time.Time{}, 1)}
			f.snapshot.Expires = time.Now().Add(time.Hour)
			c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
			defer c.Close()
			if kept {
				f.kept = snapshotAt(time.Now(), 1)
			} else if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
				t.Fatal(err)
			}
			f.takes.Store(int64(time.Hour)) // longer than any refresh may take
			time.Sleep(2 * time.Minute)
			began := time.Now()
			st, err := c.Resolve(t.Context(), name, time.Minute)
			if err != nil || len(st.Claims) != 1 || time.Since(began) != 2*time.Second {
				t.Errorf("kept %v: %v after %s", kept, err, time.Since(began))
			}
			// The refresh ends at its own limit, and is followed by a pause in which nobody waits.
			time.Sleep(29 * time.Second)
			synctest.Wait()
			began = time.Now()
			st, err = c.Resolve(t.Context(), name, time.Minute)
			if err != nil || st.Failure == nil || time.Since(began) != 0 {
				t.Errorf("kept %v, in the pause: %v, %v after %s", kept, err, st.Failure, time.Since(began))
			}
		})
	}
}

// TestPauses: a source that does not answer is asked ever less often, one that answers again soon.
func TestPauses(t *testing.T) {
	for reason, want := range map[trust.Reason]int64{trust.SourceUnreachable: 6, trust.NoTrustData: 30} {
		synctest.Test(t, func(t *testing.T) {
			f := &format{err: &trust.Refusal{Reason: reason, Text: "no"}}
			c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
			defer c.Close()
			for range 600 {
				if _, err := c.Resolve(t.Context(), name, time.Minute); trust.ReasonOf(err) != reason {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if n := f.refreshes.Load(); n != want {
				t.Errorf("%s: %d refreshes in a minute, want %d", reason, n, want)
			}
			f.set(snapshotAt(time.Now(), 1), nil)
			time.Sleep(16 * time.Second)
			if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
				t.Errorf("%s: mended, and still %v", reason, err)
			}
		})
	}
}

// TestExpiredInHandIsRefreshedAtOnce: a source may sign again only after the expiry.
func TestExpiredInHandIsRefreshedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires = time.Now().Add(10 * time.Second)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
		defer c.Close()
		for _, after := range []time.Duration{0, 5 * time.Second, 6 * time.Second} {
			time.Sleep(after)
			if _, err := c.Resolve(t.Context(), name, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if n := f.refreshes.Load(); n != 2 {
			t.Errorf("%d refreshes, want 2", n)
		}
	})
}

// TestRefreshFails: what was verified stands, and events are raised.
func TestRefreshFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		boom bool
		kind trust.EventKind
	}{
		{&trust.Refusal{Reason: trust.SignatureInvalid, Text: "x"}, false, trust.EventVerification},
		{&trust.Refusal{Reason: trust.MetadataRollback, Text: "x"}, false, trust.EventVerification},
		{&trust.Refusal{Reason: trust.NoTrustData, Text: "x"}, false, trust.EventVanished},
		{&trust.Refusal{Reason: trust.SourceUnreachable, Text: "x"}, false, ""},
		{errors.New("x"), false, ""},
		{nil, true, trust.EventVerification},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &format{snapshot: snapshotAt(time.Now(), 1)}
			var events []trust.EventKind
			col := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Observe: func(e trust.Event) { events = append(events, e.Kind) }})
			defer col.Close()
			if _, err := col.Resolve(t.Context(), name, time.Minute); err != nil {
				t.Fatal(err)
			}
			f.set(f.snapshot, c.err)
			f.boom.Store(c.boom)
			time.Sleep(2 * time.Minute)
			st, err := col.Resolve(t.Context(), name, time.Minute)
			synctest.Wait()
			if err != nil || len(st.Claims) != 1 || st.Failure == nil {
				t.Errorf("%v: %v, %v", c.err, err, st.Failure)
			}
			want := []trust.EventKind{trust.EventRefresh, trust.EventRefresh}
			if c.kind != "" {
				want = append(want, c.kind)
			}
			if fmt.Sprint(events) != fmt.Sprint(want) {
				t.Errorf("%v: events %v, want %v", c.err, events, want)
			}
		})
	}
}

// TestNothingVanishedThatNeverWas: a repository without trust data is no event.
func TestNothingVanishedThatNeverWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{err: &trust.Refusal{Reason: trust.NoTrustData, Text: "x"}}
		var events []trust.EventKind
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Observe: func(e trust.Event) { events = append(events, e.Kind) }})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); trust.ReasonOf(err) != trust.NoTrustData {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(events) != 1 || events[0] != trust.EventRefresh {
			t.Errorf("events %v", events)
		}
	})
}

// TestEvictionWhileWaiting: who waited for a collection gets its answer, whatever has been closed since.
func TestEvictionWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires, f.snapshot.Size = time.Now().Add(time.Hour), 1<<20
		f.takes.Store(int64(time.Second))
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20}) // for one
		defer c.Close()
		var failed atomic.Int64
		for i := range 64 {
			go func() {
				if _, err := c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/%d", i), Tag: "t0"}, time.Minute); err != nil {
					failed.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
		if n := failed.Load(); n != 0 {
			t.Errorf("%d of 64 were refused", n)
		}
	})
}

// TestStateThatCannotBeReadRefuses: it is not taken for state that never was.
func TestStateThatCannotBeReadRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Now(), 1), loadErr: &trust.Refusal{Reason: trust.StateUnavailable, Text: "disk"}}
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); trust.ReasonOf(err) != trust.StateUnavailable || f.refreshes.Load() != 0 {
			t.Errorf("%v, %d refreshes", err, f.refreshes.Load())
		}
		f.mu.Lock()
		f.loadErr = nil
		f.mu.Unlock()
		time.Sleep(3 * time.Second)
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
			t.Errorf("readable again: %v", err)
		}
	})
}

// TestMemoryIsBounded: the least recently used go, and one that is being refreshed never does.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires = time.Now().Add(time.Hour)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 10 * (2<<10 + 1000)})
		defer c.Close()
		ask := func(i int) {
			if _, err := c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/%d", i), Tag: "t0"}, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			ask(i)
		}
		ask(0)
		ask(10) // 1 goes
		ask(0)
		if n := f.opened.Load(); n != 11 {
			t.Errorf("%d opened, want 11", n)
		}
		ask(1)
		if n := f.opened.Load(); n != 12 {
			t.Errorf("%d opened, want 12", n)
		}
		// Twenty, each of which is being refreshed nearly always, in a memory for ten: none that is under way is opened a second time.
		f.takes.Store(int64(time.Second))
		for i := range 400 {
			go c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/%d", i%20), Tag: "t0"}, -1)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := f.doubles.Load(); n != 0 {
			t.Errorf("%d refreshes of a collection that was under way", n)
		}
	})
}

func TestCloseEndsRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{}
		f.takes.Store(int64(time.Hour))
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
		go c.Resolve(t.Context(), name, time.Minute)
		synctest.Wait()
		c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); err == nil {
			t.Error("answered after Close")
		}
	})
}

// TestVersionsOfMany: where a collection has many files, a statement names those it rests on.
func TestVersionsOfMany(t *testing.T) {
	s := snapshotAt(time.Now(), 1)
	e := s.Entries["t0"]
	e.Claims[0].Role = "role 20"
	for i := range 40 {
		s.Versions = append(s.Versions, trust.RoleVersion{Role: fmt.Sprintf("role %d", i), Version: 1})
	}
	c := trust.NewCollections(trust.CollectionsOptions{Format: &format{snapshot: s}, Memory: 1 << 20})
	defer c.Close()
	st, err := c.Resolve(t.Context(), name, time.Minute)
	if err != nil || len(st.Versions) != 5 || st.Versions[0].Role != "role 0" || st.Versions[4].Role != "role 20" {
		t.Errorf("%v, %v", st.Versions, err)
	}
}
