package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy"
	"github.com/tagwarden/tagwarden/proxy/audit"
	"github.com/tagwarden/tagwarden/proxy/publish"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust/state"
	"go.uber.org/zap"
)

// watchEvery is how often the configuration and the files it names are looked at for changes.
const watchEvery = 2 * time.Second

// retryTicks is how many looks later a rejected configuration is tried again although nothing has changed.
const retryTicks = 15

// A gateway is what serve runs: the parts that live as long as the process, and the generation that answers now.
type gateway struct {
	file    string
	log     *zap.Logger
	o       *observer
	kept    *state.Store
	clock   *state.Clock
	content *cache.Store
	lines   *audit.Log
	audit   *logFile  // nil: lines go to standard output
	scratch sync.Pool // of *[]byte, each for one line
	newID   func() string
	hangup  chan os.Signal
	// wall is the machine's clock, and ticks one that nobody can set.
	wall  func() time.Time
	ticks func() time.Duration
	// drain is how long requests under way may go on after the signal to end; listening is told where the gateway listens.
	drain     time.Duration
	listening func(registry, admin net.Addr)
	beside    sync.WaitGroup // what goes on beside answers
	current   atomic.Pointer[generation]
}

// A generation is all that follows from one reading of the configuration. A reload replaces it whole; requests under way
// end with the one they began with.
type generation struct {
	cfg        *config.Config
	print      [sha256.Size]byte
	door       *proxy.Handler
	shelf      http.Handler // what is published
	decider    *trustHalf
	registries upstream.Registries
	pair       *tls.Certificate
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := g.current.Load()
	if strings.HasPrefix(r.URL.Path, publish.Prefix) {
		now.shelf.ServeHTTP(w, r)
		return
	}
	now.door.ServeHTTP(w, r)
}

// certificate implements tls.Config.GetCertificate.
func (g *gateway) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := g.current.Load().pair; pair != nil {
		return pair, nil
	}
	return nil, errors.New("no certificate is configured")
}

// generation builds everything anew from a configuration. Sources that are configured as before keep what they hold.
func (g *gateway) generation(cfg *config.Config) (*generation, error) {
	// Taken before the files are read: what changes meanwhile is noticed.
	next := &generation{cfg: cfg, print: fingerprint(g.file, cfg)}
	var before *trustHalf
	if old := g.current.Load(); old != nil {
		before = old.decider
	}
	var err error
	if next.pair, err = keyPair(cfg); err != nil {
		return nil, err
	}
	if old := g.current.Load(); old != nil && next.pair == nil {
		next.pair = old.pair // the listener goes on as it began
	}
	if next.registries, err = newRegistries(cfg, g.o.sent); err != nil {
		return nil, err
	}
	if next.decider, err = newTrust(cfg, trustOptions{
		state: g.kept, clock: g.clock, observe: g.o.trust, sent: g.o.sent, before: before, publish: g.log,
	}); err != nil {
		return nil, err
	}
	next.shelf = next.decider.published(g.log)
	next.door = proxy.New(proxy.Options{
		Decider: next.decider, Upstream: next.registries, Cache: g.content, Names: namesOf(cfg), NewID: g.newID, Observe: g.o.proxy, Log: g.log,
		Record: func(r proxy.Record) error {
			g.o.decision(r)
			line := g.scratch.Get().(*[]byte)
			defer g.scratch.Put(line)
			*line = r.AppendJSON((*line)[:0])
			return g.lines.Record(*line)
		},
		Recordable: g.lines.Full, Go: g.beside.Go,
		Prefetch: g.o.ahead, Platforms: cfg.Cache.Platforms, CacheSize: cfg.Cache.Size,
	})
	return next, nil
}

// keyPair reads the certificate that clients see, and its key; nil without TLS.
func keyPair(cfg *config.Config) (*tls.Certificate, error) {
	if cfg.TLS == nil {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: certificate %s with key %s: %w", cfg.TLS.Cert, cfg.TLS.Key, err)
	}
	return &pair, nil
}

