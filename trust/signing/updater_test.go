package signing

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// A reader is somebody else's TUF client: go-tuf's own, with a memory, so that it also notices what goes backwards.
type reader struct {
	s    *site
	http *httptest.Server
	dir  string
	root []byte
}

func newReader(t testing.TB, s *site) *reader {
	t.Helper()
	r := &reader{s: s, dir: t.TempDir(), root: s.root(), http: httptest.NewServer(http.FileServer(http.Dir(filepath.Join(s.dir, metadataDir))))}
	t.Cleanup(r.http.Close)
	return r
}

// lookup updates and returns what the client finds; nil if the target is not there.
func (r *reader) lookup(path string) (*metadata.TargetFiles, error) {
	cfg, err := config.New(r.http.URL, r.root)
	if err != nil {
		return nil, err
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = r.dir, r.dir
	if err := cfg.SetDefaultFetcherHTTPClient(r.http.Client()); err != nil {
		return nil, err
	}
	u, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	u.UnsafeSetRefTime(r.s.now)
	if err := u.Refresh(); err != nil {
		return nil, err
	}
	return u.GetTargetInfo(path)
}

// finds fails unless the client finds the entry.
func (r *reader) finds(n Entry) {
	r.s.t.Helper()
	got, err := r.lookup(n.Name.String())
	if err != nil {
		r.s.t.Errorf("%s: go-tuf: %v", n.Name, err)
		return
	}
	if got.Hashes["sha256"].String() != n.Target.Digest.Encoded() || got.Length != n.Target.Size {
		r.s.t.Errorf("%s: go-tuf finds %v", n.Name, got.Hashes)
	}
}
