package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// buildScripted builds the binary that scripts run, and returns its folder. It is built as it is shipped: with the race
// detector, the work that makes passphrases hard to guess would take minutes.
func buildScripted(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "tagwarden"), ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// TestScripts runs the walks of testdata/script: what a person types, what it says, and what is pulled afterwards.
func TestScripts(t *testing.T) {
	bin := buildScripted(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("TAGWARDEN_ROOT_PASSPHRASE", "the root passphrase")
			e.Setenv("TAGWARDEN_REPOSITORY_PASSPHRASE", "the repository passphrase")
			e.Values[registryKey{}] = new(upstreamtest.Registry)
			e.Values[gatewaysKey{}] = make(map[string]*running)
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry": scriptRegistry, "push": scriptPush, "gateway": scriptGateway, "pull": scriptPull,
			"tagwarden": scriptTagwarden, "fails": scriptFails, "killed": scriptKilled, "fill": scriptFill,
		},
	})
}

type (
	registryKey struct{}
	gatewaysKey struct{}
)

// A running is a gateway under way.
type running struct {
	stop func()
	log  *lockedBuffer
}

// A lockedBuffer takes what a gateway says.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintln(&b.text, line)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// registry VAR starts a registry, and puts its host and port into VAR.
func scriptRegistry(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "registry VAR")
	s := httptest.NewServer(ts.Value(registryKey{}).(*upstreamtest.Registry))
	ts.Defer(s.Close)
	ts.Setenv(args[0], strings.TrimPrefix(s.URL, "http://"))
}

// push VAR REPOSITORY:TAG TEXT pushes an image, an index where TEXT begins with "index", and puts its digest into VAR.
func scriptPush(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "push VAR REPOSITORY:TAG TEXT")
	repository, tag, _ := strings.Cut(args[1], ":")
	r := ts.Value(registryKey{}).(*upstreamtest.Registry)
	push := r.PushImage
	if strings.HasPrefix(args[2], "index") {
		push = r.PushIndex
	}
	ts.Setenv(args[0], push(repository, tag, args[2]).Digest.String())
}

// gateway VAR FILE starts a gateway with a configuration, and puts its host and port into VAR. gateway VAR ends it.
func scriptGateway(ts *testscript.TestScript, neg bool, args []string) {
	all := ts.Value(gatewaysKey{}).(map[string]*running)
	if len(args) == 1 && all[args[0]] != nil {
		all[args[0]].stop()
		return
	}
	want(ts, neg, args, 2, "gateway VAR [FILE]")
	g, addr, err := startGateway(ts.MkAbs(args[1]))
	ts.Check(err)
	all[args[0]] = g
	ts.Defer(func() {
		g.stop()
		ts.Logf("[gateway %s]\n%s", args[0], g.log)
	})
	ts.Setenv(args[0], addr)
}

// startGateway runs serve in this process, and returns once it listens.
func startGateway(file string) (*running, string, error) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	g := &running{log: new(lockedBuffer)}
	var all sync.WaitGroup
	addr := make(chan string, 1)
	all.Go(func() {
		run(ctx, []string{"serve", "--config", file}, io.Discard, w)
		w.Close()
	})
	all.Go(func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			g.log.add(lines.Text())
			var l struct{ Message, Registry string }
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Message == "listening" {
				addr <- l.Registry
			}
		}
		close(addr)
	})
	g.stop = func() { cancel(); all.Wait() }
	if a, ok := <-addr; ok {
		return g, a, nil
	}
	g.stop()
	return nil, "", fmt.Errorf("the gateway did not start: %s", g.log)
}

// pullTime is how long a gateway may take until it knows what was published.
const pullTime = time.Minute

// pull GATEWAY IMAGE:TAG DIGEST waits until a gateway serves the tag as that digest. pull GATEWAY IMAGE:TAG STATUS REASON
// waits until it is refused so.
func scriptPull(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 4 {
		args = []string{args[0], args[1], args[2] + " " + args[3]}
	}
	want(ts, neg, args, 3, "pull GATEWAY IMAGE:TAG DIGEST|STATUS REASON")
	i := strings.LastIndexByte(args[1], ':')
	registry, path, _ := strings.Cut(args[1][:i], "/")
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s?ns=%s", args[0], path, args[1][i+1:], registry)
	ctx, cancel := context.WithTimeout(context.Background(), pullTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := pullOnce(ctx, url)
		if got == args[2] {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s: got %s, %v; want %s", args[1], got, err, args[2])
		case <-tick.C:
		}
	}
}

// pullOnce returns the digest of what a gateway serves, or status and reason of its refusal.
func pullOnce(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode == http.StatusOK {
		return digest.FromBytes(body).String(), nil
	}
	var refusal struct {
		Errors []struct {
			Message string
			Detail  struct{ Reason string }
		}
	}
	if err := json.Unmarshal(body, &refusal); err != nil || len(refusal.Errors) == 0 {
		return "", fmt.Errorf("%d %s", res.StatusCode, body)
	}
	return fmt.Sprint(res.StatusCode, " ", refusal.Errors[0].Detail.Reason), errors.New(refusal.Errors[0].Message)
}

// tagwarden ARGS... runs the binary, which succeeds.
func scriptTagwarden(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use fails, which looks at the exit status")
	}
	ts.Check(ts.Exec("tagwarden", args...))
}

// fails STATUS COMMAND... runs a command that ends with exactly this status, and says why in one line.
func scriptFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v, want exit status %s", err, args[0])
	}
	if said := ts.ReadFile("stderr"); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "tagwarden: ") {
		ts.Fatalf("not one line: %q", said)
	}
}

// killed AFTER COMMAND... starts a command and kills it so much later, if it has not ended by then.
func scriptKilled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: killed AFTER COMMAND...")
	}
	after, err := time.ParseDuration(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	bin, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	c := exec.CommandContext(ctx, filepath.Join(bin, args[1]), args[2:]...) // which kills
	c.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "TAGWARDEN_ROOT_PASSPHRASE", "TAGWARDEN_REPOSITORY_PASSPHRASE"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	out, err := c.CombinedOutput()
	ts.Logf("killed after %s: %v\n%s", after, err, out)
}

// fill FILE... replaces $NAME in files by what the script knows under that name.
func scriptFill(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// want checks how a command of a script was called.
func want(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
}
