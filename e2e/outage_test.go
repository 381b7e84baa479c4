//go:build e2e

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// down is how long the source is away, in each of the ways it goes.
const down = 4 * time.Second

// TestSourceDown takes notary-server away under load: first it hangs, then it
// refuses connections. The signed tag is served all the time, and through a
// reload that lets the source begin anew.
func TestSourceDown(t *testing.T) {
	s := newScene(t)
	set := settings{pin: pinned(s.root), refresh: "500ms"}
	g := newGateway(t, s.stack, set)
	served(t, g, "v1", s.signed)
	up := func() bool { return g.metric(t, `tagwarden_source_up{source="corp"}`) == 1 }
	eventually(t, "the source is up", up)
	before := g.logged(t, "{")
	clients := g.load(t, 4, "v1", s.signed)

	if err := s.source.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(down)
	set.refresh = "600ms"
	g.configure(t, s.stack, set)
	g.hangup(t)
	<-time.After(down)
	if err := s.source.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.source.end(t)
	eventually(t, "the outage is in the metrics", func() bool { return !up() })
	<-time.After(down)
	clients.end(t)

	// Each client waits once for a source that hangs, and once more for the one of
	// the reload: two seconds is the promise, the rest is for a busy machine.
	for _, took := range clients.slow {
		if took > 2500*time.Millisecond {
			t.Errorf("an answer took %v", took)
		}
	}
	if n := len(clients.slow); n > 8 {
		t.Errorf("%d answers were slow", n)
	}
	lines := g.logged(t, "{") - before
	t.Logf("%d lines in the log", lines)
	if lines > 10 {
		t.Errorf("%d lines in the log for an outage of %v:\n%s", lines, 3*down, tail(g.log))
	}
}
