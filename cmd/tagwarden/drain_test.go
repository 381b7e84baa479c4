package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"go.uber.org/zap"
)

// drainLimit is far beyond what a drain with nothing under way takes, and far below how long a connection may be idle.
const drainLimit = 30 * time.Second

// A draining is a gateway with TLS that can be told to end.
type draining struct {
	registry upstreamtest.Registry
	addr     string
	secure   *tls.Config
	end      context.CancelFunc
	ended    chan error
}

// newDraining starts the gateway.
func newDraining(t *testing.T) *draining {
	t.Helper()
	d := &draining{}
	where, stop, err := host(&d.registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	dir := t.TempDir()
	repository := trusttest.NewTUF(time.Now())
	repository.Publish()
	put(t, repository, dir)
	d.certify(t, dir)
	file := filepath.Join(dir, "tagwarden.yaml")
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
tls: {cert: tls.crt, key: tls.key}
admin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache}
registries: {%[1]s: {url: "http://%[2]s"}}
default_registry: %[1]s
sources: {site: {tuf: ., root: 1.root.json}}
rules: [{match: %[1]s/**}]
`, demoRegistry, where)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var door net.Addr
	_, door, d.end, d.ended = inProcess(t, file)
	d.addr = door.String()
	return d
}

// inProcess starts a gateway with a configuration, and returns where it listens, how to end it, and what it ends with.
func inProcess(t *testing.T, file string) (g *gateway, registry net.Addr, end context.CancelFunc, ended chan error) {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, ended = newGateway(file, zap.NewNop()), make(chan error, 1)
	door := make(chan net.Addr, 1)
	g.listening = func(registry, _ net.Addr) { door <- registry }
	ctx, end := context.WithCancel(t.Context())
	go func() { ended <- g.serve(ctx, cfg, io.Discard) }()
	select {
	case registry = <-door:
	case err := <-ended:
		t.Fatal("ended instead of starting: ", err)
	}
	return g, registry, end, ended
}

// certify gives the gateway the certificate of the test server, and its clients the trust in it.
func (d *draining) certify(t *testing.T, dir string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d.secure = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"h2"}}
}

// dial opens a connection, which says nothing yet.
func (d *draining) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(drainLimit)); err != nil {
		t.Fatal(err)
	}
	return c
}

// greet makes c one of HTTP/2 that asks for nothing, and waits until the server has greeted too.
// HTTP: RFC 9113 3.4, the preface, and SETTINGS that change nothing.
func (d *draining) greet(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	s := tls.Client(c, d.secure)
	if _, err := s.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if kind := frame(t, s); kind != 4 {
		t.Fatalf("the first frame is of type %d, not SETTINGS", kind)
	}
	return s
}

// frame reads one frame and returns its type.
func frame(t *testing.T, r io.Reader) byte {
	t.Helper()
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal("no GOAWAY: ", err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
		t.Fatal(err)
	}
	return head[3]
}

// goaway reads until the server has said that it goes.
func goaway(t *testing.T, r io.Reader) {
	t.Helper()
	for frame(t, r) != 7 {
	}
}

// tell ends the gateway, and returns when it takes no new connection.
func (d *draining) tell(t *testing.T) {
	t.Helper()
	d.end()
	for end := time.Now().Add(drainLimit); ; runtime.Gosched() {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("new connections are taken")
		}
	}
}

// wait returns when the gateway has ended in good order.
func (d *draining) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-d.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(drainLimit):
		t.Fatal("the drain does not end")
	}
}

// TestDrainIdle: clients of HTTP/2 that ask for nothing are told to go, and are not waited for: neither one that was idle
// before, nor one whose handshake ends when the drain has begun.
func TestDrainIdle(t *testing.T) {
	d := newDraining(t)
	late := d.dial(t)
	idle := d.greet(t, d.dial(t)) // it is taken after the other
	d.tell(t)
	goaway(t, idle)
	goaway(t, d.greet(t, late))
	d.wait(t)
}

// TestDrainUnderWay: an answer that has begun goes on to its end, whatever else its connection is told.
func TestDrainUnderWay(t *testing.T) {
	d := newDraining(t)
	content := bytes.Repeat([]byte("layer"), 1<<20)
	path := "/v2/hello/blobs/" + d.registry.PushBlob("hello", content).String()
	release := make(chan struct{})
	d.registry.Fail(path, upstreamtest.Fault{Stall: release, StallAfter: 1 << 20})
	transport := &http.Transport{TLSClientConfig: d.secure.Clone(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: drainLimit}).Get("https://" + d.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	idle := d.greet(t, d.dial(t))
	d.tell(t)
	goaway(t, idle)
	select {
	case err := <-d.ended:
		t.Fatal("ended with an answer under way: ", err)
	case <-time.After(2 * tellEvery): // more than one turn
	}
	close(release)
	body, err := io.ReadAll(res.Body)
	if err != nil || res.ProtoMajor != 2 || !bytes.Equal(body, content) {
		t.Errorf("%s: %d bytes, %v", res.Proto, len(body), err)
	}
	d.wait(t)
}
