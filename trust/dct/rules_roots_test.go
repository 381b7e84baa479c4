package dct

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// DCT: section 3.1 step 3, W14: of several certificates as many as the threshold must be valid.
func TestSpanOfSeveralCertificates(t *testing.T) {
	n := trusttest.NewNotary(gun, fixtureTime)
	day := func(i int) time.Time { return fixtureTime.AddDate(0, 0, i) }
	certify := func(begin, end int) *trusttest.Key {
		tmpl := trusttest.Template(gun, fixtureTime)
		tmpl.NotBefore, tmpl.NotAfter = day(begin), day(end)
		return trusttest.NewKey(trusttest.ECDSA).Certify(tmpl, nil, nil)
	}
	a, b, c := certify(-3, 10), certify(-5, 30), certify(-1, 20)
	for name, tt := range map[string]struct {
		threshold   int
		signers     []*trusttest.Key
		from, until int
	}{
		"one of three":      {1, []*trusttest.Key{a, b, c}, -6, 30},
		"two of three":      {2, []*trusttest.Key{a, b, c}, -4, 20},
		"three of three":    {3, []*trusttest.Key{a, b, c}, -2, 10},
		"two who signed":    {2, []*trusttest.Key{b, a}, -4, 10},
		"its own expiry":    {1, []*trusttest.Key{b}, -6, 25},
		"not enough signed": {2, []*trusttest.Key{b}, 25, 0},
	} {
		n.Root.Keys, n.Root.Signers, n.Root.Threshold, n.Root.Expires = []*trusttest.Key{a, b, c}, tt.signers, tt.threshold, day(40)
		n.Root.Version++
		if tt.until == 25 || tt.from == 25 {
			n.Root.Expires = day(25)
		}
		n.Publish()
		r, err := parseRoot(gun, n.Files()["root.json"])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.selfSigned(); (err == nil) != (len(tt.signers) >= tt.threshold) {
			t.Fatalf("%s: %v", name, err)
		}
		want := day(tt.until)
		if tt.until == 0 {
			want = time.Unix(0, 0)
		}
		if from, until := r.span(); !from.Equal(day(tt.from)) || !until.Equal(want) {
			t.Errorf("%s: from %v until %v, want %v and %v", name, from, until, day(tt.from), want)
		}
	}
}

// DCT: W7, what a certificate must say of its use.
func TestUsage(t *testing.T) {
	mail := []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	for name, c := range map[string]struct {
		cert x509.Certificate
		ok   bool
	}{
		"nothing":           {x509.Certificate{}, true},
		"any":               {x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, true},
		"code":              {x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, true},
		"servers":           {x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, true},
		"mail":              {x509.Certificate{ExtKeyUsage: mail}, false},
		"mail and code":     {x509.Certificate{ExtKeyUsage: append(mail, x509.ExtKeyUsageCodeSigning)}, true},
		"something unknown": {x509.Certificate{UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3}}}, false},
	} {
		if got := usage(&c.cert); got != c.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// rotate replaces the root key; the next root is signed by both.
func rotate(n *trusttest.Notary) {
	old := n.Root.Keys
	n.Root.Keys = []*trusttest.Key{trusttest.NewCertKey(trusttest.ECDSA, gun, fixtureTime)}
	n.Root.Version++
	n.Root.Signers = append(slices.Clone(n.Root.Keys), old...)
}

// DCT: W6, on every start the roots are walked from the first that the pin allows, and none is forgotten by that.
func TestKeptRootsAreWalkedInOrder(t *testing.T) {
	n := newRepo()
	w := taken(t, n, Pin{TOFU: true})
	for range 3 {
		rotate(n)
		n.Next()
		if _, err := w.open().Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		n.Next()
		if _, err := w.open().Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		record, err := w.store.Collection("fixtures", gun).Load()
		if err != nil || record.Files[0].Name != "1.root.json" || record.Files[3].Name != "4.root.json" {
			t.Fatalf("%v, %v", record, err)
		}
	}
	// A pin that moves along with the root loses nothing.
	w.pin, w.events = pinOf(n), nil
	if s, err := w.open().Load(t.Context()); s == nil || err != nil || len(w.events) > 0 {
		t.Errorf("%v, %v, events %v", s != nil, err, w.events)
	}
}

// DCT: section 3.1 steps 2 and 3, which root keys may speak for a name: with one leaf certificate, first, of that name.
func TestLeafs(t *testing.T) {
	leaf := trusttest.NewCertKey(trusttest.ECDSA, gun, fixtureTime)
	tmpl := trusttest.Template("CA", fixtureTime)
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	ca := trusttest.NewKey(trusttest.ECDSA).Certify(tmpl, nil, nil)
	bundle := func(of *trusttest.Key, more ...*trusttest.Key) *trusttest.Key {
		k := *of
		pems := decodeB64(t, k.Public)
		for _, m := range more {
			pems = append(pems, decodeB64(t, m.Public)...)
		}
		k.Public = base64.StdEncoding.EncodeToString(pems)
		return &k
	}
	for name, c := range map[string]struct {
		key *trusttest.Key
		ok  bool
	}{
		"leaf": {leaf, true}, "leaf and CA": {bundle(leaf, ca), true}, "leaf and leaf": {bundle(leaf, leaf), false}, "leaf, CA and leaf": {bundle(leaf, ca, leaf), false},
		"CA and leaf": {bundle(ca, leaf), false}, "CA": {ca, false}, "no certificate": {trusttest.NewKey(trusttest.ECDSA), false},
		"another name": {trusttest.NewCertKey(trusttest.ECDSA, gun+"2", fixtureTime), false}, "another name and CA": {bundle(trusttest.NewCertKey(trusttest.ECDSA, "x", fixtureTime), ca), false},
	} {
		n := newRepo()
		n.Root.Keys = []*trusttest.Key{c.key}
		n.Publish()
		r, err := parseRoot(gun, n.Files()["root.json"])
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.leafs()); got != map[bool]int{true: 1}[c.ok] {
			t.Errorf("%s: %d keys may speak", name, got)
		}
	}
}

