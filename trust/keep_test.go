package trust_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// TestInUseIsRefreshedInTheBackground: requests never wait for a collection in use, and one out of use is left alone.
func TestInUseIsRefreshedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.takes.Store(int64(time.Second))
		f.snapshot.Expires = time.Now().Add(1000 * time.Hour)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Refresh: time.Minute})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
			t.Fatal(err)
		}
		for range 360 {
			time.Sleep(10 * time.Second)
			began := time.Now()
			st, err := c.Resolve(t.Context(), name, time.Minute)
			if err != nil || time.Since(began) != 0 || time.Since(st.Checked) > time.Minute {
				t.Fatalf("%v after %s, checked %s ago", err, time.Since(began), time.Since(st.Checked))
			}
		}
		if n := f.refreshes.Load(); n < 60 || n > 95 {
			t.Errorf("%d refreshes in an hour", n)
		}
		time.Sleep(11 * time.Minute)
		n := f.refreshes.Load()
		time.Sleep(time.Hour)
		if f.refreshes.Load() != n {
			t.Errorf("%d refreshes of what nobody uses", f.refreshes.Load()-n)
		}
	})
}

// TestBackgroundIsPaced: many collections are not refreshed at once.
func TestBackgroundIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires = time.Now().Add(1000 * time.Hour)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 30, Refresh: time.Minute})
		defer c.Close()
		for i := range 2000 {
			if _, err := c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/%d", i), Tag: "t0"}, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		last, most := f.refreshes.Load(), int64(0)
		for range 120 {
			time.Sleep(time.Second)
			now := f.refreshes.Load()
			last, most = now, max(most, now-last)
		}
		// A tick of three seconds begins 600 at most.
		if most > 600 || last < 4000 {
			t.Errorf("%d refreshes, %d in one second", last, most)
		}
	})
}

// TestDownSourceDelaysOnce: an hour of outage under load costs each collection one bounded wait.
func TestDownSourceDelaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires = time.Now().Add(1000 * time.Hour)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Refresh: time.Minute})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
			t.Fatal(err)
		}
		f.takes.Store(int64(time.Hour)) // it accepts connections and says nothing
		var waited time.Duration
		for range 360 {
			time.Sleep(10 * time.Second)
			began := time.Now()
			if st, err := c.Resolve(t.Context(), name, time.Minute); err != nil || len(st.Claims) != 1 {
				t.Fatal(err)
			}
			waited += time.Since(began)
		}
		if waited > 2*time.Second {
			t.Errorf("requests waited %s in all", waited)
		}
		f.takes.Store(0)
		time.Sleep(time.Minute)
		if st, err := c.Resolve(t.Context(), name, time.Minute); err != nil || st.Failure != nil {
			t.Errorf("the source is back: %v, %v", err, st.Failure)
		}
	})
}

// TestStrangersPushNothingOut: names that nobody signed neither evict what is verified nor hold it up.
func TestStrangersPushNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{snapshot: snapshotAt(time.Time{}, 1)}
		f.snapshot.Expires = time.Now().Add(1000 * time.Hour)
		c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Hour); err != nil {
			t.Fatal(err)
		}
		f.takes.Store(int64(time.Second))
		f.set(f.snapshot, &trust.Refusal{Reason: trust.NoTrustData, Text: "none"})
		refused := make(chan error, 1000)
		for i := range cap(refused) {
			go func() {
				_, err := c.Resolve(t.Context(), trust.Name{Repository: fmt.Sprintf("r.example/random/%d", i), Tag: "t0"}, time.Hour)
				refused <- err
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second)
		opened, began := f.opened.Load(), time.Now()
		if st, err := c.Resolve(t.Context(), name, 0); err != nil || st.Failure == nil {
			t.Errorf("refresh of what is known: %v, %v", err, st.Failure)
		}
		if took := time.Since(began); took > time.Second || f.opened.Load() != opened {
			t.Errorf("what is known waited %s, opened again %v", took, f.opened.Load() != opened)
		}
		for range cap(refused) {
			if err := <-refused; err == nil {
				t.Error("a stranger was answered")
			}
		}
		if n := f.refreshes.Load(); n > 16*31+2 {
			t.Errorf("%d refreshes: the source was asked for more strangers than the lane has room", n)
		}
	})
}
