package trust_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// clocked returns an authority with one rule over everything, on a machine whose clock says wall where it is start.
func clocked(t *testing.T, wall, floor time.Time, w *word, r trust.Rule) *trust.Authority {
	t.Helper()
	if r.Name, r.Match = "rule", match(t, "**"); r.Mode == trust.Enforce || r.Mode == trust.Audit {
		r.Source = "s"
	}
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{r},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: w, Refresh: time.Minute, MaxStale: time.Hour, SignWith: "docker trust sign"}},
		Now:     func() time.Time { return start }, Wall: func() time.Time { return wall }, Floor: func() time.Time { return floor },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestMachineBehind: PRODUCT section 4, a machine whose clock is more than five minutes behind the last check that
// succeeded decides nothing about tags under enforce, whatever the source says; all else goes on.
func TestMachineBehind(t *testing.T) {
	tag := trust.Name{Repository: "r.example/a", Tag: "v1"}
	for by, want := range map[time.Duration]trust.Reason{
		-time.Hour: "", 0: "", 5 * time.Minute: "", 5*time.Minute + 1: trust.ClockBehind, 1e6 * time.Hour: trust.ClockBehind,
	} {
		wall := start.Add(-by)
		for what, w := range map[string]*word{
			"signed": {st: claims(signed)}, "unsigned": {st: claims()}, "down": {err: errors.New("certificate is not valid yet")},
		} {
			d := clocked(t, wall, start, w, trust.Rule{Mode: trust.Enforce}).Decide(t.Context(), "ID", tag)
			if what == "signed" || want != "" {
				if _, ok := d.Admit(); d.Reason != want || ok != (want == "") {
					t.Errorf("%s behind, %s: %s %q", by, what, d.Verdict, d.Reason)
				}
			}
		}
		w := &word{st: claims(signed)}
		tags, d := clocked(t, wall, start, w, trust.Rule{Mode: trust.Enforce}).Tags(t.Context(), "ID", tag.Repository)
		if d.Reason != want || (len(tags) > 0) != (want == "") {
			t.Errorf("%s behind, a list: %v %q", by, tags, d.Reason)
		}
		if d := clocked(t, wall, start, w, trust.Rule{Mode: trust.Audit}).Decide(t.Context(), "ID", tag); d.Reason != want || !d.Open() {
			t.Errorf("%s behind, under audit: %s %q", by, d.Verdict, d.Reason)
		}
		if d := clocked(t, wall, start, w, trust.Rule{Mode: trust.Exempt}).Decide(t.Context(), "ID", tag); !d.Open() || d.Reason != "" {
			t.Errorf("%s behind, under allow: %s %q", by, d.Verdict, d.Reason)
		}
		if _, ok := clocked(t, wall, start, w, trust.Rule{Mode: trust.Enforce}).Digest("ID", tag.Repository, signed.Target.Digest).Admit(); !ok {
			t.Errorf("%s behind: a digest is refused", by)
		}
		err := clocked(t, wall, start, w, trust.Rule{Mode: trust.Enforce}).Clock()
		if (err == nil) != (want == "") || err != nil && trust.ReasonOf(err) != trust.ClockBehind {
			t.Errorf("%s behind: %v", by, err)
		}
	}
	if err := clocked(t, start, time.Time{}, &word{}, trust.Rule{Mode: trust.Enforce}).Clock(); err != nil {
		t.Errorf("without a floor: %v", err)
	}
}

// TestMachineBehindMessage: the line names the times, and how to get out.
func TestMachineBehindMessage(t *testing.T) {
	w := &word{st: claims(signed)}
	w.st.Checked = start.Add(-time.Minute)
	d := clocked(t, start.Add(-3*time.Hour), start, w, trust.Rule{Mode: trust.Enforce}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
	want := `r.example/a:v1 cannot be verified now: the clock says 2026-11-22T09:00:00Z, 3h0m0s before the last successful check` +
		` (if it is right, stop the gateway and run "tagwarden state reset --clock"); set the gateway's clock [clock_behind ID]`
	if d.Message() != want {
		t.Errorf("%s\nwant %s", d.Message(), want)
	}
	// No check sets a clock.
	if len(w.asked) != 1 {
		t.Errorf("asked %d times", len(w.asked))
	}
}

// TestRecordsAreTheMachines: a decision is recorded with the time that everything else on the machine is recorded with, and
// made by the time that does not go back.
func TestRecordsAreTheMachines(t *testing.T) {
	wall := start.Add(-4 * time.Minute)
	a := clocked(t, wall, start, &word{}, trust.Rule{Mode: trust.Exempt, Until: start})
	if d := a.Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); !d.Time.Equal(wall) || d.Reason != trust.ExceptionExpired {
		t.Errorf("at %s: %q", d.Time, d.Reason)
	}
}

