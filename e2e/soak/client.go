package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/e2e/rig"
)

const (
	askLimit  = 60 * time.Second // for a whole answer
	keptBody  = 64 << 10         // bytes of an answer that are looked at, beyond their digest
	maxBody   = 8 << 20
	slowStep  = 128 << 10
	slowPause = 100 * time.Millisecond
	homes     = 8 // addresses of loopback that clients come from
)

// The ways in which clients connect.
type manner uint8

const (
	keeping manner = iota // connections of HTTP/1.1
	fresh                 // a connection for each request
	streams               // HTTP/2, while the gateway has TLS
	manners
)

// newTransport returns what clients of one address and manner share.
func newTransport(m manner, home int, secure *tls.Config) *http.Transport {
	from := &net.Dialer{Timeout: askLimit, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+home))}}
	t := &http.Transport{
		DialContext: from.DialContext, TLSClientConfig: secure.Clone(), DisableCompression: true, DisableKeepAlives: m == fresh,
		MaxIdleConnsPerHost: 128, IdleConnTimeout: askLimit, Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(m == streams)
	return t
}

// A client asks for one thing after the other.
type client struct {
	s    *soak
	http *http.Client
	rng  *rand.Rand
}

// A reply is what came of one request.
type reply struct {
	status     int
	header     http.Header
	body       []byte        // the first bytes
	digest     digest.Digest // of all bytes
	size       int64
	err        error // the connection broke, or time was up
	asked, got time.Time
}

// A request is what a client asks for, and how it reads the answer.
type request struct {
	method, path, ranged string
	leave                int64         // leave after so many bytes; 0: never
	pause                time.Duration // between steps
}

// ask sends a request and reads its answer.
func (c *client) ask(ctx context.Context, q request) (r reply) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	r.asked = time.Now()
	defer func() { r.got = time.Now() }()
	if q.method == "" {
		q.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.s.g.base()+"/v2/"+q.path, nil)
	if err != nil {
		r.err = err
		return r
	}
	if q.ranged != "" {
		req.Header.Set("Range", q.ranged)
	}
	res, err := c.http.Do(req)
	if err != nil {
		r.err = err
		return r
	}
	defer res.Body.Close()
	r.status, r.header = res.StatusCode, res.Header
	r.read(ctx, res.Body, q)
	return r
}

// read takes the body, as the request wants it.
func (r *reply) read(ctx context.Context, body io.Reader, q request) {
	hash, piece := sha256.New(), make([]byte, 32<<10)
	step := int64(0)
	for r.size < maxBody {
		n, err := body.Read(piece)
		hash.Write(piece[:n])
		r.body = append(r.body, piece[:min(n, keptBody-len(r.body))]...)
		r.size += int64(n)
		step += int64(n)
		if q.leave > 0 && r.size >= q.leave {
			return
		}
		if err == io.EOF {
			r.digest = digest.NewDigest(digest.SHA256, hash)
			return
		}
		if err != nil {
			r.err = err
			return
		}
		if step >= slowStep && q.pause > 0 {
			rig.Wait(ctx, q.pause)
			step = 0
		}
	}
	r.err = errors.New("the body does not end")
}

// layer returns the layer of the fixed tag, which is checked.
func (c *client) layer(ctx context.Context, r *repository) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.g.base()+"/v2/"+blobOf(r).path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err == nil && digest.FromBytes(raw) != r.image.Layer {
		err = fmt.Errorf("%s: %s: not the layer", r.name, res.Status)
	}
	return raw, err
}

// reason is why the gateway says it refuses.
func (r *reply) reason() string {
	var doc struct {
		Errors []struct{ Detail struct{ Reason string } }
	}
	if json.Unmarshal(r.body, &doc) != nil || len(doc.Errors) == 0 {
		return ""
	}
	return doc.Errors[0].Detail.Reason
}

// String is what a report says of it.
func (r *reply) String() string {
	if r.err != nil {
		return fmt.Sprintf("status %d, %d bytes, %v", r.status, r.size, r.err)
	}
	return fmt.Sprintf("status %d, %d bytes %s, %.300q", r.status, r.size, r.digest, r.header.Get("Warning"))
}
