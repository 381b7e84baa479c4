package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/remote"
)

// TestGateway: every verb from far away, each followed by a read by another implementation.
func TestGateway(t *testing.T) {
	s := newSite(t, InitOptions{})
	r := newReader(t, s)
	far := s.at(t, gateway(t, s.publisher(t)), s.keys)
	change := func(change func(*Edit) error, want string) {
		t.Helper()
		res, err := far.Change(context.Background(), change)
		must(t, err)
		if fmt.Sprint(res.Files) != want {
			t.Errorf("published %v, want %s", res.Files, want)
		}
	}
	k, err := s.keys.Generate("alice", Ed25519)
	must(t, err)
	alice := Signer{Name: "alice", Keys: []PublicKey{k}, Repositories: []string{"ghcr.io/team/*"}}
	change(func(e *Edit) error { return e.AddSigner(alice) }, "[2.targets.json 1.alice.json]")
	one, two := entry("ghcr.io/team/app", "v1", "one"), entry("ghcr.io/team/app", "v2", "two")
	change(signs("", one, two), "[2.alice.json]")
	r.finds(one)
	change(signs("", one, two), "[]")
	change(func(e *Edit) error { return e.Rotate("alice") }, "[3.alice.json 3.targets.json]")
	r.finds(one)
	change(func(e *Edit) error { return e.Rotate("targets") }, "[4.targets.json 2.root.json]")
	r.finds(one)
	change(func(e *Edit) error { return e.Rotate("root") }, "[3.root.json]")
	change(func(e *Edit) error { _, err := e.Renew(true); return err }, "[4.alice.json 5.targets.json 4.root.json]")
	r.finds(one)
	change(func(e *Edit) error { _, err := e.Revoke(two.Name, ""); return err }, "[5.alice.json]")
	r.finds(one)
	if _, err := r.lookup(two.Name.String()); err == nil {
		t.Error("go-tuf still finds what was revoked")
	}
	change(func(e *Edit) error { _, err := e.RemoveSigner("alice", nil, true); return err }, "[6.targets.json]")
	for _, role := range []string{"timestamp", "snapshot"} {
		if _, err := far.Change(context.Background(), func(e *Edit) error { return e.Rotate(role) }); err == nil || !strings.Contains(err.Error(), "its keys are the publisher's") {
			t.Errorf("%s: %v", role, err)
		}
	}
	if _, err := OpenGateway(remote.HTTP{}, Options{}); err == nil {
		t.Error("opened without a root")
	}
}

