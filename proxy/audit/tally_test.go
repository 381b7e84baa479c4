package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// at is a time of the test's day.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-11-20 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// log writes decisions as lines: "10:00:00 CLIENT IMAGE:TAG VERDICT MODE REASON RULE", with - for what is empty.
func log(decisions ...string) string {
	var b strings.Builder
	for _, d := range decisions {
		f := strings.Fields(d)
		for i := range f {
			f[i] = strings.TrimPrefix(f[i], "-")
		}
		name, tag, _ := strings.Cut(f[2], ":")
		line, err := json.Marshal(map[string]any{
			"time": at(f[0]), "client": f[1], "name": name, "tag": tag, "verdict": f[3], "mode": f[4], "reason": f[5], "rule": f[6],
			"decision": "01M86SFDYW7JVTE40GXDNEJNC0", "versions": map[string]int{"root": 1}, "signers": nil, "checked_age": 1.5,
		})
		if err != nil {
			panic(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// tally reads logs, none of which has a bad line.
func tally(t *testing.T, since time.Time, logs ...string) Report {
	t.Helper()
	y := NewTally(since)
	for _, l := range logs {
		if err := y.Read(t.Context(), strings.NewReader(l), func(n int, err error) { t.Errorf("line %d: %v", n, err) }); err != nil {
			t.Fatal(err)
		}
	}
	return y.Report()
}

func TestBreaks(t *testing.T) {
	tests := []struct {
		what      string
		since     string
		logs      []string
		want      string // "image:tag verdict reason requests/clients first last" of each
		tags      int
		recovered int
	}{
		{
			"a signed tag does not break", "00:00:00",
			[]string{log("10:00:00 a x/app:v1 allow audit - r")}, "", 1, 0,
		}, {
			"would be refused", "00:00:00",
			[]string{log("10:00:00 a x/app:v1 would_deny audit unsigned_tag r", "10:00:01 b x/app:v1 would_deny audit unsigned_tag r")},
			"x/app:v1 would_deny unsigned_tag 2/2 10:00:00 10:00:01", 1, 0,
		}, {
			"would be other content", "00:00:00",
			[]string{log("10:00:00 a x/app:v1 would_change audit - r")}, "x/app:v1 would_change  1/1 10:00:00 10:00:00", 1, 0,
		}, {
			"refused", "00:00:00",
			[]string{log("10:00:00 a x/app:v1 deny enforce unsigned_tag r")}, "x/app:v1 deny unsigned_tag 1/1 10:00:00 10:00:00", 1, 0,
		}, {
			"signed since", "00:00:00",
			[]string{log("10:00:00 a x/app:v1 would_deny audit unsigned_tag r", "10:00:01 a x/app:v1 allow audit - r")}, "", 1, 1,
		}, {
			"signed since, logs in another order", "00:00:00",
			[]string{log("10:00:01 a x/app:v1 allow audit - r"), log("10:00:00 a x/app:v1 would_deny audit unsigned_tag r")}, "", 1, 1,
		}, {
			"the last reason counts, and requests of all", "00:00:00",
			[]string{
				log("10:00:05 a x/app:v1 would_deny audit unsigned_tag r"),
				log("10:00:00 a x/app:v1 allow audit - r", "10:00:01 a x/app:v1 would_deny audit no_trust_data r"),
			}, "x/app:v1 would_deny unsigned_tag 3/1 10:00:00 10:00:05", 1, 0,
		}, {
			"by digest nothing breaks", "00:00:00",
			[]string{log("10:00:00 a x/app would_deny audit unsigned_tag r", "10:00:00 a x/app deny audit upstream_invalid r")}, "", 0, 0,
		}, {
			"most requests first, then by name", "00:00:00",
			[]string{log("10:00:00 a x/b:v1 deny enforce unsigned_tag r", "10:00:00 a x/a:v2 deny enforce unsigned_tag r",
				"10:00:00 a x/a:v1 deny enforce unsigned_tag r", "10:00:00 a x/c:v1 deny enforce unsigned_tag r", "10:00:00 a x/c:v1 deny enforce unsigned_tag r")},
			"x/c:v1 deny unsigned_tag 2/1 10:00:00 10:00:00; x/a:v1 deny unsigned_tag 1/1 10:00:00 10:00:00; " +
				"x/a:v2 deny unsigned_tag 1/1 10:00:00 10:00:00; x/b:v1 deny unsigned_tag 1/1 10:00:00 10:00:00", 4, 0,
		}, {
			"since then, that moment included", "10:00:01",
			[]string{log("10:00:00 a x/app:v1 would_deny audit unsigned_tag r", "10:00:01 a x/app:v2 would_deny audit unsigned_tag r")},
			"x/app:v2 would_deny unsigned_tag 1/1 10:00:01 10:00:01", 1, 0,
		},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			report := tally(t, at(test.since), test.logs...)
			if len(report.Rules) != 1 || report.Cut || report.BadLines != 0 {
				t.Fatalf("got %+v", report)
			}
			rule := report.Rules[0]
			var rows []string
			for _, b := range rule.Breaks {
				rows = append(rows, fmt.Sprintf("%s:%s %s %s %d/%d %s %s", b.Image, b.Tag, b.Verdict, b.Reason, b.Requests, b.Clients,
					b.First.Format(time.TimeOnly), b.Last.Format(time.TimeOnly)))
			}
			if got := strings.Join(rows, "; "); got != test.want || rule.Tags != test.tags || rule.Recovered != test.recovered {
				t.Errorf("%d tags, %d recovered, got  %s\nwant %s", rule.Tags, rule.Recovered, got, test.want)
			}
		})
	}
}

func TestTotals(t *testing.T) {
	got := tally(t, time.Time{}, log(
		"10:00:03 c2 x/app:v1 would_deny audit unsigned_tag r",
		"10:00:09 c1 x/app:v1 allow enforce - r",
		"10:00:05 c3 x/app allow audit - r",
	)+"\n \n"+log(
		"10:00:06 c4 x/app deny audit upstream_invalid r",
		"10:00:06 c5 x/other:v1 deny none no_rule -",
		"10:00:06 c6 x/app:v2 would_change audit - r",
		"10:00:06 c5 x/app:v2 would_change audit - r",
		"10:00:07 c0 x/app:v2 would_change audit - r",
	))
	want := Report{Lines: 8, Rules: []RuleReport{{
		Rule: "", Mode: "none", Tags: 1, Seen: Seen{1, 1, at("10:00:06"), at("10:00:06")}, Examples: []string{"c5"},
		Verdicts: map[string]int{"deny": 1}, Reasons: map[string]int{"no_rule": 1},
		Breaks: []Break{{"x/other", "v1", "deny", "no_rule", Seen{1, 1, at("10:00:06"), at("10:00:06")}}},
	}, {
		Rule: "r", Mode: "enforce", Tags: 2, Seen: Seen{7, 7, at("10:00:03"), at("10:00:09")}, Examples: []string{"c0", "c1", "c2", "c3", "c4"},
		WithoutTag: 2, Recovered: 1,
		Verdicts: map[string]int{"allow": 2, "would_deny": 1, "would_change": 3, "deny": 1},
		Reasons:  map[string]int{"unsigned_tag": 1, "upstream_invalid": 1},
		Breaks:   []Break{{"x/app", "v2", "would_change", "", Seen{3, 3, at("10:00:06"), at("10:00:07")}}},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestBadLines(t *testing.T) {
	good := log("10:00:00 a x/app:v1 allow audit - r")
	tests := []struct{ line, want string }{
		{"not JSON", "invalid character"},
		{`{"level":"info","time":"2026-11-20T10:00:00Z","message":"listening"}`, "has no verdict"},
		{strings.Replace(good, "allow", "maybe\x1b", 1), "invalid character"},
		{strings.Replace(good, "allow", "maybe", 1), `unknown verdict "maybe"`},
		{strings.Replace(good, "2026-11-20T10:00:00Z", "0001-01-01T00:00:00Z", 1), "has no time"},
		{strings.Replace(good, "2026-11-20T10:00:00Z", "yesterday", 1), "parsing time"},
		{strings.Replace(good, `"x/app"`, "7", 1), "cannot unmarshal number"},
		{strings.Replace(good, "x/app", strings.Repeat("x", maxLine), 1), "longer than 1048576 bytes"},
		{strings.Replace(good, "x/app", strings.Repeat("x", 3*maxLine), 1), "longer than 1048576 bytes"},
		{good[:20], "unexpected end"},
	}
	for _, test := range tests {
		for _, text := range []string{good + strings.TrimSuffix(test.line, "\n") + "\n" + good, good + good + test.line} {
			y, bad := NewTally(time.Time{}), 0
			err := y.Read(t.Context(), strings.NewReader(text), func(n int, err error) {
				if bad++; !strings.Contains(err.Error(), test.want) || n != 2 && n != 3 {
					t.Errorf("line %d: %v, want %s", n, err, test.want)
				}
			})
			r := y.Report()
			if err != nil || bad != 1 || r.BadLines != 1 || r.Lines != 3 || r.Rules[0].Requests != 2 {
				t.Errorf("%.60q: %v, %d bad, %+v", test.line, err, bad, r)
			}
		}
	}
}

// TestEventsAreNoDecisions: what a person did stands in the log too, and is neither counted nor bad.
func TestEventsAreNoDecisions(t *testing.T) {
	good := log("10:00:00 a x/app:v1 allow audit - r")
	r := tally(t, time.Time{}, good+`{"time":"2026-11-20T10:00:01Z","event":"state_reset","source":"corp","collection":"x/app"}`+"\n"+good)
	if r.BadLines != 0 || r.Lines != 3 || r.Rules[0].Requests != 2 {
		t.Errorf("%+v", r)
	}
}

// TestNothingServedBreaksNothing: a tag that the registry does not have either is nobody's deployment.
func TestNothingServedBreaksNothing(t *testing.T) {
	line := log("10:00:00 a x/app:v9 would_deny audit unsigned_tag r")
	for served, want := range map[string]int{`"served":"",`: 0, `"served":"sha256:00",`: 1, "": 1} {
		r := tally(t, time.Time{}, strings.Replace(line, "{", "{"+served, 1))
		if len(r.Rules[0].Breaks) != want || r.Rules[0].Requests != 1 {
			t.Errorf("%s: %+v", served, r.Rules[0])
		}
	}
}

func TestLongestLine(t *testing.T) {
	line := log("10:00:00 a x/app:v1 allow audit - r")
	line = strings.Replace(line, `"a"`, `"`+strings.Repeat("a", maxLine-len(line)+1)+`"`, 1)
	if len(line) != maxLine {
		t.Fatal(len(line))
	}
	if r := tally(t, time.Time{}, line+line); r.Rules[0].Requests != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestFieldsAreFitToShow(t *testing.T) {
	tests := []struct{ in, want string }{
		{"docker.io/library/nginx", "docker.io/library/nginx"},
		{"a\x1b[2Jb", `"a\x1b[2Jb"`},
		{"a\tb\n", `"a\tb\n"`},
		{"a\u009bb", `"a\u009bb"`},                                   // a control character beyond ASCII
		{"a\u202eb", `"a\u202eb"`},                                   // turns the writing around
		{strings.Repeat("é", 200), strings.Repeat("é", 128) + "..."}, // cut between characters
		{"x" + strings.Repeat("é", 200), "x" + strings.Repeat("é", 127) + "..."},
	}
	for _, test := range tests {
		line, err := json.Marshal(map[string]any{
			"time": at("10:00:00"), "client": test.in, "name": test.in, "tag": test.in, "verdict": "deny", "mode": test.in, "reason": test.in, "rule": test.in,
		})
		if err != nil {
			t.Fatal(err)
		}
		r := tally(t, time.Time{}, string(line)).Rules[0]
		for _, got := range []string{r.Rule, r.Mode, r.Examples[0], r.Breaks[0].Image, r.Breaks[0].Tag, r.Breaks[0].Reason} {
			if got != test.want {
				t.Errorf("%q: got %s, want %s", test.in, got, test.want)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	fill := func(t *testing.T, y *Tally, n int, format string) Report {
		t.Helper()
		var b strings.Builder
		for i := range n {
			b.WriteString(log(fmt.Sprintf(format, i)))
		}
		if err := y.Read(t.Context(), strings.NewReader(b.String()), func(n int, err error) { t.Errorf("line %d: %v", n, err) }); err != nil {
			t.Fatal(err)
		}
		return y.Report()
	}
	t.Run("tags", func(t *testing.T) {
		y := NewTally(time.Time{})
		if y.maxTags != MaxTags {
			t.Errorf("limit %d", y.maxTags)
		}
		y.maxTags = 3
		if r := fill(t, y, 3, "10:00:00 a x/app:v%d deny enforce unsigned_tag r"); r.Cut || r.Rules[0].Tags != 3 {
			t.Errorf("at the limit: %+v", r)
		}
		r := fill(t, y, 4, "10:00:00 a x/app:v%d deny enforce unsigned_tag r")
		if !r.Cut || r.Rules[0].Tags != 3 || len(r.Rules[0].Breaks) != 3 || r.Rules[0].Requests != 7 || r.Rules[0].Breaks[0].Requests != 2 {
			t.Errorf("beyond: %+v", r)
		}
	})
	t.Run("rules", func(t *testing.T) {
		if r := fill(t, NewTally(time.Time{}), maxRules+1, "10:00:00 a x/app allow audit - r%d"); !r.Cut || len(r.Rules) != maxRules {
			t.Errorf("cut %v, %d rules", r.Cut, len(r.Rules))
		}
	})
	t.Run("reasons", func(t *testing.T) {
		if r := fill(t, NewTally(time.Time{}), maxReasons+1, "10:00:00 a x/app deny enforce because%d r"); !r.Cut || len(r.Rules[0].Reasons) != maxReasons {
			t.Errorf("cut %v, %d reasons", r.Cut, len(r.Rules[0].Reasons))
		}
	})
	t.Run("clients", func(t *testing.T) {
		y := NewTally(time.Time{})
		y.seen = maxSeen - 3
		r := fill(t, y, 4, "10:00:00 c%d x/app allow audit - r")
		if !r.Cut || r.Rules[0].Clients != 3 || r.Rules[0].Requests != 4 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestReadFails(t *testing.T) {
	y := NewTally(time.Time{})
	broken := errors.New("disk is broken")
	if err := y.Read(t.Context(), iotest.ErrReader(broken), nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := y.Read(ctx, strings.NewReader(log("10:00:00 a x/app allow audit - r")), nil); !errors.Is(err, context.Canceled) || y.Report().Lines != 0 {
		t.Errorf("got %v", err)
	}
}
