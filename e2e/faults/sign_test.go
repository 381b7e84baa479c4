package faults

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A signing is a repository whose writers are killed.
type signing struct {
	*publisher
	rand    *rand.Rand
	more    []string // flags of all commands
	now     string   // what v1 means
	version int
	hunt    func(t *testing.T, cmd *exec.Cmd) (killed bool)
}

// TestKilledWhileSigning: whoever is killed while he signs, revokes, renews or rotates keys, at any moment of publishing,
// leaves a repository that verifies and has the old meaning or the new one, whole; and the same command again gets done
// what was begun.
func TestKilledWhileSigning(t *testing.T) {
	t.Parallel()
	s := &signing{publisher: newPublisher(t), rand: chance(t)}
	s.hunt = s.inFolder
	s.prepare(t)
	s.rounds(t, s.sign, s.rotate("alice"), s.revoke, s.rotate("root"), s.sign, s.renew, s.rotate("timestamp"))
	if left, _ := filepath.Glob(s.file("trust/metadata/.tmp-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestKilledWhileSigningThere: the same through the gateway that publishes the repository, where a change is several
// requests, and where the gateway may be what dies.
func TestKilledWhileSigningThere(t *testing.T) {
	t.Parallel()
	s := &signing{publisher: newPublisher(t), rand: chance(t)}
	door := &gate{s: s}
	s.more = []string{"--trust", serve(t, door) + "/tuf/site", "--root", "trust/metadata/1.root.json"}
	s.hunt = door.hunt
	s.prepare(t)
	s.rounds(t, s.sign, s.rotate("targets"), s.revoke, s.sign)
}

// prepare signs version 0, and starts the gateway.
func (s *signing) prepare(t *testing.T) {
	t.Helper()
	put(t, s.file("cold.yaml"), strings.Replace(common+s.publishing("trust"), "\nregistries:", "\nstate: nothing\nregistries:", 1))
	s.start(t)
	s.now = s.push(0).String()
	s.must(t, "trust", "sign", "--digest", s.now, signedImage+":v1")
	s.served(t)
}

// served waits until the gateway that has seen everything serves what v1 means now.
func (s *signing) served(t *testing.T) {
	t.Helper()
	eventually(t, "v1 is "+s.now+" to the gateway", func() bool {
		return strings.HasSuffix(s.manifest(t, signedImage, "v1").String(), " "+s.now)
	})
}

// rounds has each command killed, and then done.
func (s *signing) rounds(t *testing.T, commands ...func() (want string, args []string)) {
	t.Helper()
	killed := 0
	for _, command := range commands {
		want, args := command()
		what := strings.Join(args, " ")
		cmd := s.command(append(args, s.more...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if s.hunt(t, cmd) {
			killed++
		} else if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s: exit status %d: %s", what, code, &out)
		}
		got := s.meaning(t)
		if got != s.now && got != want {
			t.Errorf("after a kill of %s v1 is %s, neither %s nor %s", what, got, s.now, want)
		}
		// The one that has seen everything sees the same, and nothing that it could not verify.
		s.now = got
		s.served(t)
		again, status := s.run(t, append(args, s.more...)...)
		if done := got == want && want == "unsigned_tag"; status != 0 && !done {
			t.Errorf("%s again: exit status %d: %s", what, status, again)
		}
		if s.now = want; s.meaning(t) != want {
			t.Errorf("%s again: v1 is %s, want %s", what, s.meaning(t), want)
		}
		s.served(t)
		if n := s.security(t, "verification_failed"); n > 0 {
			t.Errorf("%s: %d files that the gateway could not verify", what, n)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d commands were killed", killed, len(commands))
}

func (s *signing) sign() (string, []string) {
	s.version++
	want := s.push(s.version).String()
	return want, []string{"trust", "sign", "--digest", want, signedImage + ":v1"}
}

func (s *signing) revoke() (string, []string) {
	return "unsigned_tag", []string{"trust", "revoke", signedImage + ":v1"}
}

func (s *signing) renew() (string, []string) { return s.now, []string{"trust", "renew", "--all"} }

func (s *signing) rotate(role string) func() (string, []string) {
	return func() (string, []string) { return s.now, []string{"trust", "rotate", role} }
}

// inFolder kills the command a random while after its first file appeared among what is published, or is about to.
func (s *signing) inFolder(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	before := s.files(t)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for slices.Equal(s.files(t), before) {
		select {
		case <-ended:
			return false
		case <-tick.C:
		}
	}
	select {
	case <-ended:
		return false
	case <-time.After(time.Duration(s.rand.Int64N(int64(15 * time.Millisecond)))):
	}
	_ = cmd.Process.Kill() // it may have ended at last
	return (<-ended) != nil
}

// files returns the names of what is published.
func (s *signing) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(s.file("trust/metadata"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// A gate stands between a signer and the gateway, and knows when something is being published.
type gate struct {
	s    *signing
	puts atomic.Pointer[func()] // is called when a file is on its way
}

// ServeHTTP implements http.Handler.
func (d *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: d.s.addr})
	to.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	if put := d.puts.Load(); put != nil && r.Method == http.MethodPut {
		(*put)()
	}
	to.ServeHTTP(w, r)
}

// hunt kills the command, or the gateway, a random while after a file began its way.
func (d *gate) hunt(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	put := make(chan struct{}, 16)
	tell := func() { put <- struct{}{} }
	d.puts.Store(&tell)
	defer d.puts.Store(nil)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-put:
	case <-ended:
		return false
	case <-time.After(patience):
		t.Error("nothing is published")
	}
	select {
	case <-ended:
		return false
	case <-time.After(time.Duration(d.s.rand.Int64N(int64(30 * time.Millisecond)))):
	}
	if d.s.rand.IntN(2) == 0 {
		_ = cmd.Process.Kill() // it may have ended at last
		return (<-ended) != nil
	}
	d.s.kill()
	_ = cmd.Process.Kill() // it would wait, and try again
	<-ended
	d.s.start(t)
	return true
}
