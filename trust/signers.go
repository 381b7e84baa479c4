package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// released returns the claims that make a tag mean something under the rule: one that the format's own rule takes, first,
// and those of the signers that the rule asks for beyond it.
func (a *Authority) released(r Rule, s SourcePolicy, st Statement) ([]Claim, error) {
	i := slices.IndexFunc(st.Claims, func(c Claim) bool { return c.Released })
	if i < 0 {
		return nil, &Refusal{Reason: UnsignedTag, Text: "no claim is released"}
	}
	if r.Signers == nil {
		return st.Claims[i : i+1], nil
	}
	return a.agreed(*r.Signers, s, st)
}

// agreed returns the one released claim whose target enough signers name, with theirs. Those whose word has expired do
// not count. Where the count is missed only because signers name something else, they disagree; so they do where there
// are enough for two targets.
//
// PRODUCT: section 2, signers: all, any, or threshold with of.
func (a *Authority) agreed(want Signers, s SourcePolicy, st Statement) ([]Claim, error) {
	said := a.said(want, s, st)
	var basis []Claim
	for _, c := range st.Claims {
		if !c.Released || len(basis) > 0 && basis[0].Target.Digest == c.Target.Digest {
			continue
		}
		same := []Claim{c}
		for _, by := range said {
			if by.Target.Digest == c.Target.Digest {
				same = append(same, by)
			}
		}
		switch {
		case len(same)-1 < want.Threshold:
		case len(basis) > 0:
			return nil, &Refusal{Reason: SignersDisagree, Text: fmt.Sprintf("enough of the signers %s name one digest, and enough another", strings.Join(want.Of, ", "))}
		default:
			basis = same
		}
	}
	switch {
	case len(basis) > 0:
		return basis, nil
	case len(said) >= want.Threshold:
		return nil, &Refusal{Reason: SignersDisagree, Text: fmt.Sprintf("%d of the signers %s have signed, but fewer than %d of them a digest that is released", len(said), strings.Join(want.Of, ", "), want.Threshold)}
	}
	return nil, &Refusal{Reason: SignerMissing, Text: fmt.Sprintf("%d of the signers %s must sign it, and %s", want.Threshold, strings.Join(want.Of, ", "), whoSaid(said))}
}

// whoSaid names the signers of claims that are too few.
func whoSaid(said []Claim) string {
	signers := make([]string, len(said))
	for i, c := range said {
		signers[i] = c.Signer
	}
	switch len(signers) {
	case 0:
		return "none has"
	case 1:
		return "only " + signers[0] + " has"
	}
	return "only " + strings.Join(signers, ", ") + " have"
}

// said returns the latest word of each signer that is asked for: one claim of each, if it has not expired.
func (a *Authority) said(want Signers, s SourcePolicy, st Statement) []Claim {
	var said []Claim
	for _, name := range want.Of {
		i := slices.IndexFunc(st.Claims, func(c Claim) bool { return c.Signer == name })
		if i >= 0 && !a.now().After(st.Claims[i].Expires.Add(s.Grace)) {
			said = append(said, st.Claims[i])
		}
	}
	return said
}

// overdue tells whether something has expired that the decision rests on, so that only grace still holds it.
func overdue(now time.Time, st Statement, basis []Claim) bool {
	return now.After(st.Expires) || slices.ContainsFunc(basis, func(c Claim) bool { return !c.Expires.IsZero() && now.After(c.Expires) })
}
