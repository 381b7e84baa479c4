package faults

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoGateways: the second gateway on one state folder says at once for whom it waits, takes over as soon as it can, and
// otherwise ends with one line that says why. Meanwhile the first goes on, and so do the commands that need no lock.
//
// PRODUCT: section 6, one process per state folder.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	s := newSite(t, "notary")
	r := s.repo("app")
	g := s.gateway(t, "")
	g.start(t)
	s.serves(t, g, r)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprintf("process %d on %s", g.process.PID(), host)

	// The log of a rollout: not a hang.
	second := s.gatewayWith(t, "", fmt.Sprintf("state: %q", g.file("state")))
	second.launch(t)
	eventually(t, "the second says for whom it waits", func() bool { return second.logged(t, "waiting", first, `"until"`) })
	if waited := time.Since(second.began); waited > 20*time.Second {
		t.Errorf("it was silent for %v", waited)
	}
	beside(t, g, r, first)

	// An orchestrator that changes its mind does not have to kill it.
	second.process.Signal(syscall.SIGTERM)
	select {
	case <-second.process.Done():
	case <-time.After(20 * time.Second):
		t.Error("the second does not end while it waits")
	}
	if code := second.process.ExitCode(); code != 1 {
		t.Errorf("exit status %d", code)
	}

	// Nobody serves from one state folder beside another: after half a minute the second gives up.
	second.launch(t)
	select {
	case <-second.process.Done():
	case <-time.After(patience):
		t.Error("the second waits for ever")
		second.kill()
	}
	last := second.log(t)[len(second.log(t))-1]
	if want := "in use by " + first + ", stop the running gateway first: waited 30s for it to end"; second.process.ExitCode() != 1 || !strings.HasSuffix(last, want) {
		t.Errorf("exit status %d, %q, want %q", second.process.ExitCode(), last, want)
	}
	s.serves(t, g, r)

	// A restart in which the two overlap: killed or not, the lock is free when the first has gone.
	second.launch(t)
	eventually(t, "the second waits again", func() bool { return second.logged(t, "waiting", first) })
	g.kill()
	second.listening(t)
	if v := s.serves(t, second, r); v != 0 {
		t.Errorf("after the takeover v1 is version %d", v)
	}
}

// beside runs the commands that people run beside a gateway.
func beside(t *testing.T, g *gateway, r *repo, first string) {
	t.Helper()
	began := time.Now()
	out, status := g.run(t, "state", "reset", "--reason", "a try", "corp", r.image())
	if want := "in use by " + first + ", stop the running gateway first: nothing was forgotten\n"; status != 1 || !strings.HasSuffix(out, want) || strings.Count(out, "\n") != 1 {
		t.Errorf("state reset: exit status %d, %q, want %q", status, out, want)
	}
	if waited := time.Since(began); waited > 20*time.Second {
		t.Errorf("state reset waited for %v", waited)
	}
	for _, admin := range []string{"", "http://" + g.admin} {
		out, status := g.run(t, "explain", "--admin", admin, r.image()+":v1")
		if status != 0 || !strings.Contains(out, r.signed[0].String()) || !strings.Contains(out, "allow") {
			t.Errorf("explain, asking %q: exit status %d, %s", admin, status, out)
		}
	}
	if out, status := g.run(t, "check"); status != 0 {
		t.Errorf("check: exit status %d, %s", status, out)
	}
}

// TestTwoPublishers: the same for two gateways, each with a state of its own, that publish one repository.
func TestTwoPublishers(t *testing.T) {
	t.Parallel()
	g := newPublisher(t)
	g.start(t)
	second := prepare(t, g.publishing(g.file("trust")))
	put(t, second.file("online"), online)
	second.launch(t)
	eventually(t, "the second says that it waits", func() bool { return second.logged(t, "another publisher", "waiting", `"until"`) })
	g.stop(t)
	second.listening(t)
}
