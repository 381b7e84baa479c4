package trust_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// word is a Resolver that says one thing about every name, and counts how often it was asked.
type word struct {
	st    trust.Statement
	err   error
	asked []time.Duration
	// then replaces st after the first question.
	then *trust.Statement
}

func (w *word) Resolve(_ context.Context, _ trust.Name, maxAge time.Duration) (trust.Statement, error) {
	w.asked = append(w.asked, maxAge)
	st := w.st
	if w.then != nil {
		w.st = *w.then
	}
	return st, w.err
}

func (w *word) Tags(context.Context, string, time.Duration) (iter.Seq2[string, trust.Statement], trust.Statement, error) {
	return maps.All(map[string]trust.Statement{"b": w.st, "a": w.st, "unsigned": {Checked: w.st.Checked, Expires: w.st.Expires}}), w.st, w.err
}

func match(t *testing.T, s string) names.Match {
	t.Helper()
	m, err := names.ParseMatch(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func authority(t *testing.T, now *time.Time, w *word) *trust.Authority {
	t.Helper()
	a, err := trust.NewAuthority(trust.Policy{
		Rules: []trust.Rule{
			{Name: "corp", Match: match(t, "r.example/**"), Mode: trust.Enforce, Source: "s"},
			{Name: "bad", Match: match(t, "r.example/bad/**"), Mode: trust.Refuse},
			{Name: "odd", Match: match(t, "r.example/odd"), Source: "s"},
		},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: w, Refresh: time.Minute, MaxStale: time.Hour, SignWith: "docker trust sign"}},
		Now:     func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func claims(c ...trust.Claim) trust.Statement {
	return trust.Statement{Claims: c, Checked: start, Expires: start.Add(2 * time.Hour), Listed: 4, Versions: []trust.RoleVersion{{Role: "targets", Version: 12, Expires: start.Add(2 * time.Hour)}}}
}

var signed = trust.Claim{Target: trust.Target{Digest: digest.FromString("x"), Size: 1}, Role: "targets/releases", Released: true}

// TestDecide: one row per way to a verdict, with the message that the client sees.
func TestDecide(t *testing.T) {
	bob := trust.Claim{Target: signed.Target, Role: "targets/bob"}
	refusal := &trust.Refusal{Reason: trust.SignatureInvalid, Text: "targets v3: signature of an authorised key does not verify"}
	for _, c := range []struct {
		name, repository string
		w                word
		after            time.Duration
		want             trust.Reason
		message          string
	}{
		{"signed", "r.example/a", word{st: claims(signed)}, 0, "", ""},
		{"signed, in the last instant of its validity", "r.example/a", word{st: claims(signed)}, time.Hour, "", ""},
		{"unsigned", "r.example/a", word{st: claims()}, 0, trust.UnsignedTag, `r.example/a:v1 is not signed: source s (targets v12, checked 0s ago) lists 4 signed tags of this repository, not v1; sign it with "docker trust sign r.example/a:v1" [unsigned_tag ID]`},
		{"signed, but not released", "r.example/a", word{st: claims(bob)}, 0, trust.UnsignedTag, "not signed"},
		{"no rule", "other.example/a", word{st: claims(signed)}, 0, trust.NoRule, "no rule of the gateway matches it"},
		{"denied", "r.example/bad/a", word{st: claims(signed)}, 0, trust.RuleDeny, "rule bad denies it"},
		{"a mode that nobody set", "r.example/odd", word{st: claims(signed)}, 0, trust.RuleDeny, "denies"},
		{"too long since the last check", "r.example/a", word{st: claims(signed)}, time.Hour + time.Second, trust.MetadataStale, "more than max_stale 1h0m0s"},
		{"expired", "r.example/a", word{st: claims(signed)}, 2*time.Hour + time.Second, trust.MetadataExpired, "targets v12 on 2026-11-22T14:00:00Z"},
		{"nothing verified", "r.example/a", word{err: refusal}, 0, trust.SignatureInvalid, "targets v3: signature of an authorised key does not verify"},
		{"no trust data", "r.example/a", word{err: &trust.Refusal{Reason: trust.NoTrustData, Text: "no root"}}, 0, trust.NoTrustData, `sign it with "docker trust sign r.example/a:v1"`},
		{"source down", "r.example/a", word{err: errors.New("dial: refused\nX-Evil: 1")}, 0, trust.SourceUnreachable, "dial: refused X-Evil: 1"},
		{"nothing said", "r.example/a", word{}, 0, trust.MetadataExpired, "expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := start.Add(c.after)
			d := authority(t, &now, &c.w).Decide(t.Context(), "ID", trust.Name{Repository: c.repository, Tag: "v1"})
			target, ok := d.Admit()
			if d.Reason != c.want || ok != (c.want == "") || ok && target != signed.Target || !ok && target != (trust.Target{}) {
				t.Errorf("%v %q %v, want %q", d.Verdict, d.Reason, target, c.want)
			}
			if m := d.Message(); !strings.Contains(m, c.message) || (m == "") != ok || strings.ContainsAny(m, "\r\n") {
				t.Errorf("message %q", m)
			}
		})
	}
}

func TestZeroDecisionRefuses(t *testing.T) {
	if _, ok := (trust.Decision{}).Admit(); ok {
		t.Error("the zero decision admits")
	}
}

func TestGraceIsBounded(t *testing.T) {
	now := start
	w := &word{st: claims(signed)}
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{{Name: "all", Match: match(t, "**"), Mode: trust.Enforce, Source: "s"}},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: w, Refresh: time.Minute, MaxStale: 100 * time.Hour, Grace: time.Hour}},
		Now:     func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]trust.Reason{3 * time.Hour: "", 3*time.Hour + time.Second: trust.MetadataExpired} {
		now = start.Add(after)
		if d := a.Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); d.Reason != want || d.Grace != (want == "") {
			t.Errorf("after %s: %q, grace %v, want %q", after, d.Reason, d.Grace, want)
		}
	}
}

