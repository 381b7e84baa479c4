package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/admin"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestExpiryCrossesWhileServing: PRODUCT invariant 5, a tag is served in the last instant of what it rests on and refused
// in the next, without any refresh in between; and setting the clock back brings nothing back.
func TestExpiryCrossesWhileServing(t *testing.T) {
	for role, of := range map[string]func(r *trusttest.Repository) *trusttest.Role{
		"timestamp": func(r *trusttest.Repository) *trusttest.Role { return r.Timestamp },
		"snapshot":  func(r *trusttest.Repository) *trusttest.Role { return r.Snapshot },
		"targets":   func(r *trusttest.Repository) *trusttest.Role { return r.Targets },
		"root":      func(r *trusttest.Repository) *trusttest.Role { return r.Root },
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			for _, r := range []*trusttest.Repository{&m.tuf.Repository, &m.notary.Repository} {
				of(r).Expires = m.began.Add(time.Hour)
				if of(r) == r.Root { // of which the first version is published
					r.RotateRoot()
					r.Next()
				} else {
					r.Next(of(r))
				}
			}
			both := func(what, reason string) {
				t.Helper()
				m.pulls(t, what, "new", reason)
				m.pulls(t, what, "old", reason)
			}
			m.start(t)
			both("at first", "")
			m.down.Store(true)
			m.pass(time.Hour)
			both("in the last instant", "")
			m.pass(time.Nanosecond)
			both("in the next", "metadata_expired")
			for _, repository := range []string{"new", "old"} {
				if status, body, _ := get(t, m.door+"/v2/"+repository+"/tags/list"); status != http.StatusForbidden {
					t.Errorf("%s: the list is %d %s", repository, status, body)
				}
			}
			m.set(m.began)
			both("set back", "metadata_expired")
			m.stop()
			m.set(m.began.Add(time.Hour + time.Second))
			m.start(t)
			both("after a restart", "metadata_expired")
		})
	}
}

