package dct

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

const gun = "r.example/team/app"

// newRepo returns a repository whose targets/releases signs v1, and targets an older v1 and old.
func newRepo() *trusttest.Notary {
	n := trusttest.NewNotary(gun, fixtureTime)
	n.Delegate(releasesRole, "").Sign("v1", "good")
	n.Targets.Sign("v1", "evil")
	n.Targets.Sign("old", "old")
	return n
}

// rig puts a verifier before a repository.
func rig(t *testing.T, n *trusttest.Notary, pin Pin) *world {
	t.Helper()
	w := &world{t: t, pin: pin, now: fixtureTime, gun: gun, source: n}
	w.keep()
	return w
}

func pinOf(n *trusttest.Notary) Pin { return Pin{Keys: []string{n.Root.Keys[0].Canonical()}} }

func spoilSignature(raw []byte) []byte {
	i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`) + 8
	raw = bytes.Clone(raw)
	other := byte('A')
	if raw[i] == other {
		other = 'B'
	}
	raw[i] = other
	return raw
}

// TestVerifier: the attacks that every format must stand.
func TestVerifier(t *testing.T) {
	trusttest.TestVerifier(t, func(t *testing.T) trusttest.Subject {
		n := trusttest.NewNotary(gun, fixtureTime)
		n.Delegate(releasesRole, "").Sign("v1", "good")
		n.Targets.Sign("v1", "other")
		n.Publish()
		pins, store := everywhere(t, pinOf(n)), rig(t, n, Pin{}).store
		return trusttest.Subject{Repository: &n.Repository, Target: "v1", Open: func() trust.Verifier {
			f, err := New(Options{
				Source: "fixtures", GUN: "{name}", Pins: pins, State: store, Fetcher: func(string) trust.Source { return n },
				Now: func() time.Time { return n.Now }, Observe: func(trust.Event) {},
			})
			if err != nil {
				t.Fatal(err)
			}
			return f.Open(gun)
		}}
	})
}

// everywhere pins every name.
func everywhere(t *testing.T, p Pin) names.Index[Pin] {
	t.Helper()
	all, err := names.ParseMatch("**")
	if err != nil {
		t.Fatal(err)
	}
	var pins names.Index[Pin]
	pins.Add(all, p)
	return pins
}

// TestCold: each row is an attack, or an oddity of genuine data, on somebody who has never seen the repository. Want is
// the reason for which the repository is refused, or what v1 comes to.
func TestCold(t *testing.T) {
	v1, evil := "sha256:"+sha("good"), "sha256:"+sha("evil")
	releases := func(n *trusttest.Notary) *trusttest.Role { return n.Delegations[0] }
	member := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	for _, c := range []struct {
		name string
		make func(n *trusttest.Notary)
		want string
	}{
		{"root by another key", func(n *trusttest.Notary) { n.Root.Signers = n.Targets.Keys }, "threshold_not_met"},
		{"root without signature", func(n *trusttest.Notary) { n.Root.Signers = []*trusttest.Key{} }, "threshold_not_met"},
		{"threshold of more than there are keys", func(n *trusttest.Notary) { releases(n).Threshold = 2 }, "threshold_not_met"},
		{"root threshold of more than there are keys", func(n *trusttest.Notary) { n.Targets.Threshold = 2 }, "metadata_invalid"},
		{"last key of a delegation removed", func(n *trusttest.Notary) {
			releases(n).Signers, releases(n).Keys = releases(n).Keys, nil
		}, "threshold_not_met"},
		{"last key of another delegation removed", func(n *trusttest.Notary) {
			bob := n.Delegate("targets/bob", "")
			bob.Signers, bob.Keys = bob.Keys, nil
		}, v1},
		{"hash of a wrong length in another entry", func(n *trusttest.Notary) {
			n.Targets.Edit = func(m map[string]any) {
				m["targets"].(map[string]any)["old"] = map[string]any{"length": 1, "hashes": map[string]any{"sha256": []byte("short")}}
			}
		}, v1},
		{"a hundred hashes for one entry", func(n *trusttest.Notary) {
			n.Targets.Edit = func(m map[string]any) {
				hashes := make(map[string]any)
				for i := range 100 {
					hashes[fmt.Sprint(i)] = make([]byte, 4)
				}
				m["targets"].(map[string]any)["old"] = map[string]any{"length": 1, "hashes": hashes}
			}
		}, "metadata_invalid"},
		{"a key of a hundred certificates", func(n *trusttest.Notary) {
			k := releases(n).Keys[0].Certify(trusttest.Template("a", fixtureTime), nil, nil)
			k.Public = base64.StdEncoding.EncodeToString(bytes.Repeat(decodeB64(nil, k.Public), maxCerts+1))
			releases(n).Keys = []*trusttest.Key{k}
		}, "signature_invalid"},
		{"method of another key type", func(n *trusttest.Notary) { n.Timestamp.Keys[0].Method = "eddsa" }, "signature_invalid"},
		{"method in capitals", func(n *trusttest.Notary) { n.Timestamp.Keys[0].Method = "ECDSA" }, v1},
		{"RSA keys", func(n *trusttest.Notary) { releases(n).Keys = []*trusttest.Key{trusttest.NewKey(trusttest.RSA)} }, v1},
		{"old RSA padding", func(n *trusttest.Notary) {
			releases(n).Keys = []*trusttest.Key{trusttest.NewKey(trusttest.RSA)}
			releases(n).Keys[0].Method = "rsapkcs1v15"
		}, v1},
		{"unknown key type", func(n *trusttest.Notary) { releases(n).Keys[0].Type = "dilithium" }, "signature_invalid"},
		{"key of a type it is not", func(n *trusttest.Notary) { releases(n).Keys[0].Type = "rsa" }, "signature_invalid"},
		{"key under another id", func(n *trusttest.Notary) { n.Root.Edit = swapKeys }, "metadata_invalid"},
		{"key id without key", func(n *trusttest.Notary) { n.Root.Edit = member("keys", map[string]any{}) }, "metadata_invalid"},
		{"type in lower case", func(n *trusttest.Notary) { n.Targets.Edit = member("_type", "targets") }, "metadata_invalid"},
		{"version with an exponent", func(n *trusttest.Notary) { n.Targets.Tamper = trusttest.Replace(`"version":1`, `"version":1e0`) }, "metadata_invalid"},
		{"version that wraps", func(n *trusttest.Notary) { n.Targets.Edit = member("version", int64(1)<<53) }, "metadata_invalid"},
		{"negative length", func(n *trusttest.Notary) {
			releases(n).Entries["v1"] = trusttest.Entry{Digest: releases(n).Entries["v1"].Digest, Length: -1}
		}, v1},
		{"root expired", func(n *trusttest.Notary) { n.Root.Expires = fixtureTime.Add(-time.Second) }, "metadata_expired"},
		{"root certificate expired", func(n *trusttest.Notary) {
			tmpl := trusttest.Template(gun, fixtureTime)
			tmpl.NotAfter = fixtureTime.Add(-time.Second)
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(tmpl, nil, nil)}
		}, "metadata_expired"},
		{"root certificate from the future", func(n *trusttest.Notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template(gun, fixtureTime.Add(48*time.Hour)), nil, nil)}
		}, "clock_behind"},
		{"root certificate for another name", func(n *trusttest.Notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template("r.example/team/other", fixtureTime), nil, nil)}
		}, "root_not_pinned"},
		{"root certificate of a CA", func(n *trusttest.Notary) {
			tmpl := trusttest.Template(gun, fixtureTime)
			tmpl.IsCA = true
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(tmpl, nil, nil)}
		}, "root_not_pinned"},
		{"root certificate with a star", func(n *trusttest.Notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template("r.example/team/*", fixtureTime), nil, nil)}
		}, v1},
		{"root certificate with a star within a component", func(n *trusttest.Notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template("r.example/team/a*", fixtureTime), nil, nil)}
		}, "root_not_pinned"},
		{"root certificate with a bare star", func(n *trusttest.Notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template("*", fixtureTime), nil, nil)}
		}, "root_not_pinned"},
		{"member in other case", func(n *trusttest.Notary) {
			n.Targets.Edit = member("Targets", map[string]any{"v9": map[string]any{"length": 1, "hashes": map[string]any{"sha256": make([]byte, 32)}}})
		}, v1},
		{"extra member beside signed", func(n *trusttest.Notary) { n.Timestamp.Tamper = trusttest.Replace(`{"signed"`, `{"x":1,"signed"`) }, "metadata_invalid"},
		{"a tag that the wire escapes", func(n *trusttest.Notary) {
			n.Targets.Sign("a<b>&c", "x")
			n.Targets.Tamper = trusttest.Replace("a<b>&c", `a\u003cb\u003e\u0026c`)
		}, v1},
		{"a thousand signatures", func(n *trusttest.Notary) { n.Timestamp.Signers = slices.Repeat(n.Timestamp.Keys, 100) }, "metadata_invalid"},
		{"snapshot of another length", func(n *trusttest.Notary) { n.Timestamp.Edit = lengthen("snapshot") }, "metadata_invalid"},
		{"targets of another length", func(n *trusttest.Notary) { n.Snapshot.Edit = lengthen("targets") }, "metadata_invalid"},
		{"targets of an absurd length", func(n *trusttest.Notary) {
			n.Snapshot.Edit = func(m map[string]any) { setLength(m, "targets", maxTargets+1) }
		}, "metadata_invalid"},
		{"snapshot naming another root", func(n *trusttest.Notary) {
			n.Snapshot.Edit = func(m map[string]any) { m["meta"].(map[string]any)["root"] = m["meta"].(map[string]any)["targets"] }
		}, "root_mismatch"},
		{"delegation with a climbing name", func(n *trusttest.Notary) { n.Delegate("targets/..", "") }, "metadata_invalid"},
		{"delegation with a capital name", func(n *trusttest.Notary) { n.Delegate("targets/Bob", "") }, "metadata_invalid"},
		{"delegation twice", func(n *trusttest.Notary) { n.Delegate(releasesRole, "") }, "metadata_invalid"},
		{"delegation not below its parent", func(n *trusttest.Notary) { n.Targets.Edit = rename(releasesRole, "targets/a/b") }, "metadata_invalid"},
		{"orphan in the snapshot", func(n *trusttest.Notary) {
			n.Snapshot.Edit = func(m map[string]any) {
				m["meta"].(map[string]any)["targets/gone"] = m["meta"].(map[string]any)["targets"]
			}
		}, v1},
		{"delegation without paths", func(n *trusttest.Notary) { releases(n).Paths = nil }, evil},
		{"delegation for a prefix", func(n *trusttest.Notary) { releases(n).Paths = []string{"v"} }, v1},
		{"tag only in a delegation of releases", func(n *trusttest.Notary) {
			delete(releases(n).Entries, "v1")
			n.Delegate(releasesRole+"/sub", "").Sign("v1", "evil")
		}, "unsigned_tag"},
		{"tag in another delegation too", func(n *trusttest.Notary) { n.Delegate("targets/bob", "").Sign("v1", "evil") }, v1},
		{"more delegations than anybody has", func(n *trusttest.Notary) {
			for i := range maxRoles {
				c := *n.Delegations[0]
				c.Name = fmt.Sprintf("targets/d%d", i)
				n.Delegations = append(n.Delegations, &c)
			}
		}, "metadata_invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newRepo()
			c.make(n)
			n.Publish()
			w := rig(t, n, pinOf(n))
			s, err := w.open().Refresh(t.Context())
			got := string(trust.ReasonOf(err))
			if err == nil {
				got = verdict(w, s, "v1")
			}
			if got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestNoRoot: a source without the newest root has no trust data, whatever else it has.
func TestNoRoot(t *testing.T) {
	n := newRepo()
	n.Publish()
	n.Remove("root.json")
	if _, err := rig(t, n, pinOf(n)).open().Refresh(t.Context()); trust.ReasonOf(err) != trust.NoTrustData || err == nil {
		t.Errorf("%v, want no_trust_data", err)
	}
}

// TestHostileSizeStaysSmall: a document of many small values does not take many times its size in memory.
func TestHostileSizeStaysSmall(t *testing.T) {
	// A long name above many values, each of which is looked at, costs the name once.
	name := strings.Repeat("n", 500<<10)
	hashes := strings.Repeat(`"x":"","y":"",`, 3)
	raw := []byte(`{"signed":{"_type":"Targets","expires":"2036-01-01T00:00:00Z","version":1,"targets":{"` + name + `":{"length":1,"hashes":{` + hashes[:6] + `}}}},"signatures":[]}`)
	if n := testing.AllocsPerRun(1, func() { parseTargets("targets", raw) }); n > 2000 {
		t.Errorf("%v allocations", n)
	}
	if _, err := strict.Decode(append(append([]byte("["), bytes.Repeat([]byte("0,"), 1<<20)...), "0]"...)); err == nil {
		t.Error("a million values in two bytes each were read")
	}
}

func sha(s string) string {
	n := trusttest.Role{Entries: map[string]trusttest.Entry{}}
	return n.Sign("x", s).Encoded()
}

// swapKeys puts each key under the id of another.
func swapKeys(m map[string]any) {
	keys := m["keys"].(map[string]any)
	var ids []string
	for id := range keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	keys[ids[0]], keys[ids[1]] = keys[ids[1]], keys[ids[0]]
}

func setLength(m map[string]any, role string, n int) {
	m["meta"].(map[string]any)[role].(map[string]any)["length"] = n
}

func lengthen(role string) func(map[string]any) {
	return func(m map[string]any) {
		setLength(m, role, m["meta"].(map[string]any)[role].(map[string]any)["length"].(int)+1)
	}
}

func rename(old, role string) func(map[string]any) {
	return func(m map[string]any) {
		for _, r := range m["delegations"].(map[string]any)["roles"].([]any) {
			if r := r.(map[string]any); r["name"] == old {
				r["name"] = role
			}
		}
	}
}

// caPool returns a CA and the pool that pins it.
func caPool(t *testing.T) (*x509.Certificate, *trusttest.Key, *x509.CertPool) {
	t.Helper()
	k := trusttest.NewKey(trusttest.ECDSA)
	tmpl := trusttest.Template("team CA", fixtureTime)
	tmpl.IsCA, tmpl.KeyUsage, tmpl.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	block := k.Certify(tmpl, nil, nil)
	certs, err := parseBundle(decodeB64(t, block.Public))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certs[0])
	return certs[0], k, pool
}
