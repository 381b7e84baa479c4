package main

import (
	"context"
	"slices"
	"time"
)

const (
	requestClients = 16
	blobClients    = 4
	herdClients    = 64
)

// A row is one thing that is measured.
type row struct {
	name    string
	metrics []metric
	targets []string // nil is all that are installed
	latency time.Duration
	rate    int64 // of the origin, in bytes per second; 0 is no limit
	content int64 // bytes that the origin has to send at least
	cold    bool  // the content is asked for the first time, and once more afterwards
	measure func(ctx context.Context, t *instance) (sample, error)
	reread  []request
}

// A session is rows that are measured on the same instances. Its name is also that of its row of memory.
type session struct {
	name    string
	secure  bool
	targets []string  // nil is all that are installed
	warm    []request // for all
	rows    []row
}

// sessions are the whole comparison. All begin with the trust data of every repository in memory, where tagwarden has it.
func (b *bench) sessions() []session {
	c := b.catalogue
	return []session{
		{name: "requests", warm: slices.Concat(c.byDigest, c.byTag, c.small), rows: b.requestRows()},
		{name: "large", warm: slices.Concat(c.byTag, c.medium, c.large), rows: []row{
			b.blobRow(rowMedium, c.medium), b.blobRow(rowLarge(b.o.quick), c.large),
		}},
		{name: "tls", secure: true, targets: []string{tagwarden, bareName}, warm: slices.Concat(c.byTag, c.medium), rows: []row{
			b.blobRow(rowTLS, c.medium),
		}},
		{name: "cold", warm: c.byTag, rows: []row{b.coldRow(rowCold, 0, c.cold[0]), b.coldRow(rowColdFar, 50*time.Millisecond, c.cold[1])}},
		{name: "herd", warm: c.byTag, rows: b.herdRows()},
	}
}

// The rows that demands name.
const (
	rowDigest   = "manifest by digest"
	rowTag      = "signed tag"
	rowRefused  = "refused tag (bare: manifest by digest)"
	rowSmall    = "10 KB blob"
	rowMedium   = "64 MB blob, 4 clients"
	rowTLS      = "64 MB blob over TLS, 4 clients"
	rowCold     = "cold 256 MB blob"
	rowColdFar  = "cold 256 MB blob, origin at 50 ms"
	rowHerd     = "herd of 64, cold 64 MB blob"
	rowHerdSlow = "herd of 64, cold 64 MB blob, origin at 100 MB/s"
	rowTagHerd  = "64 clients, one cold tag, origin at 50 ms"
)

// rowLarge is the row of the largest blob.
func rowLarge(quick bool) string {
	if quick {
		return "256 MB blob, 4 clients"
	}
	return "1 GB blob, 4 clients"
}

func (b *bench) requestRows() []row {
	c := b.catalogue
	metrics := []metric{cpuPerRequest(), requestRate(), originPerRequest()}
	of := func(name string, requests []request) row {
		return row{name: name, metrics: metrics, measure: func(ctx context.Context, t *instance) (sample, error) {
			return load(ctx, t, requestClients, b.window, requests)
		}}
	}
	refused := of(rowRefused, nil)
	refused.targets = []string{tagwarden, bareName}
	refused.measure = func(ctx context.Context, t *instance) (sample, error) {
		if t.name == bareName {
			return load(ctx, t, requestClients, b.window, c.byDigest)
		}
		return load(ctx, t, requestClients, b.window, c.refused)
	}
	// The refused tags come last: who was refused a tag and then asks for digests makes tagwarden look whether they are the
	// same, at the origin.
	return []row{of(rowDigest, c.byDigest), of(rowTag, c.byTag), of(rowSmall, c.small), refused}
}

func (b *bench) blobRow(name string, blob []request) row {
	return row{name: name, metrics: []metric{cpuPerGB(), byteRate()}, measure: func(ctx context.Context, t *instance) (sample, error) {
		return load(ctx, t, blobClients, b.window, blob)
	}}
}

// coldRow pulls an image by digest. What is timed is its blob; the origin counts both.
func (b *bench) coldRow(name string, latency time.Duration, p pull) row {
	return row{
		name: name, latency: latency, cold: true, content: p.layer.length, reread: []request{p.manifest, p.layer},
		metrics: []metric{totalTime(), firstByte(), cpuPerGB(), originRequests(), originBytes(), refetched()},
		measure: func(ctx context.Context, t *instance) (sample, error) {
			c, err := connect(ctx, t.addr, t.secure)
			if err != nil {
				return sample{}, err
			}
			defer c.Close()
			if _, err := c.get(p.manifest); err != nil {
				return sample{}, err
			}
			a, err := c.get(p.layer)
			return sample{Requests: 1, Bytes: a.length, Seconds: a.total.Seconds(), FirstMS: milliseconds(a.first)}, err
		},
	}
}

func (b *bench) herdRows() []row {
	c := b.catalogue
	of := func(name string, rate int64, latency time.Duration, q request) row {
		r := row{
			name: name, rate: rate, latency: latency, cold: true, content: q.length, reread: []request{q},
			metrics: []metric{totalTime(), firstByte(), originBytes(), originRequests(), failures()},
			measure: func(ctx context.Context, t *instance) (sample, error) { return herd(ctx, t, herdClients, q) },
		}
		r.targets = []string{tagwarden, bareName, nginx}
		if !b.o.quick {
			r.targets = append(r.targets, dockerRegistry)
		}
		return r
	}
	tag := of(rowTagHerd, 0, 50*time.Millisecond, c.coldTag)
	tag.targets = append(tag.targets, direct)
	tag.metrics = []metric{totalTime(), originManifests(), originRequests(), failures()}
	return []row{tag, of(rowHerd, 0, 0, c.herds[0]), of(rowHerdSlow, 100e6, 0, c.herds[1])}
}
