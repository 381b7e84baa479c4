package admin

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tagwarden/tagwarden/trust"
)

const (
	// maxCollections is how many collections are remembered; beyond it the ones refreshed longest ago are forgotten.
	maxCollections = 4096
	// forgotten is how long after its last refresh, good or bad, a collection is taken to be out of use: nobody asks for
	// it, so that its end is nobody's concern.
	forgotten = time.Hour
)

// expiries is the metric of how long verified trust data lasts: for each source and role, the least over the collections
// in use. It is computed when it is asked for, so that it runs down while nothing is refreshed.
type expiries struct {
	now  func() time.Time
	desc *prometheus.Desc
	seen *lru.Cache[collection, validity]
}

// A collection is one collection of one source.
type collection struct{ source, name string }

// A validity is when each kind of role of a collection ends.
type validity struct {
	refreshed time.Time
	ends      [len(roles)]time.Time // zero where there is none
}

// roles are the words that stand for roles in labels. Any role that is none of the four is a delegated one.
var roles = [...]string{"root", "timestamp", "snapshot", "targets", "delegation"}

func newExpiries(now func() time.Time) *expiries {
	seen, _ := lru.New[collection, validity](maxCollections) // fails only for a size below one
	return &expiries{
		now:  now,
		seen: seen,
		desc: prometheus.NewDesc("tagwarden_metadata_expiry_seconds",
			"Time until verified trust data expires, the least over the collections in use; negative afterwards.", []string{"source", "role"}, nil),
	}
}

// observe takes over the validity of a collection that was refreshed. A refresh that failed leaves the earlier one.
func (x *expiries) observe(e trust.Event) {
	key := collection{e.Source, e.Collection}
	v, _ := x.seen.Get(key)
	v.refreshed = x.now()
	if e.Err == nil {
		v.ends = ends(e.Versions)
	}
	x.seen.Add(key, v)
}

// ends returns when each kind of role ends first.
func ends(versions []trust.RoleVersion) (ends [len(roles)]time.Time) {
	for _, v := range versions {
		i := kindOf(v.Role)
		if ends[i].IsZero() || v.Expires.Before(ends[i]) {
			ends[i] = v.Expires
		}
	}
	return ends
}

// kindOf returns which of roles a role is.
func kindOf(role string) int {
	for i, r := range roles {
		if r == role {
			return i
		}
	}
	return len(roles) - 1
}

// Describe implements prometheus.Collector.
func (x *expiries) Describe(ch chan<- *prometheus.Desc) { ch <- x.desc }

// Collect implements prometheus.Collector.
func (x *expiries) Collect(ch chan<- prometheus.Metric) {
	now := x.now()
	least := map[string]*[len(roles)]time.Time{}
	for _, key := range x.seen.Keys() {
		v, ok := x.seen.Peek(key)
		if !ok || now.Sub(v.refreshed) > forgotten {
			continue
		}
		l := least[key.source]
		if l == nil {
			l = new([len(roles)]time.Time)
			least[key.source] = l
		}
		for i, t := range v.ends {
			if !t.IsZero() && (l[i].IsZero() || t.Before(l[i])) {
				l[i] = t
			}
		}
	}
	for source, l := range least {
		for i, t := range l {
			if !t.IsZero() {
				ch <- prometheus.MustNewConstMetric(x.desc, prometheus.GaugeValue, t.Sub(now).Seconds(), source, roles[i])
			}
		}
	}
}
