//go:build e2e

package e2e

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// decisionID finds the id at the end of the one line that clients show.
var decisionID = regexp.MustCompile(`\[unsigned_tag ([0-9A-Z]{26})\]`)

// show is the scene of TestShow: one repository with a signed tag that somebody
// has since overwritten, a tag nobody signed, and a tag about to be revoked.
type show struct {
	*stack
	publisher        *signer
	node             *engine // the docker of a cluster node
	gateway          *gateway
	repository       string
	signed, unsigned digest.Digest // of v1, as signed, and of v2
	told             string        // the decision id that docker printed
}

// TestShow is the whole promise with docker's own signing and pulling.
func TestShow(t *testing.T) {
	s := newShow(t)
	steps := []struct {
		name string
		step func(*testing.T)
	}{
		{"the signed digest pulls, though upstream's tag has moved", s.signedPulls},
		{"an unsigned tag is refused in one line that says what to do", s.unsignedRefused},
		{"an explicit digest pulls", s.digestPulls},
		{"the listing has only signed tags", s.listing},
		{"HEAD is GET without a body", s.headIsGet},
		{"a revoked tag is refused within refresh", s.revoke},
		{"a tag signed now pulls now", s.signNow},
		{"without registry and notary-server, even after a crash, signed tags pull", s.outage},
		{"every decision is in the audit log once", s.audit},
	}
	for _, step := range steps {
		if !t.Run(step.name, step.step) {
			return
		}
	}
}

func newShow(t *testing.T) *show {
	s := &show{stack: newStack(t)}
	s.publisher = newSigner(t, newEngine(t), s.stack)
	s.node = newEngine(t)
	s.repository = s.stack.repository("shop/app")
	root := s.publisher.adopt(t, s.repository)

	for _, tag := range []string{"v1", "old"} {
		s.publisher.make(t, s.repository+":"+tag, 1<<20)
		s.publisher.sign(t, s.repository+":"+tag)
	}
	s.signed = upstreamDigest(t, s.repository, "v1")
	for _, tag := range []string{"v1", "v2"} {
		s.publisher.make(t, s.repository+":"+tag, 1<<20)
		s.publisher.docker(t, "push", s.repository+":"+tag)
	}
	s.unsigned = upstreamDigest(t, s.repository, "v2")
	if upstreamDigest(t, s.repository, "v1") == s.signed {
		t.Fatal("upstream's tag has not moved")
	}
	s.gateway = newGateway(t, s.stack, settings{pin: pinned(root)})
	return s
}

// pull pulls on the node and gives the digest the node has afterwards.
func (s *show) pull(t *testing.T, tag string) digest.Digest {
	t.Helper()
	image := s.gateway.image("shop/app:" + tag)
	s.node.docker(t, "pull", image)
	return s.node.holds(t, image)
}

func (s *show) signedPulls(t *testing.T) {
	if got := s.pull(t, "v1"); got != s.signed {
		t.Errorf("pulled %s, signed is %s", got, s.signed)
	}
}

func (s *show) unsignedRefused(t *testing.T) {
	out := s.node.refused(t, "pull", s.gateway.image("shop/app:v2"))
	for _, want := range []string{
		"denied: " + s.repository + ":v2 is not signed",
		`"docker trust sign ` + s.repository + `:v2"`,
		"[unsigned_tag ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("docker did not print %q but:\n%s", want, out)
		}
	}
	if id := decisionID.FindStringSubmatch(out); id != nil {
		s.told = id[1]
	} else {
		t.Errorf("docker printed no decision id:\n%s", out)
	}
}

func (s *show) digestPulls(t *testing.T) {
	image := s.gateway.image("shop/app@" + s.unsigned.String())
	s.node.docker(t, "pull", image)
	if got := s.node.holds(t, image); got != s.unsigned {
		t.Errorf("pulled %s, asked for %s", got, s.unsigned)
	}
}

func (s *show) listing(t *testing.T) {
	wantTags(t, s.gateway, "old", "v1")
}

