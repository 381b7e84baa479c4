package main

import (
	"io"

	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy"
	"github.com/tagwarden/tagwarden/proxy/admin"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLog returns the log of the process: JSON with fixed keys.
func newLog(w io.Writer) *zap.Logger {
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey, e.EncodeTime = "time", "message", zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(e), zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel))
}

// An observer turns what the rooms tell into log lines and figures.
type observer struct {
	log     *zap.Logger
	metrics *admin.Metrics
	hush    *hush
	ahead   *proxy.Prefetch
}

// trust observes refreshes and the security events of trust data.
func (o *observer) trust(e trust.Event) {
	o.metrics.Trust(e)
	fields := []zap.Field{zap.String("source", e.Source), zap.String("collection", e.Collection), zap.Error(e.Err)}
	switch {
	case e.Kind != trust.EventRefresh:
		o.say("security event", string(e.Kind), e.Source, fields...)
	case e.Err != nil:
		o.say("refresh failed", string(trust.ReasonOf(e.Err)), e.Source, fields...)
	case e.Changed:
		o.ahead.Changed(e.Source)
		for _, v := range e.Versions[:min(len(e.Versions), 4)] { // root, timestamp, snapshot and targets come first
			fields = append(fields, zap.Int64(v.Role, v.Version))
		}
		o.log.Info("trust data changed", append(fields, zap.Int("roles", len(e.Versions)))...)
	}
}

// say logs a warning of a kind about one part, once a minute.
func (o *observer) say(message, kind, part string, fields ...zap.Field) {
	if held, ok := o.hush.pass(message + " " + kind + " " + part); ok {
		o.log.Warn(message, append(fields, zap.String("kind", kind), zap.Int("held_back", held))...)
	}
}

// state observes damaged files of the state folder.
func (o *observer) state(source, collection string, err error) {
	o.log.Error("state damaged", zap.String("source", source), zap.String("collection", collection), zap.Error(err))
	o.metrics.Security(string(trust.EventStateDamaged))
}

// cache observes what happens in the content store.
func (o *observer) cache(e cache.Event) {
	o.say("cache", string(e.Kind), "", zap.String("digest", e.Digest.String()), zap.Error(e.Err))
	o.metrics.CacheEvent(string(e.Kind))
	if e.Kind == cache.Damaged {
		o.metrics.Security("cache_damaged")
	}
}

// decision counts a decision. One that rests on grace says so in the place of a reason.
func (o *observer) decision(r proxy.Record) {
	reason := r.Reason
	if r.Grace {
		reason = "grace"
	}
	o.metrics.Decision(r.Rule, r.Mode, r.Verdict, reason)
}

// sent observes every exchange with a registry or source.
func (o *observer) sent(e upstream.Event) { o.metrics.Upstream(e.Name, e.Code) }

// dropped observes decisions that are missing in the audit log.
func (o *observer) dropped(lines int, err error) {
	for range lines {
		o.metrics.AuditDropped()
	}
	o.say("audit lines lost", "audit", "", zap.Error(err))
}

// proxy observes requests.
func (o *observer) proxy(e proxy.Event) {
	switch e.Kind {
	case proxy.Answered:
		o.metrics.Answered(e.Op, e.Took)
	case proxy.Hit, proxy.Miss:
		o.metrics.Cache(e.Op, e.Kind == proxy.Hit)
	case proxy.PrefetchFailed:
		o.say("not fetched ahead", string(e.Kind), "", zap.Error(e.Err))
	default:
		o.metrics.Security(string(e.Kind))
		o.say("security event", string(e.Kind), e.Op, zap.Error(e.Err))
	}
}
