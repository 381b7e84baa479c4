package trust

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust/names"
)

// unsignedAge is the greatest age of a check on which a refusal may rest without asking the source again, so that a
// fresh signature pulls at once; nearAge is that for a source at hand, which costs nobody a request.
const (
	unsignedAge = 2 * time.Second
	nearAge     = 10 * time.Millisecond
)

// clockSlack is how far the clock may be behind the last successful check before its word counts for nothing.
const clockSlack = 5 * time.Minute

// A Policy is everything an Authority goes by.
type Policy struct {
	Rules   []Rule
	Sources map[string]SourcePolicy
	// Now is the clock that decisions go by. Nil: time.Now.
	Now func() time.Time
	// Wall is the machine's clock, by which decisions are recorded, as everything else is that the machine records. Nil: Now.
	Wall func() time.Time
	// Floor returns what Wall said at the last successful check of any source, whenever that was; zero if there was none.
	// Nil: there is none.
	Floor func() time.Time
}

// A SourcePolicy is one source: who says what tags mean, and how old its word may be.
type SourcePolicy struct {
	Resolver Resolver
	// Refresh is how old the last successful check may be before an answer waits for a new one.
	Refresh time.Duration
	// MaxStale is how long verified data serves while the source cannot be reached.
	MaxStale time.Duration
	// Grace is how long verified data serves beyond its own expiry, on purpose.
	Grace time.Duration
	// SignWith is the command that signs a tag at this source: "docker trust sign".
	SignWith string
	// Near tells that the source is on this machine, so that a refusal may always have it asked again.
	Near bool
}

// doubt is how old a check may be on which a refusal rests.
func (s SourcePolicy) doubt() time.Duration {
	if s.Near {
		return min(nearAge, s.Refresh)
	}
	return min(unsignedAge, s.Refresh)
}

// An Authority decides what a name means by applying rules, freshness and the clock to what its sources say. It is
// immutable and safe for concurrent use. Whoever asks gives each decision its id; ids never repeat.
type Authority struct {
	rules   names.Index[Rule]
	sources map[string]SourcePolicy
	now     func() time.Time
	wall    func() time.Time
	floor   func() time.Time
}

// NewAuthority checks that the rules do not contradict each other and that their sources exist.
func NewAuthority(p Policy) (*Authority, error) {
	a := &Authority{sources: p.Sources, now: p.Now, wall: p.Wall, floor: p.Floor}
	if a.now == nil {
		a.now = time.Now
	}
	if a.wall == nil {
		a.wall = a.now
	}
	if a.floor == nil {
		a.floor = func() time.Time { return time.Time{} }
	}
	for _, r := range p.Rules {
		if (r.Mode == Enforce || r.Mode == Audit) && p.Sources[r.Source].Resolver == nil {
			return nil, fmt.Errorf("rule %s: source %q does not exist", r.Name, r.Source)
		}
		if s := r.Signers; s != nil && (s.Threshold < 1 || s.Threshold > len(s.Of)) {
			return nil, fmt.Errorf("rule %s: %d of %d signers", r.Name, s.Threshold, len(s.Of))
		}
		if !a.rules.Add(r.Match, r) {
			return nil, fmt.Errorf("rule %s: another rule has the match %s", r.Name, r.Match)
		}
	}
	return a, nil
}

// Decide says what the tag n means, or why nothing may be served for it. Under Audit it says, in as much time, what
// Enforce would have said; who must not be delayed by that does not wait for it.
func (a *Authority) Decide(ctx context.Context, id string, n Name) Decision {
	d, r, done := a.begin(id, n)
	if done {
		return d
	}
	s := a.sources[r.Source]
	st, err := s.Resolver.Resolve(ctx, n, s.Refresh)
	got := a.judge(d, r, st, err)
	// PRODUCT: section 4, a refusal that rests on a check older than 2 s causes one shared refresh first. No check sets a
	// clock.
	if got.Verdict != Allow && got.Reason != ClockBehind && !st.Checked.IsZero() && a.now().Sub(st.Checked) > s.doubt() {
		st, err = s.Resolver.Resolve(ctx, n, s.doubt())
		got = a.judge(d, r, st, err)
	}
	// PRODUCT: section 4, audit serves what the registry has and records what enforce would have done.
	if r.Mode == Audit {
		if got.open = true; got.Verdict != Allow {
			got.Verdict = WouldDeny
		}
	}
	return got
}