func (s *show) headIsGet(t *testing.T) {
	for tag, status := range map[string]int{"v1": http.StatusOK, "v2": http.StatusForbidden} {
		get := s.gateway.ask(t, http.MethodGet, "corp/shop/app/manifests/"+tag)
		head := s.gateway.ask(t, http.MethodHead, "corp/shop/app/manifests/"+tag)
		if get.status != status || head.status != status {
			t.Errorf("%s: GET %d, HEAD %d, want %d", tag, get.status, head.status, status)
		}
		if len(head.body) != 0 {
			t.Errorf("%s: HEAD has the body %q", tag, head.body)
		}
		if get.decision == "" || head.decision == "" || get.decision == head.decision {
			t.Errorf("%s: decisions %q and %q", tag, get.decision, head.decision)
		}
		// These differ from one answer to the next, whatever the method.
		volatile := []string{"Date", "Tagwarden-Decision"}
		if tag == "v2" {
			volatile = append(volatile, "Content-Length", "Warning") // the message tells how long ago the check was
		}
		for _, name := range volatile {
			get.header.Del(name)
			head.header.Del(name)
		}
		for name, values := range get.header {
			if !slices.Equal(values, head.header[name]) {
				t.Errorf("%s: %s is %q for GET, %q for HEAD", tag, name, values, head.header[name])
			}
		}
		if got := digest.FromBytes(get.body); tag == "v1" && (got != s.signed || get.header.Get("Docker-Content-Digest") != got.String()) {
			t.Errorf("body %s, header %q, signed %s", got, get.header.Get("Docker-Content-Digest"), s.signed)
		}
	}
}

func (s *show) revoke(t *testing.T) {
	if a := s.gateway.ask(t, http.MethodHead, "corp/shop/app/manifests/old"); a.status != http.StatusOK {
		t.Fatalf("before it is revoked: %d", a.status)
	}
	s.publisher.docker(t, "trust", "revoke", s.repository+":old")
	revoked := time.Now()
	eventually(t, "the revoked tag is refused", func() bool {
		a := s.gateway.ask(t, http.MethodGet, "corp/shop/app/manifests/old")
		if a.status != http.StatusForbidden {
			return false
		}
		if r := a.refusal(t); r.reason != "unsigned_tag" {
			t.Errorf("refused with %+v", r)
		}
		return true
	})
	// One refresh is the promise; the rest is for a busy machine.
	if took := time.Since(revoked); took > 3*time.Second {
		t.Errorf("refused only after %v", took)
	}
}

func (s *show) signNow(t *testing.T) {
	s.publisher.sign(t, s.repository+":v2")
	signed := time.Now()
	eventually(t, "the tag signed now is served", func() bool {
		return s.gateway.ask(t, http.MethodHead, "corp/shop/app/manifests/v2").status == http.StatusOK
	})
	if took := time.Since(signed); took > 3*time.Second {
		t.Errorf("served only after %v", took)
	}
	if got := s.pull(t, "v2"); got != s.unsigned {
		t.Errorf("pulled %s, signed is %s", got, s.unsigned)
	}
}

func (s *show) outage(t *testing.T) {
	s.stop(t)
	for _, state := range []string{"running", "restarted", "killed"} {
		switch state {
		case "restarted":
			if status := s.gateway.end(t); status != 0 {
				t.Fatalf("exit status %d", status)
			}
			s.gateway.serve(t)
		case "killed":
			s.gateway.kill()
			s.gateway.serve(t)
		}
		s.node = newEngine(t)
		if got := s.pull(t, "v1"); got != s.signed {
			t.Errorf("%s: pulled %s, signed is %s", state, got, s.signed)
		}
		s.node.refused(t, "pull", s.gateway.image("shop/app:old"))
	}
}

func (s *show) audit(t *testing.T) {
	if status := s.gateway.end(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	lines := make(map[string]int)
	for _, r := range s.gateway.records(t) {
		if r.Decision == "" || r.Name != s.repository || r.Verdict == "" {
			t.Errorf("incomplete line %+v", r)
		}
		if r.Decision == s.told && (r.Tag != "v2" || r.Reason != "unsigned_tag") {
			t.Errorf("what docker was told is in the log as %+v", r)
		}
		lines[r.Decision]++
	}
	for id, n := range lines {
		if n != 1 {
			t.Errorf("decision %s has %d lines", id, n)
		}
	}
	for _, id := range append(s.gateway.seen, s.told) {
		if lines[id] != 1 {
			t.Errorf("decision %q, which a client saw, has %d lines", id, lines[id])
		}
	}
}
