package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// load has so many clients ask for one request after the other, each beginning at another, until the window is over. The
// answers under way then are waited for. Each client asks once at least.
func load(ctx context.Context, t *instance, clients int, window time.Duration, requests []request) (sample, error) {
	begin := time.Now()
	end := begin.Add(window)
	return gather(begin, clients, func(i int, s *series) error {
		c, err := connect(ctx, t.addr, t.secure)
		if err != nil {
			return err
		}
		defer func() { c.Close() }()
		for n := i * len(requests) / clients; ; n++ {
			a, err := c.get(requests[n%len(requests)])
			if err != nil {
				return err
			}
			s.add(a, a.first)
			if time.Now().After(end) {
				return nil
			}
			if a.closes {
				c.Close()
				if c, err = connect(ctx, t.addr, t.secure); err != nil {
					return err
				}
			}
		}
	})
}

// herd has so many clients ask for the same thing at the same moment.
func herd(ctx context.Context, t *instance, clients int, q request) (sample, error) {
	all := make([]*connection, clients)
	for i := range all {
		c, err := connect(ctx, t.addr, t.secure)
		if err != nil {
			return sample{}, err
		}
		defer c.Close()
		all[i] = c
	}
	begin := time.Now()
	return gather(begin, clients, func(i int, s *series) error {
		late := time.Since(begin) // this client begins when the machine gets to it, its wait does not
		a, err := all[i].get(q)
		if err == nil {
			s.add(a, late+a.first)
		}
		return err
	})
}

// A series is what one client got.
type series struct {
	bytes int64
	first []time.Duration
}

func (s *series) add(a answer, first time.Duration) {
	s.bytes += a.length
	s.first = append(s.first, first)
}

// gather runs clients and sums up what they got. The error is that of one of those that failed.
func gather(begin time.Time, clients int, client func(i int, s *series) error) (sample, error) {
	all, errs := make([]series, clients), make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { errs[i] = client(i, &all[i]) })
	}
	wg.Wait()
	s := sample{Seconds: time.Since(begin).Seconds()}
	var first []float64
	for _, one := range all {
		s.Bytes += one.bytes
		s.Requests += len(one.first)
		for _, d := range one.first {
			first = append(first, milliseconds(d))
		}
	}
	s.FirstMS = median(first)
	var failed error
	for _, err := range errs {
		if err != nil {
			s.Failed++
			failed = err
		}
	}
	return s, failed
}

// once asks for each thing once, and checks its bytes where their digest is known.
func once(ctx context.Context, t *instance, requests ...request) error {
	c, err := connect(ctx, t.addr, t.secure)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	for _, q := range requests {
		if q.digest != "" {
			c.hash = digest.SHA256.Hash()
		}
		a, err := c.get(q)
		if err != nil {
			return err
		}
		if q.digest != "" {
			if got := digest.NewDigest(digest.SHA256, c.hash); got != q.digest {
				return fmt.Errorf("%s: wrong bytes, they are %s", q.path, got)
			}
		}
		c.hash = nil
		if a.closes {
			c.Close()
			if c, err = connect(ctx, t.addr, t.secure); err != nil {
				return err
			}
		}
	}
	return nil
}
