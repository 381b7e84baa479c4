package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// now is when everybody looks.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// A suite is a repository behind HTTP, and the folders of one client.
type suite struct {
	*trusttest.TUF
	t       *testing.T
	url     string
	dir     string
	targets string

	mu      sync.Mutex
	content map[string]string // of targets, by name
	asked   []string          // what was asked for since it was last looked at
}

// newSuite returns a suite whose repository is published in its first version, which the client trusts.
func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{TUF: trusttest.NewTUF(now), t: t, dir: t.TempDir(), targets: t.TempDir(), content: make(map[string]string)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.Publish()
	s.init(s.Files()["1.root.json"])
	return s
}

// init has the client trust a root.
func (s *suite) init(root []byte) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "first root")
	if err := os.WriteFile(file, root, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := s.run("--metadata-dir", s.dir, "init", file); err != nil {
		s.t.Fatal(err)
	}
}

// ServeHTTP answers for the repository, below a folder whose name needs quoting, as those of the suite do.
func (s *suite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/a%5Bb%5D/")
	kind, file, _ := strings.Cut(path, "/")
	s.mu.Lock()
	s.asked = append(s.asked, file)
	text, there := s.content[file]
	s.mu.Unlock()
	raw := []byte(text)
	if kind == "metadata" {
		raw, there = s.Files()[file]
	}
	if !ok || !there {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(raw)
}

// run runs the command.
func (s *suite) run(args ...string) error { return run(s.t.Context(), args, s.Now, s.t.Output()) }

// refresh has the client refresh.
func (s *suite) refresh() error {
	return s.run("--metadata-url", s.url+"/a%5Bb%5D/metadata/", "--metadata-dir", s.dir, "refresh")
}

// refreshes requires that it does.
func (s *suite) refreshes() {
	s.t.Helper()
	if err := s.refresh(); err != nil {
		s.t.Fatal(err)
	}
}

// download has the client download targets.
func (s *suite) download(names ...string) error {
	args := []string{"--metadata-url", s.url + "/a%5Bb%5D/metadata/", "--metadata-dir", s.dir}
	for _, name := range names {
		args = append(args, "--target-name", name)
	}
	return s.run(append(args, "--target-dir", s.targets, "--target-base-url", s.url+"/a%5Bb%5D/targets/", "download")...)
}

// sign signs a target and puts its content where clients ask for it.
func (s *suite) sign(by *trusttest.Role, name, content string) {
	sum := by.Sign(name, content).Encoded()
	i := strings.LastIndex(name, "/") + 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content[escape(name[:i]+sum+"."+name[i:])] = content
}

// requests returns what was asked for since it was last called.
func (s *suite) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// trusted returns the versions of the roles in the client's folder: "root=1 timestamp=2".
func (s *suite) trusted() string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		var f struct{ Signed struct{ Version int64 } }
		if err != nil || json.Unmarshal(raw, &f) != nil {
			s.t.Errorf("%s is no metadata", file)
		}
		role, err := url.PathUnescape(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			s.t.Error(err)
		}
		all = append(all, fmt.Sprintf("%s=%d", role, f.Signed.Version))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// verbatim checks that the client's files of the top-level roles are, byte for byte, what is published.
func (s *suite) verbatim() {
	s.t.Helper()
	for _, role := range []*trusttest.Role{s.Root, s.Timestamp, s.Snapshot, s.Targets} {
		raw, err := os.ReadFile(filepath.Join(s.dir, role.Name+".json"))
		if err != nil || !bytes.Equal(raw, s.Files()[s.File(role)]) {
			s.t.Errorf("%s is not what was published: %v", role.Name, err)
		}
	}
}

// downloaded returns the contents of the client's folder of targets, sorted.
func (s *suite) downloaded() []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.targets, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	all := []string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	slices.Sort(all)
	return all
}

// TestNamed: the tests that the package's comment names exist.
func TestNamed(t *testing.T) {
	comment, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources []byte
	for _, folder := range []string{".", "../../trust/tuf", "../../trust/state"} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, raw...)
		}
	}
	named := regexp.MustCompile(`Test[A-Z][A-Za-z]+`).FindAllString(string(comment), -1)
	if len(named) < 30 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, name := range named {
		if !bytes.Contains(sources, []byte("func "+name+"(t ")) {
			t.Errorf("there is no %s", name)
		}
	}
}
