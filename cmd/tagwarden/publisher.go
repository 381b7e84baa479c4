package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/publish"
	"github.com/tagwarden/tagwarden/trust/signing"
	"go.uber.org/zap"
)

// renewAtLeast is how often a publisher looks whether something must be signed again; renewAgain is the pause after a
// failure.
const (
	renewAtLeast = time.Minute
	renewAgain   = 10 * time.Second
)

// A publisher publishes the repository in one folder for as long as the process has a source of it.
type publisher struct {
	*signing.Publisher
	dir  string
	stop context.CancelFunc
	done sync.WaitGroup
}

// publisherOf returns the publisher of the source's folder: the one that runs, since there is exactly one of a repository,
// or a new one.
func (o trustOptions) publisherOf(s config.Source) (*publisher, error) {
	if o.before != nil {
		for _, old := range o.before.sources {
			if old.publisher != nil && old.publisher.dir == s.Dir {
				return old.publisher, nil
			}
		}
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), lockWait, fmt.Errorf("waited %v for it to end", lockWait))
	defer cancel()
	root, err := os.ReadFile(s.Root)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	p, err := signing.OpenPublisher(ctx, signing.PublisherOptions{
		Dir: s.Dir, Root: root, Passphrase: passphraseIn(s.Publish.PassphraseFile),
		Waiting: func() {
			o.publish.Warn("repository has another publisher, waiting", zap.String("folder", s.Dir), zap.Time("until", time.Now().Add(lockWait)))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	started := &publisher{Publisher: p, dir: s.Dir, stop: stop}
	started.done.Go(func() { started.renew(running, o.publish) })
	return started, nil
}

// passphraseIn reads the passphrase from a file, whose last line end is not part of it.
func passphraseIn(file string) signing.Passphrase {
	return func(signing.Ask) ([]byte, error) {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return bytes.TrimRight(data, "\r\n"), nil
	}
}

// renew signs snapshot and timestamp again before they end, until ctx ends.
func (p *publisher) renew(ctx context.Context, log *zap.Logger) {
	for {
		wait := renewAtLeast
		next, err := p.Renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = renewAgain
			log.Error("repository not renewed", zap.String("folder", p.dir), zap.Error(err))
		default:
			wait = max(min(wait, time.Until(next)), time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// close ends the renewals and gives the repository up.
func (p *publisher) close() error {
	p.stop()
	p.done.Wait()
	return p.Close()
}

// Put implements publish.Repository.
func (p *publisher) Put(ctx context.Context, file string, data []byte) error {
	err := p.Publisher.Put(ctx, file, data)
	if errors.Is(err, signing.ErrConflict) {
		return fmt.Errorf("%w: %w", publish.ErrConflict, err)
	}
	return err
}

// published returns what serves the repositories that are published.
func (t *trustHalf) published(log *zap.Logger) *publish.Handler {
	all := make(map[string]publish.Repository)
	for name, s := range t.sources {
		if s.publisher != nil {
			all[name] = s.publisher
		}
	}
	return publish.New(all, log)
}
