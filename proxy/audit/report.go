package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// maxExamples is how many clients are named.
const maxExamples = 5

// A Report is what logs say about each rule: what was asked for, what was refused, and what would be under enforce. Its
// JSON form is a stable interface.
type Report struct {
	Lines    int          `json:"lines"`     // that were read, those before the time asked for included
	BadLines int          `json:"bad_lines"` // of these, that are no decision and were left out
	Cut      bool         `json:"cut"`       // a limit of Tally was met: there is more than the report says
	Rules    []RuleReport `json:"rules"`     // sorted by name
}

// A RuleReport is what was seen under one rule.
type RuleReport struct {
	Rule       string         `json:"rule"` // empty for names that no rule matches
	Mode       string         `json:"mode"` // of the last decision
	Tags       int            `json:"tags"` // distinct image:tag
	Seen                      // of all requests
	Examples   []string       `json:"client_examples"` // a few of the clients
	WithoutTag int            `json:"without_tag"`     // of the requests, those by digest, and refused ones for a list of tags
	Verdicts   map[string]int `json:"verdicts"`        // requests by verdict
	Reasons    map[string]int `json:"reasons"`         // requests that were refused, or would be, by reason
	Recovered  int            `json:"recovered"`       // tags that were refused or other content, or would be, but not when last asked for
	Breaks     []Break        `json:"breaks"`          // most requests first
}

// A Break is a tag that was refused when it was last asked for; or that, under enforce, would be or have other content.
type Break struct {
	Image   string `json:"image"`
	Tag     string `json:"tag"`
	Verdict string `json:"verdict"` // the last
	Reason  string `json:"reason"`  // the last
	Seen           // of all requests for the tag
}

// Seen says how often, when and for how many something was asked for.
type Seen struct {
	Requests int       `json:"requests"`
	Clients  int       `json:"clients"`
	First    time.Time `json:"first_seen"`
	Last     time.Time `json:"last_seen"`
}

// Report returns what was counted so far.
func (t *Tally) Report() Report {
	report := t.report
	report.Rules = make([]RuleReport, 0, len(t.rules))
	for _, name := range slices.Sorted(maps.Keys(t.rules)) {
		report.Rules = append(report.Rules, t.rules[name].report(name))
	}
	return report
}

func (r *ruleEntry) report(name string) RuleReport {
	out := RuleReport{
		Rule: name, Mode: r.mode, Tags: len(r.tags), Seen: r.all(), WithoutTag: r.withoutTag,
		Verdicts: maps.Clone(r.verdicts), Reasons: maps.Clone(r.reasons), Breaks: []Break{},
		Examples: append([]string{}, slices.Sorted(maps.Keys(r.clients))[:min(len(r.clients), maxExamples)]...),
	}
	for key, g := range r.tags {
		switch {
		case g.verdict != "allow":
			out.Breaks = append(out.Breaks, Break{Image: key.image, Tag: key.tag, Verdict: g.verdict, Reason: g.reason, Seen: g.all()})
		case g.broke:
			out.Recovered++
		}
	}
	slices.SortFunc(out.Breaks, func(a, b Break) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Image, b.Image), cmp.Compare(a.Tag, b.Tag))
	})
	return out
}

// all returns what was seen, with the number of clients.
func (e *entry) all() Seen {
	s := e.Seen
	s.Clients = len(e.clients)
	s.First, s.Last = s.First.UTC(), s.Last.UTC()
	return s
}
