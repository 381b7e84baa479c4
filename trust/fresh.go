package trust

import (
	"fmt"
	"time"
)

// Clock returns why the machine's clock is not believed: a *Refusal with ClockBehind, or nil. Tags under Enforce are refused
// as long as it is not, and nothing else is.
//
// PRODUCT: section 4, clock_behind: by a clock that is far behind what has been, no age could be judged.
func (a *Authority) Clock() error {
	if r := behind(a.wall(), a.floor()); r != nil {
		r.Text += " (if it is right, stop the gateway and run \"tagwarden state reset --clock\")"
		return r
	}
	return nil
}

// behind returns the refusal where the clock says a time before that of a check.
func behind(now, checked time.Time) *Refusal {
	by := checked.Sub(now)
	if by <= clockSlack {
		return nil
	}
	return &Refusal{Reason: ClockBehind, Text: fmt.Sprintf("the clock says %s, %s before the last successful check", now.UTC().Format(time.RFC3339), round(by))}
}

// stands checks that a decision may rest on the statement, where asking for it came to err.
func (a *Authority) stands(s SourcePolicy, st Statement, err error) error {
	// First, since whatever else is wrong may come of it: certificates that do not hold yet, for one.
	if behind := a.Clock(); behind != nil {
		return behind
	}
	if err != nil {
		return err
	}
	return a.fresh(s, st)
}

// fresh checks the statement against the clock.
func (a *Authority) fresh(s SourcePolicy, st Statement) error {
	now := a.now()
	// PRODUCT: invariants 1 and 5, expiry is checked at every decision. The instant of expiry itself is still valid.
	if now.After(st.Expires.Add(s.Grace)) {
		return &Refusal{Reason: MetadataExpired, Text: expired(st, now), Err: st.Failure}
	}
	// PRODUCT: section 4, clock_behind. Where no floor is known, because it was lost or reset, each collection's own last
	// check is one, until the next.
	if r := behind(now, st.Checked); r != nil {
		r.Err = st.Failure
		return r
	}
	// PRODUCT: section 2, max_stale.
	if age := now.Sub(st.Checked); age > s.MaxStale {
		return &Refusal{
			Reason: MetadataStale, Err: st.Failure,
			Text: fmt.Sprintf("last successful check was %s ago, more than max_stale %s", round(age), s.MaxStale),
		}
	}
	return nil
}