// DCT: W7, only a star reaches below a name, and by itself it reaches nothing.
func TestCertifiesBelow(t *testing.T) {
	for _, c := range []struct {
		cn, gun string
		ok      bool
	}{
		{"r.io/ns", "r.io/ns/app", false}, {"r.io/ns/", "r.io/ns/app", false}, {"r.io", "r.io/app", false}, {"r.io/ns*", "r.io/ns/app", true},
		{"*", "/app", false}, {"/*", "/app", false}, {"*", "", false}, {"", "", true},
	} {
		if got := certifies(c.cn, c.gun); got != c.ok {
			t.Errorf("certificate for %q, name %q: %v", c.cn, c.gun, got)
		}
	}
}

// PRODUCT: section 8, the way from 1.root.json is walked while there are roots, up to the newest, and not for ever.
func TestWayToThePinIsBounded(t *testing.T) {
	n := newRepo()
	n.Root.Version = 1000
	n.Publish()
	newest := n.Files()["root.json"]
	for _, c := range []struct{ there, newest, asked int }{{1 << 20, 1000, maxRotations - 1}, {1 << 20, 7, 6}, {3, 7, 4}, {0, 7, 1}} {
		asked := 0
		version := func(v int) []byte {
			return bytes.Replace(newest, []byte(`"version":1000`), fmt.Appendf(nil, `"version":%d`, v), 1)
		}
		w := &world{t: t, pin: Pin{Keys: []string{"another"}}, now: fixtureTime, gun: gun}
		w.keep()
		w.source = fetch(func(_ context.Context, file string, limit int64) ([]byte, error) {
			if limit != maxRoot {
				t.Errorf("%s may have %d bytes", file, limit)
			}
			var v int
			if _, err := fmt.Sscanf(file, "%d.root.json", &v); err != nil {
				return version(c.newest), nil
			}
			if asked++; v > c.there {
				return nil, fs.ErrNotExist
			}
			return version(v), nil
		})
		if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.RootNotPinned || asked != c.asked {
			t.Errorf("%d roots, %d the newest: asked for %d, want %d; %v", c.there, c.newest, asked, c.asked, err)
		}
	}
}

// DCT: W5, a root on the way that cannot be had, or is none, ends the way with that.
func TestWayToThePinIsBroken(t *testing.T) {
	n := newRepo()
	n.Root.Version = 3
	n.Publish()
	for want, first := range map[trust.Reason]func() ([]byte, error){
		trust.SourceUnreachable: func() ([]byte, error) { return nil, errors.New("down") },
		trust.MetadataInvalid:   func() ([]byte, error) { return []byte("{}"), nil },
		trust.RootMismatch:      func() ([]byte, error) { return n.Files()["root.json"], nil },
	} {
		w := rig(t, n, Pin{Keys: []string{"another"}})
		w.source = fetch(func(ctx context.Context, file string, limit int64) ([]byte, error) {
			if file == "1.root.json" {
				return first()
			}
			return n.Fetch(ctx, file, limit)
		})
		if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// DCT: section 1.5, a timestamp that has not changed says nothing under another root.
func TestNewRootUnderAnOldTimestamp(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	files := maps.Clone(n.Files())
	rotate(n)
	n.Publish()
	files["2.root.json"] = n.Files()["2.root.json"]
	n.Serve(files)
	if _, err := w.open().Refresh(t.Context()); trust.ReasonOf(err) != trust.RootMismatch {
		t.Errorf("%v, want root_mismatch: the snapshot names the first root", err)
	}
}

// DCT: W5, how many roots one update walks; and however many came in several, they are walked again at every start.
func TestManyRoots(t *testing.T) {
	n := newRepo()
	w := taken(t, n, pinOf(n))
	advance := func(by int) error {
		for range by {
			rotate(n)
			n.Publish()
		}
		n.Next()
		_, err := w.open().Refresh(t.Context())
		return err
	}
	for range 2 {
		if err := advance(maxRotations/2 + 1); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := w.open().Load(t.Context()); s == nil || err != nil {
		t.Errorf("%d roots do not load: %v", n.Root.Version, err)
	}
	if err := advance(maxRotations + 1); trust.ReasonOf(err) != trust.MetadataInvalid || err == nil {
		t.Errorf("%d roots at once: %v", maxRotations+1, err)
	}
}
