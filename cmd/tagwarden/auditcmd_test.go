package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/audit"
)

// Two logs, as they are after a rotation.
const (
	auditLog1 = "testdata/audit-1.jsonl"
	auditLog2 = "testdata/audit-2.jsonl" // its first and last line are no decisions
)

func TestAuditReport(t *testing.T) {
	for _, test := range []struct{ golden, args string }{
		{"audit-text", auditLog1 + " " + auditLog2},
		{"audit-text", auditLog2 + " " + auditLog1},
		{"audit-json", "-o json " + auditLog1 + " " + auditLog2},
		{"audit-since", "--since 2026-11-21 " + auditLog1 + " " + auditLog2},
		{"audit-since", "--since 2026-11-21T10:00:00+10:00 " + auditLog1 + " " + auditLog2},
	} {
		out, errs, status := tagwarden(t, append([]string{"audit", "report"}, strings.Fields(test.args)...)...)
		if status != 0 {
			t.Errorf("%s: exit status %d", test.args, status)
		}
		const want = "tagwarden: testdata/audit-2.jsonl:1: no decision: has no verdict\n" +
			"tagwarden: testdata/audit-2.jsonl:7: no decision: unexpected end of JSON input\n" +
			"tagwarden: audit report: 2 of 13 lines are no decisions and were left out\n"
		if errs != want {
			t.Errorf("%s: said\n%s", test.args, errs)
		}
		wantGolden(t, test.golden, out)
	}
}

func TestAuditReportUsage(t *testing.T) {
	toStdout := writeConfig(t, overHTTP)
	toFile := writeConfig(t, "audit: {file: tls.crt}\n"+overHTTP) // which holds the word none
	tests := []struct {
		args   string
		status int
		want   string
	}{
		{"audit", 2, "audit: a command is missing: report"},
		{"audit repot", 2, `audit: unknown command "repot": report`},
		{"audit report -o yaml " + auditLog1, 2, `-o "yaml": text or json`},
		{"audit report --since yesterday " + auditLog1, 2, `--since "yesterday": write`},
		{"audit report --since -3h " + auditLog1, 2, `--since "-3h": write`},
		{"audit report --config " + toStdout, 2, "the configuration has no audit.file: name the files to read"},
		{"audit report --config " + toFile, 0, "tls.crt:1: no decision: invalid character"},
		{"audit report --config missing.yaml", 1, "missing.yaml"},
		{"audit report " + auditLog1 + " missing.jsonl", 1, "audit report: open missing.jsonl"},
		{"audit report testdata", 1, "testdata"},
	}
	for _, test := range tests {
		out, errs, status := tagwarden(t, strings.Fields(test.args)...)
		if status != test.status || !strings.Contains(errs, test.want) {
			t.Errorf("%s: exit status %d, want %d with %q:\n%s%s", test.args, status, test.status, test.want, errs, out)
		}
		if status != 0 && out != "" {
			t.Errorf("%s: printed\n%s", test.args, out)
		}
	}
}

// TestAuditReportManyBadLines feeds it what it cannot read, from standard input.
func TestAuditReportManyBadLines(t *testing.T) {
	c := commands()
	var out, errs bytes.Buffer
	c.SetArgs([]string{"audit", "report", "-"})
	c.SetIn(strings.NewReader(strings.Repeat("\x1b]0;title\x07\n", 1000)))
	c.SetOut(&out)
	c.SetErr(&errs)
	if err := c.ExecuteContext(t.Context()); err != nil || out.String() != "no decisions\n" {
		t.Errorf("%v, printed %q", err, out.String())
	}
	if lines := strings.Count(errs.String(), "\n"); lines != maxBadShown+1 || strings.ContainsAny(errs.String(), "\x1b\x07") {
		t.Errorf("%d lines:\n%q", lines, errs.String())
	}
	if !strings.HasSuffix(errs.String(), "1000 of 1000 lines are no decisions and were left out\n") {
		t.Errorf("said\n%s", errs.String())
	}
}

func TestAuditReportOddFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a\x1bb", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, _ := tagwarden(t, "audit", "report", "a\x1bb"); !strings.HasPrefix(errs, `tagwarden: "a\x1bb":1: no decision`) {
		t.Errorf("said %q", errs)
	}
}

func TestAuditReportCut(t *testing.T) {
	var out bytes.Buffer
	r := audit.Report{Cut: true, Rules: []audit.RuleReport{{Rule: "r", Mode: "enforce", Seen: audit.Seen{Clients: 6}, Examples: []string{"a", "b"}}}}
	if err := printReport(&out, r, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nThis report is cut: there are more than 100000 tags", "clients   6: a, b, ...\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"":                     {},
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20T08:00:00Z": time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
		"36h":                  time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		"7d":                   time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}
