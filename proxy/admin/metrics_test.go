package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// scrape returns the lines of the metrics whose names begin with one of the prefixes, comments left out.
func scrape(t *testing.T, m *Metrics, prefixes ...string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(nil, m, http.NotFound).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	return slices.DeleteFunc(strings.Split(w.Body.String(), "\n"), func(line string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, "tagwarden_"+p) })
	})
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range want {
		want[i] = "tagwarden_" + want[i]
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each method moves its own metric, under the names and labels that are promised.
func TestMetrics(t *testing.T) {
	m := NewMetrics(MetricsOptions{Version: "v1", CacheBytes: func() int64 { return 42 }, Now: func() time.Time { return start }})
	m.Decision("corp", "enforce", "deny", "unsigned_tag")
	m.Decision("corp", "enforce", "deny", "unsigned_tag")
	m.Decision("", "none", "deny", "no_rule")
	m.Decision("corp", "enforce", "allow", "")
	equal(t, scrape(t, m, "decisions"),
		`decisions_total{mode="enforce",reason="",rule="corp",verdict="allow"} 1`,
		`decisions_total{mode="enforce",reason="unsigned_tag",rule="corp",verdict="deny"} 2`,
		`decisions_total{mode="none",reason="no_rule",rule="none",verdict="deny"} 1`)
	m.Cache("blob", true)
	m.Cache("blob", false)
	m.Cache("manifest", true)
	m.CacheEvent("uncached")
	equal(t, scrape(t, m, "cache_"),
		`cache_bytes 42`,
		`cache_events_total{kind="count_failed"} 0`, `cache_events_total{kind="damaged"} 0`, `cache_events_total{kind="evict_failed"} 0`,
		`cache_events_total{kind="fill_failed"} 0`, `cache_events_total{kind="uncached"} 1`,
		`cache_requests_total{kind="blob",result="hit"} 1`, `cache_requests_total{kind="blob",result="miss"} 1`, `cache_requests_total{kind="manifest",result="hit"} 1`)
	m.Upstream("docker.io", "2xx")
	m.Answered("manifest", 3*time.Millisecond)
	m.AuditDropped()
	equal(t, scrape(t, m, "upstream", "audit", "build", "request_duration_seconds_count", `request_duration_seconds_bucket{op="manifest",le="0.005"`),
		`audit_dropped_total 1`, `build_info{version="v1"} 1`, `request_duration_seconds_bucket{op="manifest",le="0.005"} 1`, `request_duration_seconds_count{op="manifest"} 1`,
		`upstream_requests_total{code="2xx",registry="docker.io"} 1`)
}

// Until a configuration is rejected, all is well; and again when one is taken over.
func TestReloaded(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	equal(t, scrape(t, m, "config"), `config_last_reload_successful 1`)
	m.Reloaded(false)
	equal(t, scrape(t, m, "config"), `config_last_reload_successful 0`)
	m.Reloaded(true)
	equal(t, scrape(t, m, "config"), `config_last_reload_successful 1`)
}

// An alert on an increase needs the zero before it, so every kind is there from the start.
func TestSecurity(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	m.Security("upstream_invalid")
	m.Trust(trust.Event{Kind: trust.EventFirstUse, Source: "corp", Collection: "docker.io/library/secret"})
	equal(t, scrape(t, m, "security"),
		`security_events_total{kind="bypass_suspected"} 0`, `security_events_total{kind="cache_damaged"} 0`, `security_events_total{kind="clock_behind"} 0`, `security_events_total{kind="length_differs"} 0`,
		`security_events_total{kind="pin_changed"} 0`, `security_events_total{kind="state_damaged"} 0`,
		`security_events_total{kind="trust_data_vanished"} 0`, `security_events_total{kind="trusted_on_first_use"} 1`,
		`security_events_total{kind="upstream_invalid"} 1`, `security_events_total{kind="verification_failed"} 0`)
}

func TestRefreshes(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	refusal := func(r trust.Reason) error { return &trust.Refusal{Reason: r, Text: "x"} }
	for _, c := range []struct {
		changed bool
		err     error
		up      string
	}{
		{true, nil, "1"}, {false, nil, "1"}, {false, errors.New("no route"), "0"}, {false, refusal(trust.SignatureInvalid), "1"}, {false, refusal(trust.SourceUnreachable), "0"},
	} {
		m.Trust(trust.Event{Kind: trust.EventRefresh, Source: "corp", Collection: "docker.io/library/secret", Changed: c.changed, Err: c.err})
		equal(t, scrape(t, m, "source_up"), `source_up{source="corp"} `+c.up)
	}
	equal(t, scrape(t, m, "source_refresh"),
		`source_refresh_total{result="changed",source="corp"} 1`, `source_refresh_total{result="signature_invalid",source="corp"} 1`,
		`source_refresh_total{result="source_unreachable",source="corp"} 2`, `source_refresh_total{result="unchanged",source="corp"} 1`)
}

// The least validity over the collections in use, running down, for each kind of role.
func TestExpiry(t *testing.T) {
	now := start
	m := NewMetrics(MetricsOptions{Now: func() time.Time { return now }})
	refresh := func(source, collection string, err error, versions ...trust.RoleVersion) {
		m.Trust(trust.Event{Kind: trust.EventRefresh, Source: source, Collection: collection, Err: err, Versions: versions})
	}
	role := func(name string, d time.Duration) trust.RoleVersion {
		return trust.RoleVersion{Role: name, Expires: now.Add(d)}
	}
	refresh("corp", "a", nil, role("root", 100*time.Hour), role("timestamp", 10*time.Hour), role("targets/secret-team", 5*time.Hour), role("targets/other", 6*time.Hour))
	refresh("corp", "b", nil, role("root", 50*time.Hour), role("timestamp", 20*time.Hour))
	refresh("site", "c", nil, role("timestamp", time.Hour))
	equal(t, scrape(t, m, "metadata"),
		`metadata_expiry_seconds{role="delegation",source="corp"} 18000`, `metadata_expiry_seconds{role="root",source="corp"} 180000`,
		`metadata_expiry_seconds{role="timestamp",source="corp"} 36000`, `metadata_expiry_seconds{role="timestamp",source="site"} 3600`)
	// It runs down by itself, a failed refresh leaves it, and a new one replaces it.
	now = now.Add(30 * time.Minute)
	refresh("corp", "a", errors.New("no route"))
	refresh("corp", "b", nil, role("timestamp", time.Hour))
	equal(t, scrape(t, m, "metadata"),
		`metadata_expiry_seconds{role="delegation",source="corp"} 16200`, `metadata_expiry_seconds{role="root",source="corp"} 358200`,
		`metadata_expiry_seconds{role="timestamp",source="corp"} 3600`, `metadata_expiry_seconds{role="timestamp",source="site"} 1800`)
	// What nobody refreshes any more is out of use; what cannot be refreshed is not.
	now = now.Add(50 * time.Minute)
	refresh("corp", "b", errors.New("no route"))
	now = now.Add(20 * time.Minute)
	equal(t, scrape(t, m, "metadata"), `metadata_expiry_seconds{role="timestamp",source="corp"} -600`)
	for i := range maxCollections + 10 {
		refresh("many", strings.Repeat("x", i), nil, role("root", time.Hour))
	}
	if n := m.expiries.seen.Len(); n > maxCollections {
		t.Errorf("%d collections are remembered", n)
	}
}

// PRODUCT: section 6, labels are bounded: nothing that names an image, a client or a delegated role is one.
func TestLabels(t *testing.T) {
	m := NewMetrics(MetricsOptions{CacheBytes: func() int64 { return 0 }})
	m.Trust(trust.Event{Kind: trust.EventRefresh, Source: "corp", Collection: "registry.example/secret", Versions: []trust.RoleVersion{{Role: "targets/secret", Expires: start}}})
	if got := strings.Join(scrape(t, m, ""), "\n"); strings.Contains(got, "secret") {
		t.Error(got)
	}
}

// What the contract promises is there, and nothing else is of our making.
func TestNames(t *testing.T) {
	m := NewMetrics(MetricsOptions{CacheBytes: func() int64 { return 0 }})
	m.Decision("r", "enforce", "allow", "")
	m.Trust(trust.Event{Kind: trust.EventRefresh, Source: "s", Versions: []trust.RoleVersion{{Role: "root", Expires: start}}})
	m.Cache("blob", true)
	m.Upstream("docker.io", "2xx")
	m.Answered("blob", 0)
	w := httptest.NewRecorder()
	Handler(nil, m, http.NotFound).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var got []string
	for _, line := range regexp.MustCompile(`# TYPE (\S+)`).FindAllStringSubmatch(w.Body.String(), -1) {
		if name, ok := strings.CutPrefix(line[1], "tagwarden_"); ok {
			got = append(got, name)
		} else if !strings.HasPrefix(line[1], "go_") && !strings.HasPrefix(line[1], "process_") {
			t.Error(line[1])
		}
	}
	want := []string{
		"audit_dropped_total", "build_info", "cache_bytes", "cache_events_total", "cache_requests_total", "config_last_reload_successful", "decisions_total", "metadata_expiry_seconds", "request_duration_seconds",
		"security_events_total", "source_refresh_total", "source_up", "upstream_requests_total",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil && !strings.Contains(w.Body.String(), "process_open_fds") {
		t.Error("the process is not described")
	}
}
