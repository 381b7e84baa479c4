package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// released returns the one target that the claims release under the rule.
func (a *Authority) released(r Rule, s SourcePolicy, st Statement) (Target, error) {
	if r.Signers != nil {
		return a.agreed(*r.Signers, s, st)
	}
	for _, c := range st.Claims {
		if c.Released {
			return c.Target, nil
		}
	}
	return Target{}, &Refusal{Reason: UnsignedTag, Text: "no claim is released"}
}

// agreed returns the target that enough of the signers name. Those whose word has expired do not count. Where the count
// could be reached by two targets, or is missed only because signers name different ones, they disagree.
//
// PRODUCT: section 2, signers: all, any, or threshold with of.
func (a *Authority) agreed(want Signers, s SourcePolicy, st Statement) (Target, error) {
	if len(st.Claims) == 0 {
		return Target{}, &Refusal{Reason: UnsignedTag, Text: "nobody signed it"}
	}
	by := make(map[digest.Digest][]string)
	targets := make(map[digest.Digest]Target)
	signed := 0
	for _, name := range want.Of {
		i := slices.IndexFunc(st.Claims, func(c Claim) bool { return c.Signer == name })
		if i < 0 || a.now().After(st.Claims[i].Expires.Add(s.Grace)) {
			continue
		}
		t := st.Claims[i].Target
		by[t.Digest], targets[t.Digest] = append(by[t.Digest], name), t
		signed++
	}
	var enough []Target
	for d, names := range by {
		if len(names) >= want.Threshold {
			enough = append(enough, targets[d])
		}
	}
	switch {
	case len(enough) == 1:
		return enough[0], nil
	case len(enough) > 1 || signed >= want.Threshold:
		return Target{}, &Refusal{Reason: SignersDisagree, Text: fmt.Sprintf("signers %s name %d different digests", strings.Join(want.Of, ", "), len(by))}
	}
	return Target{}, &Refusal{Reason: SignerMissing, Text: fmt.Sprintf("%d of %d required signers have signed: %s", signed, want.Threshold, strings.Join(want.Of, ", "))}
}
