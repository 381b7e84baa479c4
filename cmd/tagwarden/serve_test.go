package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"go.uber.org/zap"
)

// TestAwaitedDecisionsAreRecorded: what goes on beside answers when the gateway is told to end has its line in the audit log.
//
// PRODUCT: invariant 10.
func TestAwaitedDecisionsAreRecorded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tagwarden.yaml")
	const text = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache}
rules: [{match: "**", mode: deny}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(file, zap.NewNop())
	listens, known := make(chan net.Addr, 1), make(chan struct{})
	g.listening = func(_, admin net.Addr) { listens <- admin }
	var lines bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx, cfg, &lines) }()
	admin := <-listens
	g.beside.Go(func() {
		<-known
		if err := g.lines.Record([]byte("awaited")); err != nil {
			t.Error(err)
		}
	})
	cancel()
	for { // until the port that goes last has gone
		c, err := net.Dial("tcp", admin.String())
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-ended:
		t.Errorf("the gateway has ended before its decisions: %v", err)
		ended <- err
	case <-time.After(100 * time.Millisecond):
	}
	close(known)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(lines.String(), "awaited\n") {
		t.Errorf("the audit log has %q", lines.String())
	}
}
