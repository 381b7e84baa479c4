package main

import (
	"slices"
	"time"
)

// A sample is what one target did in one row of one round.
type sample struct {
	Row    string `json:"row"`
	Target string `json:"target"`
	Round  int    `json:"round"` // from 0

	Requests int     `json:"requests"`      // that were answered
	Failed   int     `json:"failed"`        // clients that did not get what they had to
	Bytes    int64   `json:"bytes"`         // of bodies
	Seconds  float64 `json:"seconds"`       // from the first request to the last byte
	FirstMS  float64 `json:"first_byte_ms"` // the median of all requests
	CPU      float64 `json:"cpu_seconds"`   // of the target and its children, until they are idle again
	PeakMB   float64 `json:"peak_mb"`       // of resident memory, since the target was started

	Origin  tally `json:"origin"`
	Reread  tally `json:"reread"` // of the origin, when the content was asked for once more
	Content int64 `json:"content_bytes"`

	Error string `json:"error,omitempty"`
}

// A metric is one figure of a sample.
type metric struct {
	name  string
	kind  kind
	value func(s sample) float64
}

// A kind says what can be told of a figure.
type kind uint8

const (
	count  kind = iota // is what it is
	timing             // is told together with its ratio to bare
	cost               // likewise, and only a process of ours has one
)

// The metrics. They are functions because nothing global changes.
func cpuPerRequest() metric {
	return metric{"CPU us/request", cost, func(s sample) float64 { return s.CPU * 1e6 / float64(s.Requests) }}
}
func cpuPerGB() metric {
	return metric{"CPU s/GB", cost, func(s sample) float64 { return s.CPU * 1e9 / float64(s.Bytes) }}
}
func requestRate() metric {
	return metric{"requests/s", timing, func(s sample) float64 { return float64(s.Requests) / s.Seconds }}
}
func byteRate() metric {
	return metric{"MB/s", timing, func(s sample) float64 { return float64(s.Bytes) / 1e6 / s.Seconds }}
}
func totalTime() metric {
	return metric{"total ms", timing, func(s sample) float64 { return s.Seconds * 1e3 }}
}
func firstByte() metric {
	return metric{"first byte ms (p50)", timing, func(s sample) float64 { return s.FirstMS }}
}
func originRequests() metric {
	return metric{"origin requests", count, func(s sample) float64 { return float64(s.Origin.Requests) }}
}
func originManifests() metric {
	return metric{"origin manifest requests", count, func(s sample) float64 { return float64(s.Origin.Manifests) }}
}
func originPerRequest() metric {
	return metric{"origin requests per request", count, func(s sample) float64 { return float64(s.Origin.Requests) / float64(s.Requests) }}
}
func originBytes() metric {
	return metric{"origin bytes / size", count, func(s sample) float64 { return float64(s.Origin.BlobBytes) / float64(s.Content) }}
}
func refetched() metric {
	return metric{"origin bytes / size, re-read", count, func(s sample) float64 { return float64(s.Reread.BlobBytes) / float64(s.Content) }}
}
func failures() metric {
	return metric{"failed clients", count, func(s sample) float64 { return float64(s.Failed) }}
}
func peakMemory() metric {
	return metric{"MB", cost, func(s sample) float64 { return s.PeakMB }}
}

// A results is every sample of a run.
type results []sample

// find returns the sample of a row, target and round in which nothing failed.
func (r results) find(row, target string, round int) (sample, bool) {
	i := slices.IndexFunc(r, func(s sample) bool { return s.Row == row && s.Target == target && s.Round == round })
	if i < 0 || r[i].Error != "" {
		return sample{}, false
	}
	return r[i], true
}

// rounds is one more than the last round.
func (r results) rounds() int {
	n := 0
	for _, s := range r {
		n = max(n, s.Round+1)
	}
	return n
}

// median is that of all rounds.
func (r results) median(row, target string, m metric) (float64, bool) {
	var all []float64
	for round := range r.rounds() {
		if s, ok := r.find(row, target, round); ok {
			all = append(all, m.value(s))
		}
	}
	return median(all), len(all) > 0
}

// ratio is the median of the ratios of two targets within each round.
func (r results) ratio(row, target, base string, m metric) (float64, bool) {
	var all []float64
	for round := range r.rounds() {
		a, okA := r.find(row, target, round)
		b, okB := r.find(row, base, round)
		if okA && okB && m.value(b) > 0 {
			all = append(all, m.value(a)/m.value(b))
		}
	}
	return median(all), len(all) > 0
}

// worst is the greatest of all rounds.
func (r results) worst(row, target string, m metric) (float64, bool) {
	worst, found := 0.0, false
	for round := range r.rounds() {
		if s, ok := r.find(row, target, round); ok {
			worst, found = max(worst, m.value(s)), true
		}
	}
	return worst, found
}

// median returns the middle of values, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