// TestRefusalAsksAgain: a refusal that rests on an older check asks once more, one on a fresh check does not.
func TestRefusalAsksAgain(t *testing.T) {
	fresh := claims(signed)
	now := start.Add(10 * time.Second)
	w := &word{st: claims(), then: &fresh}
	if d := authority(t, &now, w).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); d.Verdict != trust.Allow {
		t.Errorf("signed meanwhile, and still %s", d.Reason)
	}
	if want := []time.Duration{time.Minute, 2 * time.Second}; !slices.Equal(w.asked, want) {
		t.Errorf("asked with %v, want %v", w.asked, want)
	}
	now = start.Add(2 * time.Second)
	w = &word{st: claims()}
	authority(t, &now, w).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
	if len(w.asked) != 1 {
		t.Errorf("asked %d times on a fresh check", len(w.asked))
	}
	// A source on this machine is asked again almost always.
	now = start.Add(11 * time.Millisecond)
	w = &word{st: claims(), then: &fresh}
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{{Name: "all", Match: match(t, "**"), Mode: trust.Enforce, Source: "s"}},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: w, Refresh: time.Minute, MaxStale: time.Hour, Near: true}},
		Now:     func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := a.Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); d.Verdict != trust.Allow {
		t.Errorf("signed meanwhile at a source at hand, and still %s", d.Reason)
	}
}

func TestDigestsPass(t *testing.T) {
	now, d := start, digest.FromString("any")
	a := authority(t, &now, &word{})
	for repository, want := range map[string]trust.Reason{"r.example/a": "", "unknown.example/a": "", "r.example/bad/a": trust.RuleDeny, "r.example/odd": trust.RuleDeny} {
		got := a.Digest("ID", repository, d)
		target, ok := got.Admit()
		if got.Reason != want || ok != (want == "") || ok && target.Digest != d {
			t.Errorf("%s: %q, %v", repository, got.Reason, target)
		}
	}
}

func TestTagsAreThoseThatWouldBeAllowed(t *testing.T) {
	now := start
	a := authority(t, &now, &word{st: claims(signed)})
	if tags, d := a.Tags(t.Context(), "ID", "r.example/a"); !slices.Equal(tags, []string{"a", "b"}) || d.Verdict != trust.Allow {
		t.Errorf("%v, %s", tags, d.Reason)
	}
	for repository, want := range map[string]trust.Reason{"other.example/a": trust.NoRule, "r.example/bad/a": trust.RuleDeny} {
		if tags, d := a.Tags(t.Context(), "ID", repository); tags != nil || d.Reason != want {
			t.Errorf("%s: %v, %s", repository, tags, d.Reason)
		}
	}
	now = start.Add(3 * time.Hour)
	if tags, d := a.Tags(t.Context(), "ID", "r.example/a"); tags != nil || d.Reason != trust.MetadataExpired {
		t.Errorf("expired: %v, %s", tags, d.Reason)
	}
}

func TestRulesMustNotContradict(t *testing.T) {
	rule := trust.Rule{Name: "a", Match: match(t, "r.example/**"), Mode: trust.Enforce, Source: "s"}
	sources := map[string]trust.SourcePolicy{"s": {Resolver: &word{}}}
	if _, err := trust.NewAuthority(trust.Policy{Rules: []trust.Rule{rule, rule}, Sources: sources}); err == nil {
		t.Error("two rules with one match")
	}
	if _, err := trust.NewAuthority(trust.Policy{Rules: []trust.Rule{rule}}); err == nil {
		t.Error("a rule without its source")
	}
}

func BenchmarkDecideWarm(b *testing.B) {
	m, _ := names.ParseMatch("r.example/**")
	c := trust.NewCollections(trust.CollectionsOptions{Format: &format{snapshot: snapshotAt(start, 200)}, Memory: 1 << 30, Now: func() time.Time { return start }})
	defer c.Close()
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{{Name: "corp", Match: m, Mode: trust.Enforce, Source: "s"}},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: c, Refresh: time.Minute, MaxStale: time.Hour}},
		Now:     func() time.Time { return start },
	})
	if err != nil {
		b.Fatal(err)
	}
	n := trust.Name{Repository: "r.example/a", Tag: "t7"}
	b.ReportAllocs()
	for b.Loop() {
		if d := a.Decide(b.Context(), "ID", n); d.Verdict != trust.Allow {
			b.Fatal(d.Message())
		}
	}
}
