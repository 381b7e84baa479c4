package dct

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// DCT: section 3.5, W9: how many roles there may be below targets in all, and how deep.
func TestBoundsOfDelegations(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(n *trusttest.Notary)
		want trust.Reason
	}{
		{"as deep as may be", func(n *trusttest.Notary) { nest(n, maxNesting-1) }, ""},
		{"one deeper", func(n *trusttest.Notary) { nest(n, maxNesting) }, trust.MetadataInvalid},
		{"as many as may be", func(n *trusttest.Notary) { spread(n, maxRoles-2) }, ""},
		{"one more", func(n *trusttest.Notary) { spread(n, maxRoles-1) }, trust.MetadataInvalid},
	} {
		n := newRepo()
		c.make(n)
		n.Publish()
		if _, err := rig(t, n, pinOf(n)).open().Refresh(t.Context()); err == nil && c.want != "" || err != nil && trust.ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// nest adds roles each of which delegates to the next.
func nest(n *trusttest.Notary, depth int) {
	for i := range depth {
		n.Delegate("targets"+strings.Repeat("/d", i+1), "")
	}
}

// spread adds many roles, half of them below one of the others.
func spread(n *trusttest.Notary, many int) {
	for i := range many {
		c := *n.Delegations[0]
		c.Name = fmt.Sprintf("targets/e%d", i)
		if i > many/2 {
			c.Name = fmt.Sprintf("targets/e0/e%d", i)
		}
		n.Delegations = append(n.Delegations, &c)
	}
}

// DCT: W2, what a role delegates to that is not valid is not known, and says nothing; and what is wrong further down is
// as wrong as at the top.
func TestBelowADelegation(t *testing.T) {
	published := func(change func(a, b *trusttest.Role)) (*trust.Snapshot, error) {
		n := newRepo()
		a, b := n.Delegate("targets/a", ""), n.Delegate("targets/a/b", "")
		b.Sign("v1", "good")
		change(a, b)
		n.Publish()
		return rig(t, n, pinOf(n)).open().Refresh(t.Context())
	}
	said := func(s *trust.Snapshot) bool {
		return slices.ContainsFunc(s.Lookup("v1").Claims, func(c trust.Claim) bool { return c.Role == "targets/a/b" }) ||
			slices.ContainsFunc(s.Versions, func(v trust.RoleVersion) bool { return v.Role == "targets/a/b" })
	}
	if s, err := published(func(a, b *trusttest.Role) {}); err != nil || !said(s) {
		t.Fatalf("%v; b does not count", err)
	}
	if s, err := published(func(a, b *trusttest.Role) { a.Tamper = spoilSignature }); err != nil || said(s) {
		t.Errorf("%v; b counts although a does not", err)
	}
	_, err := published(func(a, b *trusttest.Role) { b.Tamper = func([]byte) []byte { return []byte("{}") } })
	if trust.ReasonOf(err) != trust.MetadataInvalid || err == nil {
		t.Errorf("b is no document: %v", err)
	}
}

// targetsFile returns a targets file without signatures.
func targetsFile(members string) []byte {
	return []byte(`{"signed":{"_type":"Targets","version":1,"expires":"2027-01-01T00:00:00Z",` + members + `},"signatures":[]}`)
}

// DCT: W9, how much of each kind one file may hold.
func TestBoundsOfAFile(t *testing.T) {
	many := func(n int, f func(i int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = f(i)
		}
		return strings.Join(all, ",")
	}
	role := func(i int, paths string) string {
		return fmt.Sprintf(`{"name":"targets/r%d","keyids":[],"threshold":1,"paths":[%s]}`, i, paths)
	}
	for name, c := range map[string]struct {
		limit int
		file  func(n int) string
	}{
		"hashes": {maxHashes, func(n int) string {
			return `"targets":{"a":{"length":1,"hashes":{` + many(n, func(i int) string { return fmt.Sprintf(`"h%d":"AA=="`, i) }) + `}}}`
		}},
		"roles": {maxRoles, func(n int) string {
			return `"delegations":{"keys":{},"roles":[` + many(n, func(i int) string { return role(i, "") }) + `]}`
		}},
		"paths": {maxPaths, func(n int) string {
			return `"delegations":{"keys":{},"roles":[` + role(0, many(n, func(i int) string { return fmt.Sprintf(`"%d"`, i) })) + `]}`
		}},
	} {
		if _, err := parseTargets("targets", targetsFile(c.file(c.limit))); err != nil {
			t.Errorf("%d %s: %v", c.limit, name, err)
		}
		if _, err := parseTargets("targets", targetsFile(c.file(c.limit+1))); err == nil {
			t.Errorf("%d %s were taken", c.limit+1, name)
		}
	}
}

// DCT: section 3.5, whose children a role may name.
func TestNamesOfDelegations(t *testing.T) {
	for name, ok := range map[string]bool{
		"targets/a": true, "targets/a-b_c1": true, "targets/a/b": false, "targets": false, "targets/": false, "other/a": false, "targetsa": false,
		"targets/A": false, "targets/../a": false, "targets/a/": false, "": false, "targets/" + strings.Repeat("a", 248): false,
	} {
		file := targetsFile(fmt.Sprintf(`"delegations":{"keys":{},"roles":[{"name":%q,"keyids":[],"threshold":1,"paths":[]}]}`, name))
		if _, err := parseTargets("targets", file); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// DCT: W8, a key of any length would be hashed and parsed at every start.
func TestLargestKey(t *testing.T) {
	k := trusttest.NewCertKey(trusttest.ECDSA, gun, fixtureTime)
	bundle := decodeB64(t, k.Public)
	if err := (&key{}).parse("ecdsa-x509", k.Public+"!"); err == nil {
		t.Error("a key with something behind it was taken")
	}
	padded := base64.StdEncoding.EncodeToString(append(bytes.Clone(bundle), bytes.Repeat([]byte("\n"), maxKey)...))
	if err := (&key{}).parse("ecdsa-x509", k.Public); err != nil {
		t.Error(err)
	}
	if err := (&key{}).parse("ecdsa-x509", padded); err == nil {
		t.Errorf("a key of %d bytes was taken", len(padded))
	}
}

// DCT: section 2.3, both paddings of RSA, each under its own name and over its own message.
func TestRSA(t *testing.T) {
	for _, method := range []string{"rsapss", "rsapkcs1v15"} {
		n := trusttest.NewNotary(gun, fixtureTime)
		n.Timestamp.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.RSA)}
		n.Timestamp.Keys[0].Method = method
		n.Publish()
		d, err := parse("timestamp", "Timestamp", n.Files()["timestamp.json"])
		if err != nil {
			t.Fatal(err)
		}
		k := &key{}
		if err := k.parse("rsa", n.Timestamp.Keys[0].Public); err != nil {
			t.Fatal(err)
		}
		sig := d.signatures[0].sig
		for name, got := range map[string]bool{
			"right": !k.verifies(method, d.message, sig), "another message": k.verifies(method, append(bytes.Clone(d.message), ' '), sig),
			"no signature": k.verifies(method, d.message, nil), "no method": k.verifies("", d.message, sig), "another method": k.verifies("ecdsa", d.message, sig),
			"the other padding": k.verifies(map[string]string{"rsapss": "rsapkcs1v15", "rsapkcs1v15": "rsapss"}[method], d.message, sig),
		} {
			if got {
				t.Errorf("%s: %s", method, name)
			}
		}
	}
}

// DCT: section 4.1, an entry means something by a whole sha256 alone.
func TestEntriesWithoutDigest(t *testing.T) {
	sum := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for hashes, usable := range map[string]bool{
		`"sha256":"` + sum + `"`: true, `"sha256":"` + sum + `","md5":"AA=="`: true,
		`"sha256":"` + sum + `!"`: false, `"sha512":"` + sum + `"`: false, `"SHA256":"` + sum + `"`: false, `"sha256":""`: false, `"sha256":1`: false,
		`"sha256":"` + base64.StdEncoding.EncodeToString(make([]byte, 31)) + `"`: false, `"sha256":"` + base64.StdEncoding.EncodeToString(make([]byte, 33)) + `"`: false,
	} {
		ts, err := parseTargets("targets", targetsFile(`"targets":{"a":{"length":1,"hashes":{`+hashes+`}}}`))
		if err != nil {
			t.Errorf("%s spoils the file: %v", hashes, err)
			continue
		}
		if got := ts.entries["a"].digest; (got != "") != usable {
			t.Errorf("%s: digest %q", hashes, got)
		}
	}
}

// DCT: section 2.4, who signed twice is named once.
func TestSignersAreDistinct(t *testing.T) {
	n := newRepo()
	n.Targets.Signers = slices.Repeat(n.Targets.Keys, 2)
	n.Publish()
	s, err := rig(t, n, pinOf(n)).open().Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Versions {
		if len(v.Keys) != 1 {
			t.Errorf("%s is signed by %q", v.Role, v.Keys)
		}
	}
}

// DCT: section 2.4, nobody's word is not enough, whatever a threshold says.
func TestNobodySignsNothing(t *testing.T) {
	for _, threshold := range []int{-1, 0, 1} {
		if err := (authority{threshold: threshold}).verify(&document{role: "targets"}); err == nil {
			t.Errorf("threshold %d of no keys is met", threshold)
		}
	}
}

// DCT: W4, the person on call reads whether a file is old or another.
func TestRollbackSaysWhat(t *testing.T) {
	for want, change := range map[string]func(n *trusttest.Notary){
		"targets v2 has other content than the v2": func(n *trusttest.Notary) { n.Targets.Sign("x", "x") },
		"targets v1 is older than v2":              func(n *trusttest.Notary) { n.Targets.Version = 1 },
	} {
		n := newRepo()
		n.Targets.Version = 2
		w := taken(t, n, pinOf(n))
		change(n)
		n.Next()
		if _, err := w.open().Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// DCT: section 4.1, what targets says of a name holds as long as all of releases that were asked before do.
func TestSilenceExpires(t *testing.T) {
	hour := func(i int) time.Time { return fixtureTime.Add(time.Duration(i) * time.Hour) }
	for _, ends := range [][2]int{{1, 2}, {2, 1}} {
		n := newRepo()
		delete(n.Delegations[0].Entries, "v1")
		for i, end := range ends {
			n.Delegate(fmt.Sprintf("%s/r%d", releasesRole, i), "").Expires = hour(end)
		}
		n.Publish()
		s, err := rig(t, n, pinOf(n)).open().Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e := s.Lookup("v1"); !e.Expires.Equal(hour(1)) || verdictOf(e) != "targets" {
			t.Errorf("ends %v: %+v, want targets until %v", ends, e, hour(1))
		}
	}
}

// verdictOf returns the role whose word is released.
func verdictOf(e trust.Entry) string {
	_, role, _ := released(e)
	return role
}

// PRODUCT: invariant 9, what a source sends is bounded here too, each file and all together.
func TestBoundsOfAnUpdate(t *testing.T) {
	file := make([]byte, maxTargets)
	for _, kept := range []bool{false, true} {
		u := update{kept: kept, src: fetch(func(context.Context, string, int64) ([]byte, error) { return file, nil })}
		for i := range maxUpdate/maxTargets + 1 {
			_, err := u.fetch(t.Context(), "targets", maxTargets)
			if want := !kept && i == maxUpdate/maxTargets; (err != nil) != want {
				t.Errorf("kept %v, file %d: %v", kept, i, err)
			}
		}
	}
	u := update{src: fetch(func(context.Context, string, int64) ([]byte, error) { return file[:11], nil })}
	if _, err := u.fetch(t.Context(), "targets", 10); trust.ReasonOf(err) != trust.MetadataInvalid || err == nil {
		t.Errorf("11 bytes for 10: %v", err)
	}
}

// DCT: section 3 step 3, a walk that finds no newer root leaves the first error, and asks for nothing twice.
func TestFailureIsNotRepeated(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	n.Timestamp.Tamper = spoilSignature
	n.Next()
	n.Asked()
	if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.SignatureInvalid {
		t.Error(err)
	}
	asked := slices.DeleteFunc(n.Asked(), func(file string) bool { return file != "timestamp.json" })
	if len(asked) != 1 {
		t.Errorf("the timestamp was asked for %d times", len(asked))
	}
}
