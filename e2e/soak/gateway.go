package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

const (
	cacheSize  = 32 << 20
	endLimit   = 30 * time.Second // for the gateway to drain
	afterStart = time.Second      // how long after a start connections may still break
	maxMetrics = 4 << 20
)

// A gateway is the process that is tried, in all its lives.
type gateway struct {
	binary, dir string
	w           *world
	trusted     *tls.Config // how clients trust its certificate
	down        windows     // when connections may break
	admins      http.Client

	mu      sync.Mutex
	process *rig.Process
	secure  bool
	door    string // where the registry port listens
	desk    string // and the admin port
	life    int
	reloads int
}

// newGateway prepares the folder of a gateway in front of the world.
func newGateway(binary, dir string, w *world) (*gateway, error) {
	g := &gateway{binary: binary, dir: dir, w: w, admins: http.Client{Timeout: endLimit}}
	var err error
	if g.trusted, err = rig.Certify(g.file("tls.crt"), g.file("tls.key"), time.Now()); err != nil {
		return nil, err
	}
	return g, errors.Join(os.WriteFile(g.file("root.json"), w.rootFile, 0o600), g.configure())
}

func (g *gateway) file(name string) string { return filepath.Join(g.dir, name) }

// configure writes the configuration. Every second reload finds a source and a rule that differ.
func (g *gateway) configure() error {
	secure, age := "", refresh
	if g.secure {
		secure = "tls: {cert: tls.crt, key: tls.key}\n"
	}
	if g.reloads%2 == 1 {
		age -= refresh / 10
	}
	return os.WriteFile(g.file("tagwarden.yaml"), fmt.Appendf(nil, `listen: "127.0.0.1:0"
%sadmin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache, size: %dMiB}
audit: {file: audit.jsonl}
registries:
  %[3]s: {url: "http://%[4]s"}
default_registry: %[3]s
sources:
  notary: {notary: "http://%[5]s", refresh: %[7]s, pins: {%[3]s/notary/**: {keys: [%[8]s]}}}
  site: {tuf: "http://%[6]s/metadata", root: root.json, refresh: %[9]s}
rules:
  - {match: %[3]s/notary/**, source: notary, prefetch: true}
  - {match: %[3]s/site/**, name: site-%[10]d, source: site}
`, secure, cacheSize>>20, registryName, g.w.registry.addr, g.w.notary.addr, g.w.tuf.addr, age, g.w.rootKey, refresh, g.reloads%2), 0o600)
}

// start runs the process, and returns when it answers.
func (g *gateway) start(ctx context.Context) error {
	if err := g.configure(); err != nil {
		return err
	}
	cmd := exec.Command(g.binary, "serve", "--config", "tagwarden.yaml")
	cmd.Dir = g.dir
	p, err := rig.Start(cmd, fmt.Sprintf("log-%d", g.life))
	if err != nil {
		return err
	}
	door, desk, err := p.Listening(ctx)
	if err == nil {
		_, err = g.get(ctx, "http://"+desk+"/readyz")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.process, g.door, g.desk = p, door, desk
	g.life++
	return err
}

// crash ends the process as a power cut does, and starts it again, with or without TLS. All windows cover it: nothing can
// be expected of what begins with nothing in hand.
func (g *gateway) crash(ctx context.Context, secure bool) error {
	now := time.Now()
	ends := []func(time.Time){g.down.open(now)}
	for _, o := range g.w.outlets() {
		ends = append(ends, o.windows.open(now))
	}
	g.process.Kill()
	g.mu.Lock()
	g.secure = secure
	g.mu.Unlock()
	err := g.start(ctx)
	for i, end := range ends {
		if i == 0 {
			end(time.Now().Add(afterStart))
			continue
		}
		end(time.Now().Add(staleness))
	}
	return err
}

// reload has the gateway read a configuration that differs, and begin a new audit file.
func (g *gateway) reload() error {
	g.reloads++
	if err := g.configure(); err != nil {
		return err
	}
	if err := os.Rename(g.file("audit.jsonl"), g.file(fmt.Sprintf("audit-%d.jsonl", g.reloads))); err != nil {
		return err
	}
	g.process.Signal(syscall.SIGHUP)
	return nil
}

// base is the address of the registry port as clients write it.
func (g *gateway) base() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.secure {
		return "https://" + g.door
	}
	return "http://" + g.door
}

// admin returns where the admin port is, and in which life that is so.
func (g *gateway) admin() (string, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return "http://" + g.desk, g.life
}

// get returns what the admin port says.
func (g *gateway) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := g.admins.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxMetrics))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return raw, err
}

// metric adds up the figures whose names, labels included, begin so; and says in which life.
func (g *gateway) metric(ctx context.Context, prefix string) (float64, int, error) {
	base, life := g.admin()
	raw, err := g.get(ctx, base+"/metrics")
	return sum(raw, prefix), life, err
}

func sum(metrics []byte, prefix string) float64 {
	total := 0.0
	for lines := bufio.NewScanner(bytes.NewReader(metrics)); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || !strings.HasPrefix(line, prefix) {
			continue
		}
		if n, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			total += n
		}
	}
	return total
}

// A measure is what the process takes at a moment.
type measure struct {
	goroutines, descriptors int
	resident, peak          int64 // bytes
	heap                    int64 // bytes that were in use after the latest collection, or a little more
	cached                  int64 // bytes of content on disk
}

// look measures the process.
func (g *gateway) look(ctx context.Context) (m measure, err error) {
	base, _ := g.admin()
	raw, err := g.get(ctx, base+"/metrics")
	if err != nil {
		return m, err
	}
	g.mu.Lock()
	pid := g.process.PID()
	g.mu.Unlock()
	m.goroutines, m.cached = int(sum(raw, "go_goroutines ")), int64(sum(raw, "tagwarden_cache_bytes "))
	m.heap = int64(sum(raw, "go_memstats_next_gc_bytes ")) / 2 // the collector lets the heap double
	var errs [3]error
	m.descriptors, errs[0] = rig.Descriptors(pid)
	m.resident, errs[1] = rig.Memory(pid, rig.Resident)
	m.peak, errs[2] = rig.Memory(pid, rig.Peak)
	return m, errors.Join(errs[:]...)
}