// TestRace: two people sign at once, into the same roles, at a gateway and in its folder; nothing is lost.
func TestRace(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	far := gateway(t, s.publisher(t))
	const each = 5
	var wg sync.WaitGroup
	for who := range 4 {
		keys := plainKeychain(s.keys.Dir())
		repository := s.open(keys)
		if who > 1 {
			repository = s.at(t, far, keys)
		}
		wg.Go(func() {
			for i := range each {
				n := entry(fmt.Sprintf("ghcr.io/team/app%d", who), fmt.Sprintf("v%d", i), "one")
				for { // a gateway gives up after five times, in a race that nobody runs by hand
					_, err := repository.Change(context.Background(), signs("", n))
					if err == nil {
						break
					}
					if !strings.Contains(err.Error(), "somebody else published first") {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if got := len(s.read().Tags("")); got != 4*each {
		t.Errorf("%d tags, want %d", got, 4*each)
	}
	newReader(t, s).finds(entry("ghcr.io/team/app3", "v4", "one"))
}

// A rival publishes first, some times, whenever somebody is about to.
type rival struct {
	Remote
	times int
	act   func()
}

func (r *rival) Put(ctx context.Context, file string, data []byte) error {
	if r.times > 0 {
		r.times--
		r.act()
	}
	return r.Remote.Put(ctx, file, data)
}

// TestRebase: who comes second signs again on top of the first, and gives up after five times.
func TestRebase(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	far := gateway(t, s.publisher(t))
	n := 0
	r := &rival{Remote: far, times: 4}
	r.act = func() {
		n++
		_, err := s.at(t, far, s.keys).Change(context.Background(), signs("", entry("ghcr.io/team/rival", fmt.Sprint(n), "one")))
		must(t, err)
	}
	mine := entry("ghcr.io/team/app", "v1", "mine")
	calls := 0
	res, err := s.at(t, r, s.keys).Change(context.Background(), func(e *Edit) error {
		calls++
		_, err := e.Sign([]Entry{mine}, "")
		return err
	})
	must(t, err)
	s.means(mine, "alice")
	if got := s.read().Tags("ghcr.io/team/rival"); len(got) != 4 || calls != 5 || fmt.Sprint(res.Files) != "[6.alice.json]" {
		t.Errorf("%d tags of the rival, %d calls, published %v", len(got), calls, res.Files)
	}
	r.times = 5
	if _, err := s.at(t, r, s.keys).Change(context.Background(), signs("", entry("ghcr.io/team/app", "v2", "x"))); err == nil || !strings.Contains(err.Error(), "5 times: try again") {
		t.Errorf("against a stronger rival: %v", err)
	}
}

// TestGatewayRefuses: what a gateway says reaches the person, and what was published before it is told.
func TestGatewayRefuses(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	p := s.publisher(t)
	r := &rival{Remote: gateway(t, p), times: 1, act: func() { s.now = s.now.AddDate(2, 0, 0) }} // all expires on the way
	_, err := s.at(t, r, s.keys).Change(context.Background(), signs("", entry("ghcr.io/team/app", "v1", "one")))
	if err == nil || !strings.Contains(err.Error(), "alice v2 has expired") {
		t.Error(err)
	}
}

// TestSecondWriter: of two writers in a folder one waits for the other, and gives up after a while with one line.
func TestSecondWriter(t *testing.T) {
	s := newSite(t, InitOptions{})
	f, err := openFolder(s.dir)
	must(t, err)
	l, err := f.lock(context.Background())
	must(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errBusy) // as it is after five seconds
	if _, err := f.lock(ctx); !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "another change is being published") {
		t.Error(err)
	}
	done := make(chan error)
	go func() {
		_, err := s.open(s.keys).Change(context.Background(), signs("", entry("a.b/c", "d", "e")))
		done <- err
	}()
	n := entry("a.b/c", "first", "f")
	e, err := func() (*Edit, error) {
		v, err := load(context.Background(), f.source, s.root(), s.now)
		return &Edit{base: v, now: s.now, keys: s.keys, changed: map[string]*targetsFile{}, adopted: map[string][]byte{}}, err
	}()
	must(t, err)
	_, err = e.Sign([]Entry{n}, "")
	must(t, err)
	b, err := e.batch()
	must(t, err)
	files, err := f.issue(context.Background(), b, issuer{keys: f.online(s.keys), now: s.now})
	must(t, err)
	must(t, f.put(files))
	must(t, l.Close())
	must(t, <-done)
	s.means(n, "targets")
	s.means(entry("a.b/c", "d", "e"), "targets")
}

// TestKeepsFewVersions: the folder does not grow without end, and roots stay.
func TestKeepsFewVersions(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.change(func(e *Edit) error { return e.Rotate("root") })
	for i := range keep + 3 {
		s.change(signs("", entry("a.b/c", fmt.Sprint(i), "e")))
	}
	left := s.files()
	for file, want := range map[string]bool{"1.root.json": true, "2.root.json": true, "1.targets.json": false, "4.targets.json": false, "5.targets.json": true, "20.targets.json": true, "20.snapshot.json": true} {
		if slices.Contains(left, file) != want {
			t.Errorf("%s is there: %v, of %v", file, !want, left)
		}
	}
}

func TestInitRefuses(t *testing.T) {
	s := newSite(t, InitOptions{})
	for name, o := range map[string]InitOptions{
		"is in the way":   {Dir: s.dir},
		"root threshold ": {Dir: t.TempDir(), RootKeys: 2, RootThreshold: 3},
		"up to 16 keys":   {Dir: t.TempDir(), RootKeys: 17},
	} {
		o.Keys = s.keys
		if _, err := Init(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want %q", err, name)
		}
	}
	if _, err := OpenDirectory(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "tagwarden trust init") {
		t.Error(err)
	}
	var r *trust.Refusal
	other := newSite(t, InitOptions{})
	repository, err := OpenDirectory(s.dir, Options{Root: other.root()})
	must(t, err)
	if _, err := repository.Read(context.Background()); !errors.As(err, &r) {
		t.Errorf("read by another repository's root: %v", err)
	}
}