// TestClockSetBack: a machine whose clock is set back more than five minutes behind the last check serves digests and
// refuses tags, before and after a restart, until the clock is right again; all of it is said where somebody looks.
func TestClockSetBack(t *testing.T) {
	m := newMachine(t)
	m.start(t)
	both := func(what, reason string) {
		t.Helper()
		m.pulls(t, what, "new", reason)
		m.pulls(t, what, "old", reason)
	}
	ready := func() {
		t.Helper()
		if status, body, _ := get(t, m.desk+"/readyz"); status != http.StatusOK {
			t.Errorf("/readyz: %d %s", status, body)
		}
	}
	both("at first", "")
	ready()
	m.set(m.began.Add(-5 * time.Minute))
	both("five minutes behind", "")
	ready()
	m.set(m.began.Add(-5*time.Minute - time.Second))
	both("more than that", "clock_behind")
	if status, body, head := get(t, m.door+"/v2/new/manifests/1.0"); status != http.StatusServiceUnavailable || head.Get("Retry-After") == "" || !strings.Contains(body, `tagwarden state reset --clock`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ := get(t, m.door+"/v2/new/manifests/"+m.digest); status != http.StatusOK {
		t.Errorf("by digest: %d %s", status, body)
	}
	ready() // digests are served, and who pulls them must not lose the gateway
	if _, body, _ := get(t, m.desk+"/api/explain?image="+demoRegistry+"/new:1.0"); !strings.Contains(body, `"reason":"clock_behind"`) {
		t.Error(body)
	}
	m.set(m.began.Add(time.Minute))
	both("right again", "")
	ready()

	m.stop()
	m.set(m.began.AddDate(-1, 0, 0))
	m.down.Store(true)
	m.start(t)
	both("after a restart", "clock_behind")
	for end := time.Now().Add(20 * time.Second); ; {
		_, body, _ := get(t, m.desk+"/metrics")
		if strings.Contains(body, `tagwarden_security_events_total{kind="clock_behind"} 1`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no event:\n%s", body)
		}
	}
	m.stop()
	if got := strings.Count(m.log.String(), `"kind":"clock_behind"`); got != 1 {
		t.Errorf("%d lines:\n%s", got, m.log)
	}
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(m.file), "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(audit)), "\n")
	var last struct {
		Time   time.Time
		Reason string
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Reason != "clock_behind" || !last.Time.Equal(m.wall()) {
		t.Errorf("recorded: %+v, %v", last, err)
	}
}

// TestChecksGoByTheFloor: where the machine's clock stands still, data grows old, and a check is dated, by the time that
// has gone on.
func TestChecksGoByTheFloor(t *testing.T) {
	m := newMachine(t)
	m.start(t)
	for _, repository := range []string{"new", "old"} {
		m.pulls(t, "at first", repository, "")
	}
	m.pass(2 * time.Minute) // longer than refresh
	m.set(m.began)
	for _, repository := range []string{"new", "old"} {
		var e struct{ Checked time.Time }
		_, body, _ := get(t, m.desk+"/api/explain?image="+demoRegistry+"/"+repository+":1.0")
		if err := json.Unmarshal([]byte(body), &e); err != nil || !e.Checked.Equal(m.began.Add(2*time.Minute)) {
			t.Errorf("%s: checked %s, %v", repository, e.Checked.Sub(m.began), err)
		}
	}
}

// TestClockReset: a machine that was ahead when something was checked is stuck when it is right again, which explain says;
// one command mends it, with a reason and a record, and not under a gateway that runs.
func TestClockReset(t *testing.T) {
	m := newMachine(t)
	right := m.began
	m.set(right.Add(72 * time.Hour))
	m.start(t)
	m.pulls(t, "three days ahead", "new", "")
	m.set(right)
	m.pulls(t, "right again", "new", "clock_behind")
	reset := []string{"state", "reset", "--config", m.file, "--clock", "--reason", "the hypervisor was wrong"}
	var said bytes.Buffer
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if status := run(soon, reset, &said, &said); status != exitFailed || !strings.Contains(said.String(), "stop the running gateway first") {
		t.Errorf("under a gateway that runs: %d %s", status, said.String())
	}
	m.stop()
	if out, status := command(t, "explain", "--config", m.file, demoRegistry+"/new:1.0"); status != exitFailed || !strings.Contains(out, "clock_behind") || !strings.Contains(out, "state reset --clock") {
		t.Errorf("explain: %d %s", status, out)
	}
	for _, args := range [][]string{{"state", "reset", "--config", m.file, "--clock"}, append(reset, "site", "all"), {"state", "reset", "--config", m.file, "--reason", "x"}} {
		if out, status := command(t, args...); status != exitUsage {
			t.Errorf("%v: %d %s", args, status, out)
		}
	}
	if out, status := command(t, reset...); status != 0 || !strings.Contains(out, right.Add(72*time.Hour).UTC().Format(time.RFC3339)) {
		t.Errorf("%d %s", status, out)
	}
	if out, status := command(t, reset...); status != exitFailed || !strings.Contains(out, "no floor of the clock is kept") {
		t.Errorf("again: %d %s", status, out)
	}
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(m.file), "audit.jsonl"))
	if err != nil || !strings.Contains(string(audit), `"event":"clock_reset","was":"`) || !strings.Contains(string(audit), `"why":"the hypervisor was wrong"`) {
		t.Errorf("%s %v", audit, err)
	}
	m.start(t)
	m.pulls(t, "after the reset", "new", "")
	if out, status := command(t, "audit", "report", "--config", m.file); status != 0 {
		t.Errorf("audit report: %d %s", status, out)
	}
	// A floor that is damaged is said to be, and made anew.
	m.stop()
	if err := os.WriteFile(filepath.Join(filepath.Dir(m.file), "state", "clock"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start(t)
	m.pulls(t, "damaged", "new", "")
	if _, body, _ := get(t, m.desk+"/metrics"); !strings.Contains(body, `tagwarden_security_events_total{kind="state_damaged"} 1`) {
		t.Error("no event")
	}
	m.stop()
	m.set(right.AddDate(0, -1, 0))
	m.start(t)
	m.pulls(t, "with the new floor", "new", "clock_behind")
}

// TestClockIsNotSaidAllTheTime: an alarm lasts as long as its cause, at one line and one event a minute.
func TestClockIsNotSaidAllTheTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	o := &observer{log: newLog(&log), metrics: admin.NewMetrics(admin.MetricsOptions{}), hush: newHush(func() time.Time { return now })}
	for range 10 * 60 {
		o.clock(errors.New("the clock is behind"))
		now = now.Add(time.Second)
	}
	if got := strings.Count(log.String(), "the clock is behind"); got != 10 {
		t.Errorf("%d lines in ten minutes", got)
	}
	w := httptest.NewRecorder()
	admin.Handler(func() map[string]error { return nil }, o.metrics, http.NotFound).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), `tagwarden_security_events_total{kind="clock_behind"} 10`) {
		t.Error("not ten events")
	}
}
