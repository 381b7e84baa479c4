package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy"
	"github.com/tagwarden/tagwarden/proxy/admin"
	"github.com/tagwarden/tagwarden/proxy/audit"
	"github.com/tagwarden/tagwarden/trust/state"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	// lockWait is how long a start waits for the process before it to let the state folder go.
	lockWait = 30 * time.Second
	// drainTime is how long requests under way may go on after the signal to end.
	drainTime = 5 * time.Minute
	// tellEvery is how often clients are told to go while it drains.
	tellEvery = time.Second
)

func serveCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			out := newSpill(c.ErrOrStderr())
			defer func() {
				patience, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				out.close(patience.Done())
			}()
			return newGateway(*file, newLog(out)).serve(c.Context(), cfg, c.OutOrStdout())
		},
	}
}

// newGateway returns a gateway that reads its configuration again from the file.
func newGateway(file string, log *zap.Logger) *gateway {
	return &gateway{
		file: file, log: log, newID: newIDs(), scratch: sync.Pool{New: func() any { return new([]byte) }}, hangup: make(chan os.Signal, 1),
		wall: time.Now, ticks: sinceNow(),
		drain: drainTime, listening: func(net.Addr, net.Addr) {},
	}
}

// serve runs the gateway until ctx ends, and then lets what is under way finish.
func (g *gateway) serve(ctx context.Context, cfg *config.Config, stdout io.Writer) (err error) {
	// From the first moment to the last: a hangup must not end the process.
	signal.Notify(g.hangup, syscall.SIGHUP)
	defer signal.Stop(g.hangup)
	g.o = &observer{log: g.log, hush: newHush(time.Now), ahead: proxy.NewPrefetch(), metrics: admin.NewMetrics(admin.MetricsOptions{
		Version: version, CacheBytes: func() int64 { return g.content.Stats().Bytes },
	})}
	if g.kept, err = g.openState(ctx, cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.kept.Close()) }()
	g.clock = g.kept.Clock(g.wall, g.ticks)
	if g.content, err = cache.Open(cache.Options{Dir: cfg.Cache.Dir, Size: cfg.Cache.Size, Observe: g.o.cache}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.content.Close(context.Background())) }()
	closeLines, err := g.openAudit(cfg, stdout)
	if err != nil {
		return err
	}
	defer closeLines()
	first, err := g.generation(cfg)
	if err != nil {
		return err
	}
	g.current.Store(first)
	defer func() {
		g.current.Load().decider.close()
		// PRODUCT: invariant 10, decisions that are still awaited are recorded before the log closes.
		g.beside.Wait()
	}()
	return g.listen(ctx, cfg)
}

// openState takes the state folder. A process before it may still be ending: that is waited for, and said at once.
func (g *gateway) openState(ctx context.Context, cfg *config.Config) (*state.Store, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, fmt.Errorf("waited %v for it to end", lockWait))
	defer cancel()
	return state.Open(ctx, state.Options{Dir: cfg.State, Observe: g.o.state, Waiting: func(holder string) {
		g.log.Warn("state folder is in use, waiting", zap.String("state", cfg.State), zap.String("holder", holder), zap.Time("until", time.Now().Add(lockWait)))
	}})
}

// openAudit opens the audit log, and returns how to close it.
func (g *gateway) openAudit(cfg *config.Config, stdout io.Writer) (done func(), err error) {
	w := stdout
	if cfg.Audit.File != "" {
		if g.audit, err = openLogFile(cfg.Audit.File); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		w = g.audit
	}
	g.lines = audit.New(w, audit.Options{Refuse: cfg.Audit.OnFull == config.Refuse, Dropped: g.o.dropped})
	return func() {
		g.lines.Close()
		if g.audit == nil {
			return
		}
		if err := g.audit.Close(); err != nil {
			g.log.Error("audit log not closed", zap.Error(err))
		}
	}, nil
}

// namesOf says which registry a request means.
func namesOf(cfg *config.Config) proxy.Names {
	n := proxy.Names{Hosts: cfg.Hosts, Registries: make(map[string]string), Default: cfg.DefaultRegistry}
	for name, r := range cfg.KnownRegistries() {
		n.Registries[name] = r.Path
	}
	return n
}

// listen serves both ports until ctx ends or one of them fails.
func (g *gateway) listen(ctx context.Context, cfg *config.Config) error {
	registry, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	operators, err := net.Listen("tcp", cfg.Admin.Listen)
	if err != nil {
		return errors.Join(err, registry.Close())
	}
	ready := func() map[string]error {
		return map[string]error{"config": nil, "state": g.kept.Writable(), "audit": g.lines.Full()}
	}
	door, desk := proxy.Server(g, g.log), proxy.Server(admin.Handler(ready, g.o.metrics, g.serveExplain), g.log)
	door.TLSConfig = &tls.Config{GetCertificate: g.certificate, MinVersion: tls.VersionTLS12}
	g.log.Info("listening", zap.String("registry", registry.Addr().String()), zap.String("admin", operators.Addr().String()),
		zap.Bool("tls", cfg.TLS != nil), zap.String("version", version))
	ctx, cancel := context.WithCancel(ctx)
	var all errgroup.Group
	all.Go(func() error {
		defer cancel()
		if cfg.TLS != nil {
			return closed(door.ServeTLS(registry, "", ""))
		}
		return closed(door.Serve(registry))
	})
	all.Go(func() error { defer cancel(); return closed(desk.Serve(operators)) })
	all.Go(func() error { g.watch(ctx); return nil })
	all.Go(func() error { g.watchClock(ctx); return nil })
	all.Go(func() error {
		g.o.ahead.Run(ctx, func() *proxy.Handler { return g.current.Load().door })
		return nil
	})
	all.Go(func() error { g.listening(registry.Addr(), operators.Addr()); return nil })
	all.Go(func() error {
		<-ctx.Done()
		g.log.Info("draining")
		ctx, cancel := context.WithTimeout(context.Background(), g.drain)
		defer cancel()
		// The admin port goes last, so that it tells how the drain goes on.
		return errors.Join(shutdown(ctx, door), shutdown(ctx, desk))
	})
	return all.Wait()
}

// shutdown ends a server when the answers under way have ended, or when ctx does. Shutdown tells only those HTTP/2
// connections to go that it knows of when it is called; one whose handshake ends a moment later would be waited for although
// it asks for nothing. So it is called again and again.
func shutdown(ctx context.Context, s *http.Server) error {
	for {
		turn, cancel := context.WithTimeout(ctx, tellEvery)
		err := s.Shutdown(turn)
		over := turn.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !over {
			return err
		}
	}
}

// closed returns nil for a server that was told to end.
func closed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
