package main

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// An origin is the registry behind all targets. It remembers what it was asked, and is as slow as it is told to be.
type origin struct {
	paths map[string]*content

	mu      sync.Mutex
	latency time.Duration // before each answer
	pace    pace
	count   tally
	active  int // requests under way
}

// A tally is what an origin was asked for.
type tally struct {
	Requests  int   `json:"requests"`
	Manifests int   `json:"manifests"` // of the requests, HEAD included
	Blobs     int   `json:"blobs"`     // likewise
	BlobBytes int64 `json:"blob_bytes"`
}

// behave sets the latency of each request and what all answers together send, in bytes per second; 0 is no limit.
func (o *origin) behave(latency time.Duration, rate int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latency, o.pace = latency, pace{rate: rate}
}

// take returns what was asked for since it was last called.
func (o *origin) take() tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.count
	o.count = tally{}
	return t
}

// busy tells whether a request is under way.
func (o *origin) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.active > 0
}

// begin counts a request and returns how long its answer has to wait.
func (o *origin) begin(path string) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active++
	o.count.Requests++
	switch {
	case strings.Contains(path, "/manifests/"):
		o.count.Manifests++
	case strings.Contains(path, "/blobs/"):
		o.count.Blobs++
	}
	return o.latency
}

func (o *origin) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active--
}

// ServeHTTP implements http.Handler. It knows no ranges: a whole answer is a right one.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	latency := o.begin(r.URL.Path)
	defer o.end()
	if !rig.Wait(r.Context(), latency) {
		return
	}
	head := w.Header()
	head.Set("Docker-Distribution-Api-Version", "registry/2.0")
	if r.URL.Path == "/v2/" {
		return
	}
	c, ok := o.paths[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	head.Set("Content-Type", c.mediaType)
	head.Set("Content-Length", strconv.FormatInt(c.size, 10))
	head.Set("Docker-Content-Digest", c.digest.String())
	if r.Method != http.MethodHead {
		o.send(w, r, c)
	}
}

// send writes c, as fast as the pace allows.
func (o *origin) send(w http.ResponseWriter, r *http.Request, c *content) {
	for piece := range c.pieces() {
		for len(piece) > 0 {
			n, delay := o.allow(len(piece))
			if !rig.Wait(r.Context(), delay) {
				return
			}
			n, err := w.Write(piece[:n])
			o.sent(c, n)
			if err != nil {
				return
			}
			piece = piece[n:]
		}
	}
}

func (o *origin) sent(c *content, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.mediaType == blobType {
		o.count.BlobBytes += int64(n)
	}
}

// allow returns how many of n bytes may be written next, and how long to wait before.
func (o *origin) allow(n int) (int, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pace.take(time.Now(), n)
}

// A pace spreads bytes over time.
type pace struct {
	rate int64     // bytes per second; 0 is no limit
	next time.Time // when the next byte may leave
}

// take returns how many of n bytes may leave together, and when.
func (p *pace) take(now time.Time, n int) (int, time.Duration) {
	if p.rate == 0 {
		return n, 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	delay := p.next.Sub(now)
	n = min(n, 256<<10)
	p.next = p.next.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	return n, delay
}

// serve serves h on a free port of 127.0.0.1, and returns its address and how to end it.
func serve(h http.Handler) (addr string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go s.Serve(l)
	return l.Addr().String(), func() { s.Close() }, nil
}
