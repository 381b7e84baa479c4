package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// MaxTags is how many distinct tags of images a Tally tells apart.
const MaxTags = 100_000

const (
	// maxLine is how many bytes a line of a log may have, its end included.
	maxLine = 1 << 20
	// maxRules is how many rules a Tally tells apart. A configuration has fewer.
	maxRules = 10_000
	// maxReasons is how many reasons are told apart for one rule. There are fewer.
	maxReasons = 100
	// maxSeen is how often a Tally remembers that a client has asked under a rule or for a tag.
	maxSeen = 1_000_000
	// maxField is how many bytes of a field are kept. No name is longer.
	maxField = 256
)

// A Tally counts the decisions of any number of logs, in any order, in bounded memory. It is not safe for concurrent use.
type Tally struct {
	since   time.Time
	rules   map[string]*ruleEntry
	maxTags int
	tags    int // told apart so far
	seen    int // clients remembered so far, under rules and for tags
	report  Report
}

// An entry is what is remembered of a rule or tag.
type entry struct {
	Seen
	clients map[string]struct{}
}

// An imageTag is what a tagEntry is about.
type imageTag struct{ image, tag string }

type tagEntry struct {
	entry
	verdict, reason string // the last
	broke           bool   // at some time
}

type ruleEntry struct {
	entry
	mode       string
	withoutTag int
	verdicts   map[string]int
	reasons    map[string]int
	tags       map[imageTag]*tagEntry
}

// NewTally returns a Tally of the decisions that were not made before since; the zero time: all.
func NewTally(since time.Time) *Tally {
	return &Tally{since: since, rules: make(map[string]*ruleEntry), maxTags: MaxTags}
}

// A decision is one line of a log, as far as it is counted.
type decision struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	Name    string    `json:"name"`
	Tag     string    `json:"tag"`
	Verdict string    `json:"verdict"`
	Mode    string    `json:"mode"`
	Reason  string    `json:"reason"`
	Rule    string    `json:"rule"`
	// Served is the digest that was served; empty for none.
	Served *string `json:"served"`
	// Event is what the line is about instead of a decision: something that a person did to the gateway.
	Event string `json:"event"`
}

// Read counts the decisions of one log. It tells bad about every line that is none, by its number from 1, and goes on.
// The error is that of reading r, or of ctx.
func (t *Tally) Read(ctx context.Context, r io.Reader, bad func(line int, err error)) error {
	b := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := nextLine(b)
		if err != nil && err != io.EOF && err != errLong {
			return err
		}
		end := err == io.EOF
		if text = bytes.TrimSpace(text); len(text) > 0 || err == errLong {
			t.report.Lines++
			var d decision
			if err != errLong {
				d, err = parse(text)
			}
			if err != nil {
				t.report.BadLines++
				bad(n, err)
			} else if d.Event == "" && !d.Time.Before(t.since) {
				t.add(d)
			}
		}
		if end {
			return nil
		}
	}
}

// errLong is returned by nextLine for a line that was skipped.
var errLong = fmt.Errorf("longer than %d bytes", maxLine)

// nextLine returns the next line; it is good until the next call. With the last one comes io.EOF.
func nextLine(b *bufio.Reader) ([]byte, error) {
	text, err := b.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return text, err
	}
	for err == bufio.ErrBufferFull {
		_, err = b.ReadSlice('\n')
	}
	if err == nil || err == io.EOF { // which comes again
		err = errLong
	}
	return nil, err
}

// parse reads one line, and makes its fields fit to be kept and shown.
func parse(text []byte) (decision, error) {
	var d decision
	if err := json.Unmarshal(text, &d); err != nil {
		return d, err
	}
	if d.Event != "" {
		return d, nil
	}
	switch d.Verdict {
	case "allow", "deny", "would_deny", "would_change", "undecided":
	case "":
		return d, errors.New("has no verdict")
	default:
		return d, fmt.Errorf("has the unknown verdict %.40q", d.Verdict)
	}
	if d.Time.IsZero() {
		return d, errors.New("has no time")
	}
	for _, field := range []*string{&d.Client, &d.Name, &d.Tag, &d.Mode, &d.Reason, &d.Rule} {
		*field = printable(*field)
	}
	return d, nil
}

// printable returns s, cut, and quoted if a terminal could act upon something in it.
func printable(s string) string {
	if len(s) > maxField {
		s = strings.ToValidUTF8(s[:maxField], "") + "..."
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

// add counts one decision.
func (t *Tally) add(d decision) {
	r := t.rules[d.Rule]
	if r == nil {
		if len(t.rules) >= maxRules {
			t.report.Cut = true
			return
		}
		r = &ruleEntry{verdicts: make(map[string]int), reasons: make(map[string]int), tags: make(map[imageTag]*tagEntry)}
		t.rules[d.Rule] = r
	}
	if t.count(&r.entry, d) {
		r.mode = d.Mode
	}
	r.verdicts[d.Verdict]++
	if d.Reason != "" {
		t.reason(r, d.Reason)
	}
	if d.Tag == "" {
		r.withoutTag++
		return
	}
	// What the registry does not have either, a slip of the pen most often, breaks nothing.
	if d.Served != nil && *d.Served == "" && strings.HasPrefix(d.Verdict, "would_") {
		return
	}
	t.tag(r, d)
}

// reason counts the reason of one decision.
func (t *Tally) reason(r *ruleEntry, reason string) {
	if _, known := r.reasons[reason]; !known && len(r.reasons) >= maxReasons {
		t.report.Cut = true
		return
	}
	r.reasons[reason]++
}

// tag counts one decision on a tag.
func (t *Tally) tag(r *ruleEntry, d decision) {
	key := imageTag{d.Name, d.Tag}
	g := r.tags[key]
	if g == nil {
		if t.tags >= t.maxTags {
			t.report.Cut = true
			return
		}
		t.tags++
		g = new(tagEntry)
		r.tags[key] = g
	}
	if t.count(&g.entry, d) {
		g.verdict, g.reason = d.Verdict, d.Reason
	}
	g.broke = g.broke || d.Verdict != "allow"
}

// count counts one request, and tells whether it is the last so far. Logs need not come in the order of time.
func (t *Tally) count(e *entry, d decision) (last bool) {
	e.Requests++
	if e.First.IsZero() || d.Time.Before(e.First) {
		e.First = d.Time
	}
	if last = !d.Time.Before(e.Last); last {
		e.Last = d.Time
	}
	if _, known := e.clients[d.Client]; known {
		return last
	}
	if t.seen >= maxSeen {
		t.report.Cut = true
		return last
	}
	t.seen++
	if e.clients == nil {
		e.clients = make(map[string]struct{})
	}
	e.clients[d.Client] = struct{}{}
	return last
}
