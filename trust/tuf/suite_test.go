package tuf

import (
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// app is the target that is attacked.
const app = "r.example/app:v1"

// newRepo returns a repository in which releases signs app, and who is asked after it signs another digest for it.
func newRepo() *trusttest.TUF {
	repo := trusttest.NewTUF(now)
	repo.Delegate(repo.Targets, "releases", "r.example/app:*").Sign(app, "good")
	repo.Delegate(repo.Targets, "behind", "r.example/*:*").Sign(app, "other")
	return repo
}

// TestVerifier: the attacks that every format must stand.
func TestVerifier(t *testing.T) {
	trusttest.TestVerifier(t, func(t *testing.T) trusttest.Subject {
		repo := newRepo()
		repo.Publish()
		return trusttest.Subject{Repository: &repo.Repository, Target: app, Open: rig(t, repo).open}
	})
}

// A world is a format over a repository, with a state folder of its own.
type world struct {
	t      *testing.T
	repo   *trusttest.TUF
	pin    []byte
	store  *state.Store
	source trust.Source // what verifiers ask
	events []trust.Event
}

// rig returns a world over a published repository, whose root is pinned.
func rig(t *testing.T, repo *trusttest.TUF) *world {
	t.Helper()
	store, err := state.Open(t.Context(), state.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &world{t: t, repo: repo, pin: repo.Files()["1.root.json"], store: store, source: repo}
}

func (w *world) format() *Format {
	w.t.Helper()
	f, err := New(Options{
		Source: "site", Target: "{name}:{tag}", Root: func(string) ([]byte, error) { return w.pin, nil }, State: w.store,
		Fetcher: func(string) trust.Source { return w.source }, Now: func() time.Time { return w.repo.Now },
		Observe: func(e trust.Event) { w.events = append(w.events, e) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// open returns a verifier as after a start of the process.
func (w *world) open() trust.Verifier { return w.format().Open(Whole) }