// reload reads the configuration again and takes it over. After an error the one before goes on.
func (g *gateway) reload() error {
	cfg, err := config.Load(g.file)
	if err != nil {
		return err
	}
	old := g.current.Load()
	if fixed := needRestart(old.cfg, cfg); len(fixed) > 0 {
		g.log.Warn("configuration takes part of its effect at the next start only", zap.Strings("options", fixed))
	}
	next, err := g.generation(cfg)
	if err != nil {
		return err
	}
	// The sources that go end their refreshes before those that come begin: of a collection there is one writer.
	old.decider.closeAllBut(next.decider)
	g.current.Store(next)
	g.log.Info("configuration taken over", zap.Int("rules", len(cfg.Rules)), zap.Int("sources", len(cfg.Sources)))
	return nil
}

// needRestart names the options that differ and are read at the start only.
func needRestart(old, cfg *config.Config) []string {
	var fixed []string
	for name, same := range map[string]bool{
		"listen": old.Listen == cfg.Listen, "admin": old.Admin == cfg.Admin, "state": old.State == cfg.State,
		"cache":        old.Cache.Dir == cfg.Cache.Dir && old.Cache.Size == cfg.Cache.Size,
		"trust_memory": old.TrustMemory == cfg.TrustMemory, "audit": old.Audit == cfg.Audit, "tls": (old.TLS == nil) == (cfg.TLS == nil),
	} {
		if !same {
			fixed = append(fixed, name)
		}
	}
	return fixed
}

// watch reloads when it is told to, and when the configuration or a file that it names has changed, until ctx ends. What was
// rejected is tried again from time to time: it may have named a file that was not there yet.
func (g *gateway) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	tried, rejected, waited := g.current.Load().print, "", 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.hangup:
			g.reopenAudit(true)
			rejected = "" // whoever asks for a reload is told what came of it
		case <-tick.C:
			g.reopenAudit(false)
			waited++
			if fingerprint(g.file, g.current.Load().cfg) == tried && (rejected == "" || waited < retryTicks) {
				continue
			}
		}
		// Before anything is read: what changes from here on is noticed at the next tick.
		tried, waited = fingerprint(g.file, g.current.Load().cfg), 0
		err := g.reload()
		g.o.metrics.Reloaded(err == nil)
		if err == nil {
			rejected = ""
			continue
		}
		if err.Error() != rejected {
			rejected = err.Error()
			g.log.Error("configuration rejected, the one before goes on", zap.String("file", g.file), zap.Error(err))
		}
	}
}

// reopenAudit begins a new audit file when the old one was moved away, or when it is told to.
func (g *gateway) reopenAudit(told bool) {
	if g.audit == nil || !told && !g.audit.moved() {
		return
	}
	if err := g.audit.reopen(); err != nil {
		g.log.Error("audit log not reopened", zap.Error(err))
	}
}

// fingerprint is over the configuration file and the files it names, as they are now. What cannot be read counts as empty;
// it is for the reload to say so.
func fingerprint(file string, cfg *config.Config) [sha256.Size]byte {
	files := []string{file}
	if cfg.TLS != nil {
		files = append(files, cfg.TLS.Cert, cfg.TLS.Key)
	}
	for _, r := range cfg.Registries {
		files = append(files, r.CA)
	}
	for _, s := range cfg.Sources {
		files = append(files, sourceFiles(s)...)
	}
	return printOf(files)
}

// sourceFiles are the files whose content is part of a source.
func sourceFiles(s config.Source) []string {
	files := []string{s.CA, s.Root}
	if s.Publish != nil {
		files = append(files, s.Publish.PassphraseFile)
	}
	for _, p := range s.Pins {
		files = append(files, p.CA)
	}
	return files
}

func printOf(files []string) [sha256.Size]byte {
	sums := make(map[string]struct{}, len(files))
	for _, f := range files {
		data, _ := os.ReadFile(f) // see fingerprint
		sums[fmt.Sprintf("%q %x", f, sha256.Sum256(data))] = struct{}{}
	}
	sorted := make([]string, 0, len(sums))
	for s := range sums {
		sorted = append(sorted, s)
	}
	slices.Sort(sorted)
	return sha256.Sum256([]byte(strings.Join(sorted, "\n")))
}
