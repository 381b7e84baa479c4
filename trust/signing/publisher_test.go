package signing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// publisher returns the one publisher of the site.
func (s *site) publisher(t testing.TB) *Publisher {
	t.Helper()
	p, err := openPublisher(context.Background(), PublisherOptions{Dir: s.dir, Passphrase: passphrase, Now: s.clock}, s.keys)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// gateway serves what the publisher publishes, over HTTP, and returns it as signers elsewhere reach it.
func gateway(t testing.TB, p *Publisher) remote.HTTP {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file := strings.TrimPrefix(r.URL.EscapedPath(), "/tuf/site/")
		var data []byte
		var err error
		if r.Method == http.MethodPut {
			if data, err = io.ReadAll(r.Body); err == nil {
				err = p.Put(r.Context(), file, data)
			}
		} else {
			data, err = p.Fetch(r.Context(), file, maxTargets)
		}
		var refusal *trust.Refusal
		switch {
		case err == nil:
			_, _ = w.Write(data)
		case errors.Is(err, fs.ErrNotExist):
			http.NotFound(w, r)
		case errors.Is(err, ErrConflict):
			w.WriteHeader(http.StatusConflict)
		case errors.As(err, &refusal):
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors":[{"message":%q}]}`, err)
		default:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL + "/tuf/site/")
	must(t, err)
	return remote.HTTP{Base: base, Client: server.Client()}
}

// at opens the repository at a gateway.
func (s *site) at(t testing.TB, r Remote, keys *Keychain) *Repository {
	t.Helper()
	repository, err := OpenGateway(r, Options{Keys: keys, Root: s.root(), Now: s.clock})
	must(t, err)
	return repository
}

// resign returns a published role file, changed and signed with the owner's keys.
func (s *site) resign(role string, edit func(*metadata.TargetsType)) []byte {
	s.t.Helper()
	v := s.read()
	m, err := clone(v.targets[role])
	must(s.t, err)
	m.Signed.Version++
	edit(&m.Signed)
	data, err := seal(s.keys, role, m, v.authorities(role), nil)
	must(s.t, err)
	return data
}

// TestPublisherRenews: when a third of the validity is left, and not before; also after all has expired.
func TestPublisherRenews(t *testing.T) {
	x := Expiry{Snapshot: 6 * 24 * time.Hour, Timestamp: 3 * 24 * time.Hour}
	s := newSite(t, InitOptions{Expiry: x})
	r := newReader(t, s)
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	p := s.publisher(t)
	renew := func(snapshot, timestamp int64) {
		t.Helper()
		next, err := p.Renew(context.Background())
		must(t, err)
		v := s.read()
		if v.snapshot.Signed.Version != snapshot || v.timestamp.Signed.Version != timestamp {
			t.Errorf("snapshot %d, timestamp %d; want %d, %d", v.snapshot.Signed.Version, v.timestamp.Signed.Version, snapshot, timestamp)
		}
		if !next.After(s.now) || next.After(s.now.Add(2*24*time.Hour)) {
			t.Errorf("next renewal in %s", next.Sub(s.now))
		}
		r.finds(n)
	}
	renew(2, 2)
	s.now = s.now.Add(2*24*time.Hour - time.Second)
	renew(2, 2)
	s.now = s.now.Add(time.Second)
	renew(2, 3)
	s.now = s.now.Add(2 * 24 * time.Hour)
	renew(3, 4)
	s.now = s.now.Add(20 * 24 * time.Hour)
	renew(4, 5)
}

// TestOnePublisher: exactly one at a time; people may still sign in the folder beside it, and it takes keys that they rotate.
func TestOnePublisher(t *testing.T) {
	s := newSite(t, InitOptions{})
	p := s.publisher(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := openPublisher(ctx, PublisherOptions{Dir: s.dir, Passphrase: passphrase, Now: s.clock}, s.keys); err == nil || !strings.Contains(err.Error(), "has another publisher") {
		t.Errorf("a second publisher: %v", err)
	}
	n := entry("ghcr.io/team/app", "v1", "one")
	s.change(signs("", n))
	for _, role := range []string{"timestamp", "snapshot"} {
		s.change(func(e *Edit) error { return e.Rotate(role) })
	}
	s.now = s.now.Add(25 * 24 * time.Hour)
	_, err := p.Renew(context.Background())
	must(t, err)
	newReader(t, s).finds(n)
	must(t, p.Close())
	must(t, s.publisher(t).Close())
}

// TestPublisherOpens: what is wrong is found out at the start.
func TestPublisherOpens(t *testing.T) {
	s := newSite(t, InitOptions{})
	wrong := plainKeychain(s.keys.Dir())
	wrong.decrypt = func([]byte, []byte) ([]byte, error) { return nil, errors.New("no") }
	o := PublisherOptions{Dir: filepath.Join(s.dir, metadataDir), Passphrase: passphrase, Now: s.clock}
	if _, err := openPublisher(context.Background(), o, wrong); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	must(t, os.Remove(plainKeychain(filepath.Join(s.dir, onlineDir)).File(keysOf(s.read(), "timestamp")[0])))
	if _, err := openPublisher(context.Background(), o, s.keys); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if err := s.refused(signs("", entry("a.b/c", "d", "e"))); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "timestamp needs 1 of its 1 keys") {
		t.Errorf("without a key: %v", err)
	}
	o.Dir = t.TempDir()
	if _, err := OpenPublisher(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is not a trust repository") {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestFetch: the published files, and nothing else.
func TestFetch(t *testing.T) {
	s := newSite(t, InitOptions{})
	p := s.publisher(t)
	for name, ok := range map[string]bool{
		"timestamp.json": true, "1.root.json": true, "1.targets.json": true, "2.root.json": false, "../online/lock": false, ".tmp-1": false, "root.json": false, "": false,
	} {
		_, err := p.Fetch(context.Background(), name, maxTargets)
		if (err == nil) != ok || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
