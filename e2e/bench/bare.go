package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// bareName is the target, and the argument that makes this program serve as it.
const bareName = "bare"

// A bare server is the least that a pull-through cache in Go does: it decides nothing and survives no crash, but what it
// keeps has the right digest. Manifests are in memory with their header slices made before; blobs go out by
// http.ServeContent from their files.
type bare struct {
	origin string
	dir    string
	client *http.Client

	flights   singleflight.Group
	mu        sync.RWMutex
	manifests map[string]*prepared // by path
	fills     map[string]*fill     // under way, by path
}

// A prepared manifest is an answer in full.
type prepared struct {
	mediaType, length, digest []string
	body                      []byte
}

// newBare returns a server in front of the registry at that URL, which keeps blobs in dir.
func newBare(origin, dir string) *bare {
	return &bare{
		origin: origin, dir: dir, client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}},
		manifests: make(map[string]*prepared), fills: make(map[string]*fill),
	}
}

// serveBare is the command: it serves until ctx ends.
func serveBare(ctx context.Context, args []string, stderr io.Writer) error {
	f := flag.NewFlagSet(bareName, flag.ContinueOnError)
	f.SetOutput(stderr)
	listen, origin, dir := f.String("listen", "", "host:port"), f.String("origin", "", "URL"), f.String("dir", "", "folder for blobs")
	cert, key := f.String("cert", "", "PEM file; with it TLS"), f.String("key", "", "PEM file")
	if err := f.Parse(args); err != nil {
		return err
	}
	s := &http.Server{Addr: *listen, Handler: newBare(*origin, *dir), ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	var err error
	if *cert != "" {
		err = s.ListenAndServeTLS(*cert, *key)
	} else {
		err = s.ListenAndServe()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ServeHTTP implements http.Handler.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	var err error
	switch {
	case path == "/v2/":
	case strings.Contains(path, "/manifests/"):
		err = b.manifest(w, path)
	default:
		err = b.blob(w, r, path)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// manifest answers from memory, or with what one request to the origin brings.
func (b *bare) manifest(w http.ResponseWriter, path string) error {
	b.mu.RLock()
	p := b.manifests[path]
	b.mu.RUnlock()
	if p == nil {
		v, err, _ := b.flights.Do(path, func() (any, error) { return b.prepare(path) })
		if err != nil {
			return err
		}
		p = v.(*prepared)
	}
	h := w.Header()
	h["Content-Type"], h["Content-Length"], h["Docker-Content-Digest"] = p.mediaType, p.length, p.digest
	w.Write(p.body)
	return nil
}

// prepare brings a manifest into memory.
func (b *bare) prepare(path string) (*prepared, error) {
	res, err := b.get(path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	d := res.Header.Get("Docker-Content-Digest")
	if err := verify(d, body); err != nil {
		return nil, err
	}
	p := &prepared{[]string{res.Header.Get("Content-Type")}, []string{strconv.Itoa(len(body))}, []string{d}, body}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.manifests[path] = p
	return p, nil
}

// get asks the origin.
func (b *bare) get(path string) (*http.Response, error) {
	res, err := b.client.Get(b.origin + path)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, errors.New(path + ": origin answers " + res.Status)
	}
	return res, nil
}

// blob answers from the file of that digest, or from the one that becomes it.
func (b *bare) blob(w http.ResponseWriter, r *http.Request, path string) error {
	name := path[strings.LastIndexByte(path, '/')+1:]
	file, err := os.Open(b.complete(name))
	if err != nil {
		return b.follow(w, path, name)
	}
	defer file.Close()
	b.describe(w.Header(), name)
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

func (b *bare) describe(h http.Header, name string) {
	h["Content-Type"], h["Docker-Content-Digest"] = []string{blobType}, []string{name}
}

func (b *bare) complete(name string) string { return filepath.Join(b.dir, name) }
func (b *bare) partial(name string) string  { return filepath.Join(b.dir, name+".partial") }
