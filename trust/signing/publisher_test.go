package signing

import (
	"bytes"
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
			data, err = fetch(p, file)
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

// fetch reads a published file.
func fetch(p *Publisher, file string) ([]byte, error) {
	f, size, err := p.Open(context.Background(), file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if int64(len(data)) != size {
		err = fmt.Errorf("%s has %d bytes, not %d", file, len(data), size)
	}
	return data, err
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
	told := 0 // who waits says so
	o := PublisherOptions{Dir: s.dir, Passphrase: passphrase, Now: s.clock, Waiting: func() { told++; cancel() }}
	if _, err := openPublisher(ctx, o, s.keys); err == nil || told != 1 || !strings.Contains(err.Error(), "has another publisher") {
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

// TestOpen: the published files, and nothing else; what was opened stays as it is.
func TestOpen(t *testing.T) {
	s := newSite(t, InitOptions{})
	p := s.publisher(t)
	must(t, os.Mkdir(filepath.Join(s.dir, metadataDir, "7.folder.json"), 0o700))
	for name, ok := range map[string]bool{
		"timestamp.json": true, "1.root.json": true, "1.targets.json": true, "2.root.json": false, "../online/lock": false, ".tmp-1": false, "root.json": false, "": false,
		"1." + strings.Repeat("a", 250) + ".json": false,
	} {
		_, err := fetch(p, name)
		if (err == nil) != ok || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := fetch(p, "7.folder.json"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(s.dir, metadataDir, "8.big.json"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(s.dir, metadataDir, "8.big.json"), maxPublished+1))
	if _, err := fetch(p, "8.big.json"); err == nil || !strings.Contains(err.Error(), "at most 16777216 bytes") {
		t.Errorf("too large: %v", err)
	}
	f, _, err := p.Open(context.Background(), timestampName)
	must(t, err)
	defer f.Close()
	before, err := fetch(p, timestampName)
	must(t, err)
	s.change(signs("", entry("a.b/c", "d", "e")))
	if data, err := io.ReadAll(f); err != nil || string(data) != string(before) {
		t.Errorf("what was opened before a change: %v", err)
	}
}

// TestPinnedRoot: the folder must be of one chain with the root that is pinned, from whichever of them one begins.
func TestPinnedRoot(t *testing.T) {
	s, other := newSite(t, InitOptions{}), newSite(t, InitOptions{})
	rotate := func(e *Edit) error { return e.Rotate("root") }
	s.change(rotate)
	fork := *s
	fork.dir = t.TempDir()
	must(t, os.CopyFS(fork.dir, os.DirFS(s.dir)))
	s.change(rotate)
	fork.change(rotate)
	forked, err := os.ReadFile(filepath.Join(fork.dir, metadataDir, "3.root.json"))
	must(t, err)
	file := func(name string) string { return filepath.Join(s.dir, metadataDir, name) }
	first, err := os.ReadFile(file("1.root.json"))
	must(t, err)
	second, err := os.ReadFile(file("2.root.json"))
	must(t, err)
	open := func(root []byte) error {
		p, err := openPublisher(context.Background(), PublisherOptions{Dir: s.dir, Root: root, Passphrase: passphrase, Now: s.clock}, s.keys)
		if err == nil {
			must(t, p.Close())
		}
		return err
	}
	for name, c := range map[string]struct {
		root   []byte
		change func() error
		want   string
	}{
		"the oldest":        {first, nil, ""},
		"in other lines":    {bytes.ReplaceAll(first, []byte(`,"`), []byte(",\n\"")), nil, ""},
		"a fork":            {forked, nil, "different repositories"},
		"a later one":       {second, nil, ""},
		"another's":         {other.root(), nil, "root_mismatch"},
		"older than all":    {first, func() error { return os.Remove(file("1.root.json")) }, ""},
		"oldest is foreign": {second, func() error { return os.WriteFile(file("1.root.json"), other.root(), 0o600) }, "different repositories"},
		"same version":      {first, func() error { return os.WriteFile(file("1.root.json"), other.root(), 0o600) }, "different repositories"},
	} {
		if c.change != nil {
			must(t, c.change())
		}
		err := open(c.root)
		if c.want == "" && err != nil || c.want != "" && (err == nil || trust.ReasonOf(err) != trust.Reason(c.want) && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		must(t, os.WriteFile(file("1.root.json"), first, 0o600))
	}
}

// TestLongChain: of more roots than a reader walks, the newest count.
func TestLongChain(t *testing.T) {
	dir := t.TempDir()
	f := folder{metadata: dir}
	for i := range maxChain + 2 {
		must(t, os.WriteFile(filepath.Join(dir, fileName("root", int64(i+1))), fmt.Append(nil, i+1), 0o600))
	}
	if data, err := f.oldestRoot(); err != nil || string(data) != "3" {
		t.Errorf("begins at root %s: %v", data, err)
	}
}
