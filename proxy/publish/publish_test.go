package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// shelf is a repository that takes "good" under a name it does not have.
type shelf struct {
	mu      sync.Mutex
	files   map[string][]byte
	asked   int
	hold    chan struct{} // nil: nothing is held up
	arrived chan struct{}
}

func (s *shelf) Open(_ context.Context, file string) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	data, ok := s.files[file]
	switch {
	case file == "9.broken.json":
		return nil, 0, errors.New("disk fault")
	case !ok:
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (s *shelf) Put(ctx context.Context, file string, data []byte) error {
	if s.hold != nil {
		s.arrived <- struct{}{}
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch _, there := s.files[file]; {
	case there:
		return fmt.Errorf("version 1 is there: %w", ErrConflict)
	case string(data) == "fault":
		return errors.New("disk fault")
	case string(data) != "good":
		return &trust.Refusal{Reason: trust.ThresholdNotMet, Text: "1 of 2 signatures"}
	}
	s.files[file] = data
	return nil
}

func door(t *testing.T, s *shelf) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(New(map[string]Repository{"site": s}, zap.NewNop()))
	t.Cleanup(server.Close)
	return server
}

func ask(t *testing.T, s *httptest.Server, method, path string, body io.Reader) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest(method, s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "//" + r.URL.Host + path // sent as it stands
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func TestAnswers(t *testing.T) {
	s := &shelf{files: map[string][]byte{"timestamp.json": []byte("{}"), "1.team%2Falice.json": []byte("alice")}}
	server := door(t, s)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
		asked              bool
	}{
		{"GET", "/tuf/site/timestamp.json", "", 200, "{}", true},
		{"HEAD", "/tuf/site/timestamp.json", "", 200, "", true},
		{"GET", "/tuf/site/1.team%2Falice.json", "", 200, "alice", true},
		{"GET", "/tuf/site/2.root.json", "", 404, "BLOB_UNKNOWN", true},
		{"GET", "/tuf/site/9.broken.json", "", 503, "UNAVAILABLE", true},
		{"GET", "/tuf/other/timestamp.json", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/../online/timestamp.json", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/a/timestamp.json", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/timestamp.key", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/0.root.json", "", 404, "NAME_UNKNOWN", false},
		{"GET", "/tuf/site/.lock", "", 404, "NAME_UNKNOWN", false},
		{"DELETE", "/tuf/site/timestamp.json", "", 405, "UNSUPPORTED", false},
		{"POST", "/tuf/site/1.alice.json", "good", 405, "UNSUPPORTED", false},
		{"PUT", "/tuf/site/1.alice.json", "bad", 403, "1.alice.json is refused: 1 of 2 signatures [threshold_not_met]", true},
		{"PUT", "/tuf/site/1.alice.json", "fault", 503, "UNAVAILABLE", true},
		{"PUT", "/tuf/site/1.alice.json", "good", 201, "", true},
		{"PUT", "/tuf/site/1.alice.json", "good", 409, "not the next version", true},
		{"PUT", "/tuf/other/1.alice.json", "good", 404, "NAME_UNKNOWN", false},
		{"PUT", "/tuf/site/1.al%0aice%3f/.json", "good", 404, "NAME_UNKNOWN", false},
	} {
		s.asked = 0
		status, says := ask(t, server, c.method, c.path, strings.NewReader(c.body))
		if status != c.status || !strings.Contains(says, c.says) || s.asked > 0 != c.asked {
			t.Errorf("%s %s: %d %q, asked %d", c.method, c.path, status, says, s.asked)
		}
		if strings.Contains(says, "disk fault") {
			t.Errorf("%s %s tells strangers %q", c.method, c.path, says)
		}
	}
}

// A file that is too large is not read to its end, whether its size is known or not.
func TestTooLarge(t *testing.T) {
	s := &shelf{files: map[string][]byte{}}
	h := New(map[string]Repository{"site": s}, zap.NewNop())
	for _, c := range []struct {
		body   io.Reader
		status int
		read   int
	}{
		{bytes.NewReader(make([]byte, maxFile)), 403, maxFile},
		{bytes.NewReader(make([]byte, maxFile+1)), 413, 0},
		{io.MultiReader(bytes.NewReader(make([]byte, 2*maxFile))), 413, maxFile + 1},
	} {
		n := &counter{c.body, 0}
		r := httptest.NewRequest("PUT", "/tuf/site/1.alice.json", c.body)
		r.Body = io.NopCloser(n)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || n.read > c.read || c.status == 413 && !strings.Contains(w.Body.String(), "4194304 bytes") {
			t.Errorf("%d, %d bytes were read; want %d, %d: %s", w.Code, n.read, c.status, c.read, w.Body)
		}
	}
}

// A counter counts what is read.
type counter struct {
	io.Reader
	read int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// One client has a share of what is taken in at a time, and comes in at a pace.
func TestShares(t *testing.T) {
	s := &shelf{files: map[string][]byte{}, hold: make(chan struct{}), arrived: make(chan struct{}, maxTakenOfOne)}
	server := door(t, s)
	statuses := make(chan int, maxTakenOfOne)
	for i := range maxTakenOfOne {
		go func() {
			status, _ := ask(t, server, "PUT", fmt.Sprintf("/tuf/site/%d.alice.json", i+1), strings.NewReader("good"))
			statuses <- status
		}()
		<-s.arrived
	}
	if status, _ := ask(t, server, "PUT", "/tuf/site/9.alice.json", strings.NewReader("good")); status != 429 {
		t.Errorf("one more than its share: %d", status)
	}
	close(s.hold)
	for range maxTakenOfOne {
		if status := <-statuses; status != 201 {
			t.Errorf("within its share: %d", status)
		}
	}
	s.hold = nil
	taken := maxTakenOfOne
	for began := time.Now(); ; taken++ {
		status, _ := ask(t, server, "PUT", "/tuf/site/1.alice.json", strings.NewReader("good"))
		if status == 429 {
			break
		}
		if allowed := burst + int(time.Since(began)/pause) + 1; taken > allowed {
			t.Fatalf("%d files were taken, more than %d", taken, allowed)
		}
	}
}
