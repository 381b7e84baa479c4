package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/signing"
)

const (
	// demoRegistry is what the embedded registry is called.
	demoRegistry = "registry.example"
	// demoPassphrase opens the demo's keys, which live as long as the demo does.
	demoPassphrase = "demo"
	// demoDrain is how long what is under way may go on after the signal to end.
	demoDrain = 2 * time.Second
)

func demoCommand() *cobra.Command {
	var listen, admin string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a gateway, a small registry and a signed repository in one process, offline, with nothing to install",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("listen") {
				listen = free(listen)
			}
			if !c.Flags().Changed("admin") {
				admin = free(admin)
			}
			// A terminal that goes away takes the demo with it.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP)
			defer stop()
			dir, err := os.MkdirTemp("", "tagwarden-demo-")
			if err != nil {
				return err
			}
			return errors.Join(demo(ctx, dir, listen, admin, c.OutOrStdout()), os.RemoveAll(dir))
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:5000", "`host:port` of the registry API; a free port if this one is taken and none was asked for")
	c.Flags().StringVar(&admin, "admin", "127.0.0.1:5001", "`host:port` of health and metrics; likewise")
	return c
}

// free returns the address if nobody listens there, else the same host with a port that is free.
func free(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		host, _, _ := net.SplitHostPort(address) // it is one of our own
		return net.JoinHostPort(host, "0")
	}
	l.Close()
	return address
}

// demo runs until ctx ends, and leaves nothing but the folder.
func demo(ctx context.Context, dir, listen, admin string, out io.Writer) error {
	var registry upstreamtest.Registry
	images := demoImages{
		signed:   registry.PushIndex("hello", "1.0", "hello, this was signed\n"),
		unsigned: registry.PushImage("hello", "2.0", "hello, nobody has signed this\n"),
	}
	registry.PushImage("motd", "latest", "nobody has signed this either\n")
	where, stop, err := host(&registry)
	if err != nil {
		return err
	}
	defer stop()
	if err := signDemo(ctx, dir, images); err != nil {
		return err
	}
	file := filepath.Join(dir, "tagwarden.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, demoConfig, listen, admin, demoRegistry, where), 0o600); err != nil {
		return err
	}
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log, err := openLogFile(filepath.Join(dir, "gateway.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	g := newGateway(file, newLog(log))
	g.drain = demoDrain
	g.listening = func(door, desk net.Addr) {
		// What it prints is the demo: without somewhere to print to, there is nothing to go on for.
		_ = showDemo(ctx, out, demoPage{dir: dir, file: file, door: door.String(), desk: desk.String(), images: images})
	}
	err = g.serve(ctx, cfg, out)
	if ctx.Err() != nil {
		return nil // told to end, whatever was still under way
	}
	return err
}

// demoImages are what the embedded registry holds under hello.
type demoImages struct{ signed, unsigned upstreamtest.Image }

// host serves a registry on a free port of this machine.
func host(h http.Handler) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l) // ends by Close, and has nothing to say then
	return l.Addr().String(), func() { s.Close() }, nil
}

// signDemo makes a repository with one signer, who has signed one tag.
func signDemo(ctx context.Context, dir string, images demoImages) error {
	passphrase := func(signing.Ask) ([]byte, error) { return []byte(demoPassphrase), nil }
	keys := signing.OpenKeychain(filepath.Join(dir, "keys"), passphrase)
	if _, err := signing.Init(signing.InitOptions{Dir: filepath.Join(dir, "trust"), Keys: keys, RootKeys: 1, RootThreshold: 1}); err != nil {
		return err
	}
	key, err := keys.Generate("demo", signing.Ed25519)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "passphrase"), []byte(demoPassphrase+"\n"), 0o600); err != nil {
		return err
	}
	r, err := signing.OpenDirectory(filepath.Join(dir, "trust"), signing.Options{Keys: keys})
	if err != nil {
		return err
	}
	_, err = r.Change(ctx, func(e *signing.Edit) error {
		if err := e.AddSigner(signing.Signer{Name: "demo", Keys: []signing.PublicKey{key}, Repositories: []string{demoRegistry + "/**"}}); err != nil {
			return err
		}
		_, err := e.Sign([]signing.Entry{{
			Name:   trust.Name{Repository: demoRegistry + "/hello", Tag: "1.0"},
			Target: trust.Target{Digest: images.signed.Digest, Size: int64(len(images.signed.Manifest)), MediaType: images.signed.MediaType},
		}}, "")
		return err
	})
	return err
}

// demoConfig is the configuration of the demo: listen, admin, and the registry's name and address.
const demoConfig = `# The demo's gateway. It is removed when the demo ends.
listen: %q
admin: {listen: %q}
state: state
cache: {dir: cache, size: 64MiB}
audit: {file: audit.jsonl}

registries:
  %[3]s: {url: "http://%[4]s"}
default_registry: %[3]s

sources:
  site: {tuf: ./trust/metadata, root: ./trust/metadata/1.root.json, publish: {passphrase_file: passphrase}}

rules:
  - match: %[3]s/**
`
