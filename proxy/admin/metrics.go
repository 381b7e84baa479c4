package admin

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/tagwarden/tagwarden/trust"
)

// MetricsOptions are what Metrics ask for at every scrape. The functions may be called by several scrapes at once.
type MetricsOptions struct {
	// Version is that of this build.
	Version string
	// CacheBytes returns how many bytes of content are in the cache. Nil: there is no such metric.
	CacheBytes func() int64
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Metrics are the figures of one gateway. Their names and labels are a stable interface; labels are words of the config
// or of this program and never what a client, a registry or a source sent. All methods are safe for concurrent use and do
// not block.
type Metrics struct {
	registry  *prometheus.Registry
	decisions *known[decision, prometheus.Counter]
	refreshes *prometheus.CounterVec
	up        *prometheus.GaugeVec
	expiries  *expiries
	cache     *known[lookup, prometheus.Counter]
	befell    *prometheus.CounterVec
	upstream  *prometheus.CounterVec
	durations *known[string, prometheus.Observer] // by op
	security  *prometheus.CounterVec
	dropped   prometheus.Counter
	reloaded  prometheus.Gauge
}

// The labels of counters that every request moves.
type (
	decision struct{ rule, mode, verdict, reason string }
	lookup   struct{ kind, result string }
)

// NewMetrics returns the metrics of a gateway that has done nothing yet.
func NewMetrics(o MetricsOptions) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	decisions := counters("decisions_total", "Decisions on tags and manifests, and refused lists of tags.", "rule", "mode", "verdict", "reason")
	lookups := counters("cache_requests_total", "Content asked of the cache.", "kind", "result")
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tagwarden_request_duration_seconds", Help: "Time from request to the end of the answer.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60, 300},
	}, []string{"op"})
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: newKnown(func(d decision) prometheus.Counter {
			return decisions.WithLabelValues(d.rule, d.mode, d.verdict, d.reason)
		}),
		refreshes: counters("source_refresh_total", "Refreshes of trust data: changed, unchanged, or the reason why one failed.", "source", "result"),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tagwarden_source_up", Help: "Whether the source answered when it was asked last.",
		}, []string{"source"}),
		expiries:  newExpiries(o.Now),
		cache:     newKnown(func(l lookup) prometheus.Counter { return lookups.WithLabelValues(l.kind, l.result) }),
		befell:    counters("cache_events_total", "What went wrong in the cache.", "kind"),
		upstream:  counters("upstream_requests_total", "HTTP exchanges with registries, by class of the answer.", "registry", "code"),
		durations: newKnown(func(op string) prometheus.Observer { return durations.WithLabelValues(op) }),
		security:  counters("security_events_total", "Events that somebody may have caused on purpose.", "kind"),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tagwarden_audit_dropped_total", Help: "Decisions that are missing in the audit log.",
		}),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tagwarden_config_last_reload_successful", Help: "Whether the configuration that is there was taken over: 0 while it is rejected, and the one before goes on.",
		}),
	}
	m.reloaded.Set(1)
	m.registry.MustRegister(
		decisions, m.refreshes, m.up, m.expiries, lookups, m.befell, m.upstream, durations, m.security, m.dropped, m.reloaded, buildInfo(o.Version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if o.CacheBytes != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tagwarden_cache_bytes", Help: "Content in the cache.",
		}, func() float64 { return float64(o.CacheBytes()) }))
	}
	// An alert on an increase needs the zero before it.
	for _, kind := range securityEvents() {
		m.security.WithLabelValues(kind)
	}
	for _, kind := range []string{"fill_failed", "damaged", "count_failed", "evict_failed", "uncached"} {
		m.befell.WithLabelValues(kind)
	}
	return m
}

// securityEvents are the kinds of security events that a gateway can have.
func securityEvents() []string {
	return []string{
		string(trust.EventVerification), string(trust.EventVanished), string(trust.EventStateDamaged),
		string(trust.EventFirstUse), string(trust.EventPinChanged), string(trust.EventLength), string(trust.EventClockBehind), "upstream_invalid", "cache_damaged", "bypass_suspected",
	}
}

// counters returns a family of counters.
func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tagwarden_" + name, Help: help}, labels)
}

// buildInfo returns the metric that is always 1.
func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tagwarden_build_info", Help: "Always 1; the label says which build runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	g.Set(1)
	return g
}

// handler serves the metrics. Compression is left to nobody: the answer is small, and so are the means of an attacker.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		DisableCompression: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
}

// Decision counts one decision on a tag or manifest. No rule counts as rule "none"; the reason is empty when allowed.
func (m *Metrics) Decision(rule, mode, verdict, reason string) {
	if rule == "" {
		rule = "none"
	}
	m.decisions.get(decision{rule, mode, verdict, reason}).Inc()
}

// Trust counts what happened to trust data in the background.
func (m *Metrics) Trust(e trust.Event) {
	if e.Kind != trust.EventRefresh {
		m.Security(string(e.Kind))
		return
	}
	m.expiries.observe(e)
	result := "unchanged"
	switch {
	case e.Err != nil:
		result = string(trust.ReasonOf(e.Err))
	case e.Changed:
		result = "changed"
	}
	m.refreshes.WithLabelValues(e.Source, result).Inc()
	up := 1.0
	if result == string(trust.SourceUnreachable) {
		up = 0
	}
	m.up.WithLabelValues(e.Source).Set(up)
}

// Cache counts content of a kind, such as "blob", that was asked of the cache.
func (m *Metrics) Cache(kind string, hit bool) {
	result := "miss"
	if hit {
		result = "hit"
	}
	m.cache.get(lookup{kind, result}).Inc()
}

// CacheEvent counts what went wrong in the cache, by kind, such as "uncached".
func (m *Metrics) CacheEvent(kind string) { m.befell.WithLabelValues(kind).Inc() }

// Upstream counts one exchange with a registry; the code is the class of the answer, "2xx".
func (m *Metrics) Upstream(registry, code string) { m.upstream.WithLabelValues(registry, code).Inc() }

// Answered counts one answered request for an op, such as "manifest".
func (m *Metrics) Answered(op string, took time.Duration) {
	m.durations.get(op).Observe(took.Seconds())
}

// Reloaded tells whether the configuration was taken over, or was rejected.
func (m *Metrics) Reloaded(taken bool) {
	value := 0.0
	if taken {
		value = 1
	}
	m.reloaded.Set(value)
}

// Security counts one security event of a kind.
func (m *Metrics) Security(kind string) { m.security.WithLabelValues(kind).Inc() }

// AuditDropped counts one decision that the audit log could not take.
func (m *Metrics) AuditDropped() { m.dropped.Inc() }
