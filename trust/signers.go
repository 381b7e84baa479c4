package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// released returns the claims that make a tag mean something under the rule: the one that the format's own rule takes,
// first, and those of the signers that the rule asks for beyond it.
func (a *Authority) released(r Rule, s SourcePolicy, st Statement) ([]Claim, error) {
	i := slices.IndexFunc(st.Claims, func(c Claim) bool { return c.Released })
	if i < 0 {
		return nil, &Refusal{Reason: UnsignedTag, Text: "no claim is released"}
	}
	basis := []Claim{st.Claims[i]}
	if r.Signers == nil {
		return basis, nil
	}
	return a.agreed(basis, *r.Signers, s, st)
}

// agreed adds the claims of the signers that name the same target. Those whose word has expired do not count. Where the
// count is missed only because signers name something else, they disagree.
//
// PRODUCT: section 2, signers: all, any, or threshold with of.
func (a *Authority) agreed(basis []Claim, want Signers, s SourcePolicy, st Statement) ([]Claim, error) {
	signed := 0
	for _, name := range want.Of {
		i := slices.IndexFunc(st.Claims, func(c Claim) bool { return c.Signer == name })
		if i < 0 || a.now().After(st.Claims[i].Expires.Add(s.Grace)) {
			continue
		}
		signed++
		if st.Claims[i].Target.Digest == basis[0].Target.Digest {
			basis = append(basis, st.Claims[i])
		}
	}
	switch {
	case len(basis)-1 >= want.Threshold:
		return basis, nil
	case signed >= want.Threshold:
		return nil, &Refusal{Reason: SignersDisagree, Text: fmt.Sprintf("only %d of the signers %s name the digest that is released", len(basis)-1, strings.Join(want.Of, ", "))}
	}
	return nil, &Refusal{Reason: SignerMissing, Text: fmt.Sprintf("%d of %d required signers have signed: %s", signed, want.Threshold, strings.Join(want.Of, ", "))}
}

// overdue tells whether something has expired that the decision rests on, so that only grace still holds it.
func overdue(now time.Time, st Statement, basis []Claim) bool {
	return now.After(st.Expires) || slices.ContainsFunc(basis, func(c Claim) bool { return !c.Expires.IsZero() && now.After(c.Expires) })
}
