package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// An explanation is everything about one decision.
type explanation struct {
	Image    string        `json:"image"`
	Rule     string        `json:"rule"`
	Why      string        `json:"why"` // the rule won
	Mode     string        `json:"mode"`
	Source   string        `json:"source"`
	Pin      string        `json:"pin"`     // whose root may speak for the image
	Signers  string        `json:"signers"` // that the rule asks for, and those found
	Checked  *time.Time    `json:"checked"`
	Versions []roleVersion `json:"versions"`
	Claims   []claim       `json:"claims"`
	Verdict  string        `json:"verdict"`
	Reason   string        `json:"reason"`
	Digest   string        `json:"digest"`
	Message  string        `json:"message"`
	Upstream string        `json:"upstream"` // what the registry has under the tag now, or why that is not known
	Cached   bool          `json:"cached"`   // the digest is in the cache
}

type roleVersion struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	Keys    []string  `json:"keys"`
}

type claim struct {
	Role     string   `json:"role"`
	Signer   string   `json:"signer"`
	Digest   string   `json:"digest"`
	Keys     []string `json:"keys"`
	Released bool     `json:"released"`
}

// end prints the explanation; the command fails for what is refused.
func (e explanation) end(w io.Writer, output string) error {
	if err := e.print(w, output); err != nil {
		return err
	}
	if e.Verdict == trust.Deny.String() || e.Verdict == trust.Undecided.String() {
		return errSaid
	}
	return nil
}

// found returns how many of the signers have a claim.
func (e explanation) found(of []string) int {
	n := 0
	for _, name := range of {
		if slices.ContainsFunc(e.Claims, func(c claim) bool { return c.Signer == name }) {
			n++
		}
	}
	return n
}

// explained lists what the decision rests on.
func explained(image string, d trust.Decision) explanation {
	e := explanation{
		Image: image, Rule: d.Rule, Mode: d.Mode.String(), Source: d.Source, Verdict: d.Verdict.String(), Reason: string(d.Reason),
		Digest: d.Signed().String(), Message: d.Message(),
	}
	if !d.Statement.Checked.IsZero() {
		e.Checked = &d.Statement.Checked
	}
	for _, v := range d.Statement.Versions {
		e.Versions = append(e.Versions, roleVersion{v.Role, v.Version, v.Expires, v.Keys})
	}
	for _, c := range d.Statement.Claims {
		e.Claims = append(e.Claims, claim{c.Role, c.Signer, c.Target.Digest.String(), c.Keys, c.Released})
	}
	return e
}

// print writes the explanation for people, or as JSON.
func (e explanation) print(w io.Writer, output string) error {
	if output == "json" {
		j := json.NewEncoder(w)
		j.SetIndent("", "  ")
		return j.Encode(e)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	row("image", "%s", e.Image)
	row("rule", "%s (%s)", orNone(e.Rule), e.Mode)
	if e.Why != "" {
		row("", "%s", e.Why)
	}
	row("source", "%s", orNone(e.Source))
	if e.Pin != "" {
		row("pin", "%s", e.Pin)
	}
	if e.Signers != "" {
		row("signers", "%s", e.Signers)
	}
	if e.Checked != nil {
		row("checked", "%s", e.Checked.UTC().Format(time.RFC3339))
	}
	for _, v := range e.Versions {
		row("", "%s v%d, expires %s, keys %s", v.Role, v.Version, v.Expires.UTC().Format(time.RFC3339), v.Keys)
	}
	for _, c := range e.Claims {
		row("signed by", "%s as %s, keys %s", c.Role, c.Digest, c.Keys)
	}
	row("verdict", "%s %s", e.Verdict, e.Reason)
	if e.Digest != "" {
		row("digest", "%s", e.Digest)
		row("cached", "%v", e.Cached)
	}
	if e.Upstream != "" {
		row("upstream", "%s", e.Upstream)
	}
	if e.Message != "" {
		row("message", "%s", e.Message)
	}
	return t.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
