package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/admin"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
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

// TestHangupIsAnswered: who asks for a reload is told each time that the configuration is rejected, also for the same reason.
//
// PRODUCT: section 6, a rejected config leaves the old one running and says so.
func TestHangupIsAnswered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tagwarden.yaml")
	if err := os.WriteFile(file, []byte("rules: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 8)
	g := newGateway(file, zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.InfoLevel), zap.Hooks(func(e zapcore.Entry) error {
		told <- e.Message
		return nil
	})))
	metrics := admin.NewMetrics(admin.MetricsOptions{})
	g.o = &observer{metrics: metrics}
	cfg := &config.Config{}
	g.current.Store(&generation{cfg: cfg, print: fingerprint(file, cfg)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); g.watch(ctx) }()
	for range 2 {
		g.hangup <- syscall.SIGHUP
		if got := <-told; got != "configuration rejected, the one before goes on" {
			t.Errorf("told %q", got)
		}
	}
	w := httptest.NewRecorder()
	admin.Handler(nil, metrics, g.serveExplain).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(w.Body.String(), "tagwarden_config_last_reload_successful 0\n") {
		t.Error("no metric says so")
	}
	cancel()
	<-ended
}