// TestPausesOutliveTheClock: after failures at a time far ahead, and far behind, a source is asked again as soon as after
// any other.
func TestPausesOutliveTheClock(t *testing.T) {
	for _, years := range []int{-10, 10} {
		synctest.Test(t, func(t *testing.T) {
			var wrong atomic.Bool
			clock := func() time.Time {
				if wrong.Load() {
					return time.Now().AddDate(years, 0, 0)
				}
				return time.Now()
			}
			f := &format{snapshot: snapshotAt(time.Time{}, 1), err: errors.New("down")}
			f.snapshot.Expires = time.Now().AddDate(100, 0, 0)
			c := trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Refresh: time.Minute, Now: clock})
			defer c.Close()
			wrong.Store(true)
			if _, err := c.Resolve(t.Context(), name, time.Minute); err == nil {
				t.Fatal("resolved by nothing")
			}
			wrong.Store(false)
			f.set(f.snapshot, nil)
			time.Sleep(3 * time.Second)
			if st, err := c.Resolve(t.Context(), name, time.Minute); err != nil || !st.Checked.Equal(time.Now()) {
				t.Errorf("%d years: %v, %v", years, st.Checked, err)
			}
			// Nor does a slow source delay an answer for longer.
			f.takes.Store(int64(20 * time.Second))
			wrong.Store(true)
			began := time.Now()
			go c.Resolve(t.Context(), name, -1)
			time.Sleep(time.Second)
			if _, err := c.Resolve(t.Context(), name, -1); err != nil || time.Since(began) != 2*time.Second {
				t.Errorf("%d years: %v after %s", years, err, time.Since(began))
			}
			wrong.Store(false)
			f.takes.Store(0)
			time.Sleep(time.Minute)
			// In the background, too.
			n := f.refreshes.Load()
			time.Sleep(5 * time.Minute)
			if got := f.refreshes.Load() - n; got < 4 || got > 8 {
				t.Errorf("%d years: %d refreshes in five minutes", years, got)
			}
		})
	}
}

// TestConfirm: a check that succeeded is told, with the time at which it began, before anybody is answered by it; one that
// failed is not, and neither is what was kept.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &format{kept: snapshotAt(time.Now().Add(-time.Hour), 1), err: errors.New("down")}
		var told []time.Time
		var c *trust.Collections
		c = trust.NewCollections(trust.CollectionsOptions{Format: f, Memory: 1 << 20, Confirm: func(at time.Time) {
			told = append(told, at)
			if st, err := c.Resolve(context.Background(), name, 2*time.Hour); err != nil || st.Checked.Equal(at) {
				t.Errorf("answered by a check at %s before it was told: %v", at, err)
			}
		}})
		defer c.Close()
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) > 0 {
			t.Errorf("told %v without a check that succeeded", told)
		}
		time.Sleep(time.Minute)
		next := snapshotAt(time.Time{}, 1)
		next.Expires = time.Now().Add(time.Hour)
		f.set(next, nil)
		f.takes.Store(int64(time.Second))
		began := time.Now()
		if _, err := c.Resolve(t.Context(), name, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		st, err := c.Resolve(t.Context(), name, time.Minute)
		if err != nil || len(told) != 1 || !told[0].Equal(began) || !st.Checked.Equal(began) {
			t.Errorf("told %v of a check at %s; %v, %v", told, began, st.Checked, err)
		}
	})
}

// TestCheckedAheadWithoutFloor: where no floor is known a collection's own last check is one, without the way out that is
// none for it.
func TestCheckedAheadWithoutFloor(t *testing.T) {
	w := &word{st: claims(signed)}
	w.st.Checked, w.st.Failure = start.Add(time.Hour), errors.New("the source is down")
	d := clocked(t, start, time.Time{}, w, trust.Rule{Mode: trust.Enforce}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
	if m := d.Message(); d.Reason != trust.ClockBehind || !strings.Contains(m, "1h0m0s before the last successful check: the source is down;") {
		t.Errorf("%s", m)
	}
}
