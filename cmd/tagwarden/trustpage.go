package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A trustPage is what trust inspect says of one image: the members that docker trust inspect prints, in its order and
// spelling, and behind them what it does not know.
type trustPage struct {
	Name               string
	SignedTags         []signedTag
	Signers            []namedKeys
	AdministrativeKeys []namedKeys
	Source             string        // the name of the source, or where the repository is
	Versions           []pageVersion // of the verified files
	Problems           []string      // that do not keep the rest from being verified
}

// A signedTag is a tag and what it means.
type signedTag struct {
	SignedTag string
	Digest    string // in hexadecimal digits, as docker prints it
	Signers   []string
	Expires   *time.Time `json:",omitempty"` // when the first of the files ends that the tag rests on
	Upstream  string     `json:",omitempty"` // the digest that the registry has under the tag now, or why that is not known
}

// A namedKeys is a person or an office, and the keys that count for it.
type namedKeys struct {
	Name      string
	Keys      []keyID
	Threshold int `json:",omitempty"` // how many of the keys must sign
}

type keyID struct{ ID string }

type pageVersion struct {
	Role    string
	Version int64
	Expires time.Time
}

// repoAdmin is docker's word for the holder of the targets key.
const repoAdmin = "Repo Admin"

// printTrustJSON writes pages as docker does: one list, four spaces deep.
func printTrustJSON(w io.Writer, pages []trustPage) error {
	j := json.NewEncoder(w)
	j.SetIndent("", "    ")
	return j.Encode(pages)
}

// print writes the page for people: docker's three tables, then the files and the registry's own tags.
func (p trustPage) print(w io.Writer, now time.Time) error {
	b := &strings.Builder{}
	p.printTags(b)
	p.printSigners(b)
	fmt.Fprintf(b, "\nAdministrative keys for %s\n\n", p.Name)
	for _, name := range []string{"Repository", "Root"} {
		for _, a := range p.AdministrativeKeys {
			if a.Name == name {
				fmt.Fprintf(b, "  %s Key:\t%s%s\n", name, strings.Join(a.ids(0), ", "), a.enough())
			}
		}
	}
	p.printVersions(b, now)
	p.printUpstream(b)
	_, err := io.WriteString(w, b.String())
	return err
}

// columns returns a writer of columns as docker lays them out.
func columns(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 10, 1, 3, ' ', 0) }

func (p trustPage) printTags(b *strings.Builder) {
	if len(p.SignedTags) == 0 {
		fmt.Fprintf(b, "\nNo signatures for %s\n\n", p.Name)
		return
	}
	fmt.Fprintf(b, "\nSignatures for %s\n\n", p.Name)
	t := columns(b)
	fmt.Fprintln(t, "SIGNED TAG\tDIGEST\tSIGNERS")
	for _, s := range p.SignedTags {
		by := strings.Join(allSafe(s.Signers), ", ")
		if by == repoAdmin {
			by = "(" + repoAdmin + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", safe(s.SignedTag), s.Digest, by)
	}
	t.Flush()
}

func (p trustPage) printSigners(b *strings.Builder) {
	if len(p.Signers) == 0 {
		return
	}
	fmt.Fprintf(b, "\nList of signers and their keys for %s\n\n", p.Name)
	t := columns(b)
	fmt.Fprintln(t, "SIGNER\tKEYS")
	for _, s := range p.Signers {
		fmt.Fprintf(t, "%s\t%s%s\n", safe(s.Name), strings.Join(s.ids(12), ", "), s.enough())
	}
	t.Flush()
}

func (p trustPage) printVersions(b *strings.Builder, now time.Time) {
	fmt.Fprintf(b, "\nMetadata of %s\n\n", p.Source)
	t := columns(b)
	fmt.Fprintln(t, "ROLE\tVERSION\tEXPIRES\tLEFT")
	for _, v := range p.Versions {
		rest := "expired"
		if !now.After(v.Expires) {
			rest = left(v.Expires.Sub(now))
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", safe(v.Role), v.Version, stamp(v.Expires), rest)
	}
	t.Flush()
	for _, s := range p.Problems {
		fmt.Fprintf(b, "  %s\n", safe(s))
	}
}

func (p trustPage) printUpstream(b *strings.Builder) {
	asked := false
	for _, s := range p.SignedTags {
		asked = asked || s.Upstream != ""
	}
	if !asked {
		return
	}
	fmt.Fprintf(b, "\nThe registry's tags now for %s\n\n", p.Name)
	t := columns(b)
	fmt.Fprintln(t, "TAG\tUPSTREAM")
	for _, s := range p.SignedTags {
		has := s.Upstream
		switch has {
		case "":
			has = "not asked"
		case "sha256:" + s.Digest:
			has = "as signed"
		}
		fmt.Fprintf(t, "%s\t%s\n", safe(s.SignedTag), safe(has))
	}
	t.Flush()
}

// allSafe is safe for a list: whoever signs chooses the names in it.
func allSafe(all []string) []string {
	safely := make([]string, len(all))
	for i, s := range all {
		safely[i] = safe(s)
	}
	return safely
}

// ids returns the ids of the keys, cut to so many digits; 0: whole.
func (n namedKeys) ids(digits int) []string {
	var all []string
	for _, k := range n.Keys {
		if digits > 0 && len(k.ID) > digits {
			k.ID = k.ID[:digits]
		}
		all = append(all, k.ID)
	}
	return all
}

// enough says how many of the keys must sign, where that is not one.
func (n namedKeys) enough() string {
	if n.Threshold < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d)", n.Threshold, len(n.Keys))
}
