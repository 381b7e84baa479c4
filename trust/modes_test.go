package trust_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// ruled returns an authority with one rule over r.example, whose source says w.
func ruled(t *testing.T, now *time.Time, w *word, r trust.Rule) *trust.Authority {
	t.Helper()
	r.Name, r.Match = "rule", match(t, "r.example/**")
	if r.Mode == trust.Enforce || r.Mode == trust.Audit {
		r.Source = "s"
	}
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{r},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: w, Refresh: time.Minute, MaxStale: time.Hour, SignWith: "docker trust sign"}},
		Now:     func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAuditSaysWhatEnforceWouldDo: over every reason, audit records would_deny exactly where enforce refuses, and
// would_change exactly where it serves other content.
func TestAuditSaysWhatEnforceWouldDo(t *testing.T) {
	disagree := trust.Claim{Target: trust.Target{Digest: digest.FromString("y")}, Role: "targets/bob", Signer: "bob", Expires: start.Add(time.Hour)}
	agreed := trust.Claim{Target: signed.Target, Role: "targets/release", Signer: "release", Expires: start.Add(time.Hour)}
	type row struct {
		w       word
		after   time.Duration
		signers *trust.Signers
	}
	rows := map[trust.Reason]row{
		"":                    {w: word{st: claims(signed)}},
		trust.UnsignedTag:     {w: word{st: claims()}},
		trust.MetadataStale:   {w: word{st: claims(signed)}, after: time.Hour + time.Second},
		trust.MetadataExpired: {w: word{st: claims(signed)}, after: 3 * time.Hour},
		trust.SignerMissing:   {w: word{st: claims(signed, agreed)}, signers: &trust.Signers{Of: []string{"release", "qa"}, Threshold: 2}},
		trust.SignersDisagree: {w: word{st: claims(signed, agreed, disagree)}, signers: &trust.Signers{Of: []string{"release", "bob"}, Threshold: 2}},
	}
	for _, reason := range []trust.Reason{
		trust.NoTrustData, trust.RootNotPinned, trust.RootMismatch, trust.SignatureInvalid, trust.ThresholdNotMet,
		trust.MetadataRollback, trust.MetadataInvalid, trust.SourceUnreachable, trust.StateUnavailable,
	} {
		rows[reason] = row{w: word{err: &trust.Refusal{Reason: reason, Text: "x"}}}
	}
	for reason, c := range rows {
		now := start.Add(c.after)
		decide := func(m trust.Mode) trust.Decision {
			w := c.w
			return ruled(t, &now, &w, trust.Rule{Mode: m, Signers: c.signers}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		}
		enforce, audit := decide(trust.Enforce), decide(trust.Audit)
		if _, ok := enforce.Admit(); enforce.Reason != reason || ok != (reason == "") || enforce.Open() {
			t.Errorf("enforce: %s %s, want %q", enforce.Verdict, enforce.Reason, reason)
		}
		if _, ok := audit.Admit(); ok || !audit.Open() || audit.Reason != reason || (audit.Verdict == trust.WouldDeny) != (reason != "") {
			t.Errorf("audit: %s %s where enforce says %s %s", audit.Verdict, audit.Reason, enforce.Verdict, enforce.Reason)
		}
		same, other := audit.Saw(signed.Target.Digest), audit.Saw(digest.FromString("moved"))
		if reason == "" && (same.Verdict != trust.Allow || other.Verdict != trust.WouldChange) {
			t.Errorf("audit, upstream has the signed digest: %s, another: %s", same.Verdict, other.Verdict)
		}
		if reason != "" && other.Verdict != trust.WouldDeny {
			t.Errorf("%s: %s", reason, other.Verdict)
		}
	}
}

func TestSigners(t *testing.T) {
	claim := func(signer, content string) trust.Claim {
		return trust.Claim{Target: trust.Target{Digest: digest.FromString(content)}, Role: "targets/" + signer, Signer: signer, Expires: start.Add(time.Hour)}
	}
	ended := claim("qa", "a")
	ended.Expires = start.Add(-time.Second)
	three := []string{"release", "qa", "sec"}
	for _, c := range []struct {
		name   string
		want   trust.Signers
		claims []trust.Claim
		reason trust.Reason
	}{
		{"all have signed", trust.Signers{Of: three, Threshold: 3}, []trust.Claim{claim("release", "a"), claim("qa", "a"), claim("sec", "a")}, ""},
		{"one of all is missing", trust.Signers{Of: three, Threshold: 3}, []trust.Claim{claim("release", "a"), claim("qa", "a")}, trust.SignerMissing},
		{"one of all names another", trust.Signers{Of: three, Threshold: 3}, []trust.Claim{claim("release", "a"), claim("qa", "a"), claim("sec", "b")}, trust.SignersDisagree},
		{"two of three", trust.Signers{Of: three, Threshold: 2}, []trust.Claim{claim("release", "a"), claim("qa", "a")}, ""},
		{"two of three, the third is behind", trust.Signers{Of: three, Threshold: 2}, []trust.Claim{claim("release", "a"), claim("qa", "a"), claim("sec", "old")}, ""},
		{"two of three, all apart", trust.Signers{Of: three, Threshold: 2}, []trust.Claim{claim("release", "a"), claim("qa", "b"), claim("sec", "c")}, trust.SignersDisagree},
		{"any, one has signed", trust.Signers{Of: three, Threshold: 1}, []trust.Claim{claim("sec", "a")}, ""},
		{"any, another names something else", trust.Signers{Of: three, Threshold: 1}, []trust.Claim{claim("sec", "a"), claim("qa", "b")}, ""},
		{"all name something else than what is released", trust.Signers{Of: three, Threshold: 2}, []trust.Claim{claim("sec", "b"), claim("qa", "b")}, trust.SignersDisagree},
		{"others do not count", trust.Signers{Of: three, Threshold: 1}, []trust.Claim{claim("mallory", "a")}, trust.SignerMissing},
		{"released alone does not count", trust.Signers{Of: three, Threshold: 1}, []trust.Claim{}, trust.SignerMissing},
		{"a word that has expired does not count", trust.Signers{Of: three, Threshold: 2}, []trust.Claim{claim("release", "a"), ended}, trust.SignerMissing},
	} {
		now := start
		released := claim("releases", "a")
		released.Released = true
		d := ruled(t, &now, &word{st: claims(append(c.claims, released)...)}, trust.Rule{Mode: trust.Enforce, Signers: &c.want}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		target, ok := d.Admit()
		if d.Reason != c.reason || ok != (c.reason == "") || ok && target.Digest != digest.FromString("a") {
			t.Errorf("%s: %s %s %s", c.name, d.Verdict, d.Reason, target.Digest)
		}
		// A tag that was revoked is released no more, whoever else still has it.
		if d := ruled(t, &now, &word{st: claims(c.claims...)}, trust.Rule{Mode: trust.Enforce, Signers: &c.want}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); d.Reason != trust.UnsignedTag {
			t.Errorf("%s, not released: %s %s", c.name, d.Verdict, d.Reason)
		}
	}
}

// TestSignersWhoHaveNotSigned: a refusal says who has signed, and cannot be read as if those who have not had.
func TestSignersWhoHaveNotSigned(t *testing.T) {
	claim := func(signer string) trust.Claim {
		return trust.Claim{Target: trust.Target{Digest: digest.FromString("a")}, Role: signer, Signer: signer, Released: true, Expires: start.Add(time.Hour)}
	}
	three := []string{"anna", "bob", "cleo"}
	for _, c := range []struct {
		threshold int
		claims    []trust.Claim
		want      string
	}{
		{1, []trust.Claim{claim("mallory")}, "1 of the signers anna, bob, cleo must sign it, and none has"},
		{2, []trust.Claim{claim("bob")}, "2 of the signers anna, bob, cleo must sign it, and only bob has"},
		{3, []trust.Claim{claim("cleo"), claim("bob")}, "3 of the signers anna, bob, cleo must sign it, and only bob, cleo have"},
	} {
		now := start
		rule := trust.Rule{Mode: trust.Enforce, Signers: &trust.Signers{Of: three, Threshold: c.threshold}}
		d := ruled(t, &now, &word{st: claims(c.claims...)}, rule).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		if got := d.Message(); !strings.Contains(got, c.want) {
			t.Errorf("%q is not in %q", c.want, got)
		}
	}
}

// TestSignersWithoutRelease: where the format lets every signer release, those that a rule asks for decide which word is
// taken, and nobody's place in the order counts. Without such a rule the first one does.
func TestSignersWithoutRelease(t *testing.T) {
	claim := func(signer, content string) trust.Claim {
		return trust.Claim{Target: trust.Target{Digest: digest.FromString(content)}, Role: signer, Signer: signer, Released: true, Expires: start.Add(time.Hour)}
	}
	three := []string{"anna", "bob", "cleo"}
	for _, c := range []struct {
		name      string
		threshold int
		claims    []trust.Claim
		want      string
		reason    trust.Reason
	}{
		{"no rule for signers", 0, []trust.Claim{claim("anna", "a"), claim("bob", "b")}, "a", ""},
		{"all agree", 3, []trust.Claim{claim("anna", "a"), claim("bob", "a"), claim("cleo", "a")}, "a", ""},
		{"two of three, the first is ahead", 2, []trust.Claim{claim("anna", "new"), claim("bob", "a"), claim("cleo", "a")}, "a", ""},
		{"two of three, the first is behind", 2, []trust.Claim{claim("anna", "old"), claim("bob", "a"), claim("cleo", "a")}, "a", ""},
		{"all, one is behind", 3, []trust.Claim{claim("anna", "a"), claim("bob", "a"), claim("cleo", "old")}, "", trust.SignersDisagree},
		{"any, two names", 1, []trust.Claim{claim("anna", "a"), claim("bob", "b")}, "", trust.SignersDisagree},
		{"any, somebody else names another", 1, []trust.Claim{claim("mallory", "evil"), claim("bob", "a")}, "a", ""},
		{"two of three, one has signed", 2, []trust.Claim{claim("mallory", "a"), claim("bob", "a")}, "", trust.SignerMissing},
		{"one name said twice by one", 2, []trust.Claim{claim("bob", "a"), claim("bob", "a")}, "", trust.SignerMissing},
	} {
		now, rule := start, trust.Rule{Mode: trust.Enforce}
		if c.threshold > 0 {
			rule.Signers = &trust.Signers{Of: three, Threshold: c.threshold}
		}
		d := ruled(t, &now, &word{st: claims(c.claims...)}, rule).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		target, ok := d.Admit()
		if d.Reason != c.reason || ok != (c.reason == "") || ok && target.Digest != digest.FromString(c.want) {
			t.Errorf("%s: %s %s %s", c.name, d.Verdict, d.Reason, target.Digest)
		}
	}
}

// TestGraceIsNamedForSignersToo: PRODUCT invariant 1.
func TestGraceIsNamedForSignersToo(t *testing.T) {
	c := trust.Claim{Target: signed.Target, Role: "targets/qa", Signer: "qa", Expires: start.Add(-time.Minute)}
	a, err := trust.NewAuthority(trust.Policy{
		Rules:   []trust.Rule{{Name: "all", Match: match(t, "**"), Mode: trust.Enforce, Source: "s", Signers: &trust.Signers{Of: []string{"qa"}, Threshold: 1}}},
		Sources: map[string]trust.SourcePolicy{"s": {Resolver: &word{st: claims(signed, c)}, Refresh: time.Minute, MaxStale: time.Hour, Grace: time.Hour}},
		Now:     func() time.Time { return start },
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := a.Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"}); d.Verdict != trust.Allow || !d.Grace {
		t.Errorf("%s %s, grace %v", d.Verdict, d.Reason, d.Grace)
	}
}

// TestClockBehind: a check in the future leaves no age to judge.
func TestClockBehind(t *testing.T) {
	for behind, want := range map[time.Duration]trust.Reason{5 * time.Minute: "", 5*time.Minute + time.Second: trust.ClockBehind, 8000 * time.Hour: trust.ClockBehind} {
		now := start.Add(-behind)
		d := ruled(t, &now, &word{st: claims(signed)}, trust.Rule{Mode: trust.Enforce}).Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
		if d.Reason != want {
			t.Errorf("%s behind: %s %q", behind, d.Verdict, d.Reason)
		}
	}
}

func TestExemptUntil(t *testing.T) {
	end := start.Add(24 * time.Hour)
	for _, mode := range []trust.Mode{trust.Exempt, trust.Audit} {
		for after, want := range map[time.Duration]trust.Reason{24*time.Hour - 1: "", 24 * time.Hour: trust.ExceptionExpired} {
			now := start.Add(after)
			w := &word{st: trust.Statement{Claims: []trust.Claim{signed}, Checked: now, Expires: now.Add(time.Hour)}}
			a := ruled(t, &now, w, trust.Rule{Mode: mode, Until: end, Why: "migration"})
			d := a.Decide(t.Context(), "ID", trust.Name{Repository: "r.example/a", Tag: "v1"})
			if _, ok := d.Admit(); ok || d.Reason != want || d.Open() != (want == "") {
				t.Errorf("%s after %s: %s %s, open %v", mode, after, d.Verdict, d.Reason, d.Open())
			}
			if mode == trust.Exempt && len(w.asked) > 0 {
				t.Error("a source was asked about an exempt name")
			}
			_, tags := a.Tags(t.Context(), "ID", "r.example/a")
			if tags.Reason != want || tags.Open() != (want == "") {
				t.Errorf("%s tags after %s: %s, open %v", mode, after, tags.Reason, tags.Open())
			}
			if got, ok := a.Digest("ID", "r.example/a", signed.Target.Digest).Admit(); !ok || got.Digest != signed.Target.Digest {
				t.Errorf("%s after %s: a digest is refused", mode, after)
			}
		}
	}
}

func TestImpossibleSigners(t *testing.T) {
	for _, n := range []int{0, 2} {
		_, err := trust.NewAuthority(trust.Policy{
			Rules:   []trust.Rule{{Name: "a", Match: match(t, "**"), Mode: trust.Enforce, Source: "s", Signers: &trust.Signers{Of: []string{"x"}, Threshold: n}}},
			Sources: map[string]trust.SourcePolicy{"s": {Resolver: &word{err: errors.New("x")}}},
		})
		if err == nil {
			t.Errorf("%d of 1 signers", n)
		}
	}
}
