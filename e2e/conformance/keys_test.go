package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// A ring is some keys, each called by a digit.
type ring [10]*trusttest.Key

func newRing() ring {
	var r ring
	for i := range r {
		r[i] = trusttest.NewKey(trusttest.Ed25519)
	}
	return r
}

// some returns the keys of the digits.
func (r ring) some(digits string) []*trusttest.Key {
	var all []*trusttest.Key
	for _, d := range digits {
		all = append(all, r[d-'0'])
	}
	return all
}

// give gives a role keys, a threshold and those who sign: "012 2 02".
func (r ring) give(t *testing.T, role *trusttest.Role, spec string) {
	t.Helper()
	f := strings.Fields(spec)
	threshold, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	role.Keys, role.Threshold, role.Signers = r.some(f[0]), threshold, r.some(f[2])
}

// TestRootRotation: a root is taken when enough keys of the root before it have signed it, and enough of its own.
func TestRootRotation(t *testing.T) {
	for _, c := range []struct {
		name  string
		roots string // keys, threshold and signers of each
		ok    bool   // the last is taken
	}{
		{"one key", "1 1 1, 2 1 21, 2 1 2", true},
		{"one key, signatures of others", "1 1 314, 2 1 3214, 2 1 324", true},
		{"three of five, others each time", "01234 3 024, 01234 3 041, 01234 3 013, 01234 3 013", true},
		{"one of five replaced", "01234 3 024, 01345 3 041", true},
		{"one of five replaced, and signs later", "01234 3 024, 01345 3 0245, 01345 3 045", true},
		{"all of five replaced", "01234 3 024, 56789 3 024567, 56789 3 567", true},
		{"more are needed", "123 1 1, 123 2 12", true},
		{"fewer are needed", "123 2 12, 123 1 12, 123 1 1", true},
		{"one more, and both are needed", "1 1 1, 12 2 12", true},
		{"not by the old key", "1 1 1, 2 1 234", false},
		{"not by the new key", "1 1 1, 2 1 134", false},
		{"not by three new keys", "01234 3 024, 01345 3 024", false},
		{"not by three old keys", "01234 3 024, 01345 3 045", false},
		{"more are needed, and are not there", "123 1 1, 123 2 2", false},
		{"fewer are needed only from the next on", "123 2 12, 123 1 1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, keys := newSuite(t), newRing()
			s.Serve(nil)
			s.Root.Version = 0
			roots := strings.Split(c.roots, ", ")
			for _, spec := range roots {
				s.Root.Version++
				keys.give(t, s.Root, spec)
				s.Publish()
			}
			s.init(s.Files()["1.root.json"])
			if err := s.refresh(); (err == nil) != c.ok {
				t.Errorf("refused: %v", err)
			}
			want := len(roots)
			if !c.ok {
				want--
			}
			if got := s.trusted(); !strings.Contains(" "+got, fmt.Sprintf(" root=%d", want)) {
				t.Errorf("trusts %s, want v%d", got, want)
			}
		})
	}
}

// TestRotation: every other role is signed by enough of the keys that the root gives it.
func TestRotation(t *testing.T) {
	for _, c := range []struct {
		spec string
		ok   bool
	}{
		{"2 1 2", true}, {"1 1 314", true}, {"01234 3 024", true}, {"01234 3 041", true}, {"01234 3 013", true}, {"01234 3 123", true}, {"01234 3 234", true},
		{"2 1 134", false}, {"01345 3 024", false}, {"01345 3 04", false},
	} {
		for _, role := range []func(*suite) *trusttest.Role{timestamp, snapshot, targets} {
			t.Run(c.spec, func(t *testing.T) {
				t.Parallel()
				s := newSuite(t)
				s.refreshes()
				newRing().give(t, role(s), c.spec)
				s.Next(s.Root, s.Targets)
				if err := s.refresh(); (err == nil) != c.ok {
					t.Errorf("%s refused: %v", role(s).Name, err)
				}
				if c.ok {
					s.verbatim()
				} else if got := s.trusted(); !strings.Contains(got, role(s).Name+"=1") {
					t.Errorf("trusts %s", got)
				}
			})
		}
	}
}

// TestKeys: which keys and signatures count.
func TestKeys(t *testing.T) {
	keys := newRing()
	give := func(spec string) func(*suite) {
		return func(s *suite) { keys.give(t, s.Snapshot, spec); s.Next(s.Root) }
	}
	twice := func(member string) func(m map[string]any) {
		return func(m map[string]any) {
			role := m["roles"].(map[string]any)["snapshot"].(map[string]any)
			role[member] = append(role[member].([]string), role[member].([]string)...)
		}
	}
	for _, r := range []row{
		{name: "a signature too few", refused: true, do: func(s *suite) {
			give("012 3 012")(s)
			s.refreshes()
			give("012 3 01")(s)
		}, trusted: "root=3 snapshot=2 targets=1 timestamp=3"},
		{name: "a key too few", refused: true, do: give("01234 6 01234"), trusted: "root=2 snapshot=1 targets=1 timestamp=2"},
		{name: "one key named twice", cold: true, refused: true, do: func(s *suite) {
			s.Root.Edit = twice("keyids")
			give("0 2 00")(s)
		}, trusted: "root=2 timestamp=2"},
		{name: "one signature twice", cold: true, refused: true, do: give("0 1 00"), trusted: "root=2 timestamp=2"},
		{name: "a bad signature beside a good one", do: func(s *suite) {
			give("01 1 01")(s)
			s.SpoilSignature(s.Snapshot)
		}, trusted: "root=2 snapshot=3 targets=1 timestamp=3"},
		{name: "an empty signature beside a good one", do: func(s *suite) {
			give("01 1 01")(s)
			s.Tamper(s.Snapshot, func(raw []byte) []byte {
				i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`)
				return append(raw[:i:i], raw[bytes.LastIndex(raw, []byte(`"}]}`)):]...)
			})
		}, trusted: "root=2 snapshot=3 targets=1 timestamp=3"},
	} {
		t.Run(r.name, r.run)
	}
}

// TestKeyTypes: the keys that the specification names verify, and no other signature by them does.
func TestKeyTypes(t *testing.T) {
	for _, kind := range []trusttest.KeyType{trusttest.RSA, trusttest.ECDSA, trusttest.Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.Root.Keys = append(s.Root.Keys, trusttest.NewKey(kind))
			s.Root.Threshold = 2
			s.Next(s.Root)
			s.refreshes()
			s.SpoilSignature(s.Root)
			if err := s.refresh(); err == nil || !strings.Contains(s.trusted(), "root=2") {
				t.Errorf("trusts %s, %v", s.trusted(), err)
			}
		})
	}
}
