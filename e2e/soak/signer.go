package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

const (
	// maxFile is the most bytes of a file of trust data that are served.
	maxFile = 16 << 20
	// oldTimestamps is how many publications ago the timestamp is from that a source serves which rolls back.
	oldTimestamps = 3
	// ahead is the version of what a stranger signs, so that it is not refused for being old.
	ahead = 1 << 20
)

// A collection is the trust data of one Notary repository, or of a TUF repository, as a server has it: what is right, and
// what it serves when it lies.
type collection struct {
	repository *trusttest.Repository
	stranger   *trusttest.Repository // who signs the tags that nobody may have

	mu  sync.Mutex
	old [][]byte // timestamps, the latest last
}

// newNotary returns the collection of a repository whose root is the key's.
func newNotary(gun string, root *trusttest.Key, now time.Time) *collection {
	n := trusttest.NewNotary(gun, now)
	n.Root.Keys = []*trusttest.Key{root.Certify(trusttest.Template(gun, now), nil, nil)}
	return newCollection(&n.Repository, &trusttest.NewNotary(gun, now).Repository)
}

// newTUF returns the collection of a TUF repository.
func newTUF(now time.Time) *collection {
	return newCollection(&trusttest.NewTUF(now).Repository, &trusttest.NewTUF(now).Repository)
}

func newCollection(r, stranger *trusttest.Repository) *collection {
	for _, role := range []*trusttest.Role{stranger.Timestamp, stranger.Snapshot, stranger.Targets} {
		role.Version = ahead
	}
	return &collection{repository: r, stranger: stranger}
}

// begin publishes what is signed so far.
func (c *collection) begin() {
	c.repository.Publish()
	c.stranger.Publish()
	c.note()
}

// sign publishes a change of what is signed. Only one at a time may.
func (c *collection) sign(change func(*trusttest.Role)) {
	change(c.repository.Targets)
	c.repository.Next(c.repository.Targets)
	c.repository.Asked() // forget, so that memory does not grow
	c.stranger.Asked()
	c.note()
}

// note remembers the timestamp.
func (c *collection) note() {
	raw := c.repository.Files()["timestamp.json"]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old = append(c.old[max(0, len(c.old)-oldTimestamps):], raw)
}

// serve answers with a file, as the fault wants it.
func (c *collection) serve(w http.ResponseWriter, r *http.Request, file string, f fault) {
	from := c.repository
	if f == strange {
		from = c.stranger
	}
	raw, err := from.Fetch(r.Context(), file, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if file == "timestamp.json" && f == rolledBack {
		raw = c.older()
	}
	if file == "timestamp.json" && f == spoiled {
		raw = spoil(raw)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
	_, _ = w.Write(raw) // who leaves is not told
}

// older returns a timestamp that was superseded, if one was.
func (c *collection) older() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.old[0]
}

// spoil changes one character of a signature.
func spoil(raw []byte) []byte {
	raw = bytes.Clone(raw)
	i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`) + 8
	if raw[i] == 'a' {
		raw[i] = 'b'
	} else {
		raw[i] = 'a'
	}
	return raw
}

// notaryServer serves collections by their GUN.
func notaryServer(all map[string]*collection) func(fault) http.Handler {
	return func(f fault) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gun, file, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/_trust/tuf/")
			c := all[gun]
			if !ok || c == nil {
				http.NotFound(w, r)
				return
			}
			c.serve(w, r, file, f)
		})
	}
}

// tufServer serves one collection.
func tufServer(c *collection) func(fault) http.Handler {
	return func(f fault) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.serve(w, r, strings.TrimPrefix(r.URL.Path, "/metadata/"), f)
		})
	}
}