// Digest says whether content of the repository may be served that was asked for by its digest.
//
// PRODUCT: section 4, a digest passes under every rule but deny, and without a rule.
func (a *Authority) Digest(id, repository string, dgst digest.Digest) Decision {
	d, _, _ := a.begin(id, Name{Repository: repository})
	if d.Reason == RuleDeny {
		return d
	}
	d.Verdict, d.Reason, d.Err, d.open, d.target = Allow, "", nil, false, Target{Digest: dgst}
	return d
}

// Tags returns, sorted, the tags of the repository that Decide would allow. They mean nothing unless the decision beside
// them allows, and are for the registry to list where it is Open.
func (a *Authority) Tags(ctx context.Context, id, repository string) ([]string, Decision) {
	d, r, done := a.begin(id, Name{Repository: repository})
	if r.Mode == Audit && !done {
		d.Verdict, d.open = Allow, true
		return nil, d
	}
	if done {
		return nil, d
	}
	s := a.sources[r.Source]
	all, st, err := s.Resolver.Tags(ctx, repository, s.Refresh)
	d.Statement = st
	if err = a.stands(s, st, err); err != nil {
		return nil, d.Refused(ReasonOf(err), err)
	}
	tags := make([]string, 0, st.Listed)
	for tag, st := range all {
		if a.judge(d, r, st, nil).Verdict == Allow {
			tags = append(tags, tag)
		}
	}
	sort.Strings(tags)
	d.Verdict = Allow
	return tags, d
}

// Find returns the rule that governs the repository, if one does.
func (a *Authority) Find(repository string) (Rule, bool) { return a.rules.Find(repository) }

// Open returns the rule of the repository if it lets tags mean what the registry says: under Audit and Exempt, as long as
// the rule has not ended.
func (a *Authority) Open(repository string) (Rule, bool) {
	r, ok := a.Find(repository)
	return r, ok && (r.Mode == Audit || r.Mode == Exempt) && !r.ended(a.now())
}

// begin finds the rule. It reports true with a finished decision where no source has to be asked.
func (a *Authority) begin(id string, n Name) (Decision, Rule, bool) {
	d := Decision{ID: id, Time: a.wall(), Name: n}
	r, ok := a.rules.Find(n.Repository)
	if !ok {
		return d.Refused(NoRule, nil), r, true
	}
	d.Rule, d.Mode, d.Prefetch = r.Name, r.Mode, r.Prefetch
	if r.ended(a.now()) {
		return d.Refused(ExceptionExpired, fmt.Errorf("rule %s has ended, its last day was %s", r.Name, r.Until.Add(-time.Nanosecond).UTC().Format(time.DateOnly))), r, true
	}
	switch r.Mode {
	case Enforce, Audit:
		// PRODUCT: invariant 7, the rule's source and no other.
		d.Source, d.SignWith = r.Source, a.sources[r.Source].SignWith
		return d, r, false
	case Exempt:
		d.Verdict, d.open = Allow, true
		return d, r, true
	}
	return d.Refused(RuleDeny, nil), r, true
}

// judge turns what the source says into a decision, as Enforce makes it.
func (a *Authority) judge(d Decision, r Rule, st Statement, err error) Decision {
	d.Statement = st
	s := a.sources[r.Source]
	if err = a.stands(s, st, err); err != nil {
		return d.Refused(ReasonOf(err), err)
	}
	basis, err := a.released(r, s, st)
	if err != nil {
		return d.Refused(ReasonOf(err), err)
	}
	target := basis[0].Target
	for _, c := range st.Claims {
		if c.Target.Digest == target.Digest {
			d.Signers = append(d.Signers, c.Role)
		}
	}
	d.Verdict, d.target = Allow, target
	// PRODUCT: invariant 1, every decision that rests on grace names it.
	d.Grace = overdue(a.now(), st, basis)
	return d
}
