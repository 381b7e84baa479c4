package attack

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// replace returns a change of a file after it was signed.
func replace(old, with string) func([]byte) []byte {
	return func(raw []byte) []byte {
		if !bytes.Contains(raw, []byte(old)) {
			panic("nothing to replace: " + old)
		}
		return bytes.Replace(raw, []byte(old), []byte(with), 1)
	}
}

// inject returns a change that adds an entry for the evil tag under a second member of the given spelling.
func (n *notary) inject(member string) func([]byte) []byte {
	sum, _ := hex.DecodeString(n.evil.Digest.Encoded()) // a digest is hexadecimal
	entry, _ := json.Marshal(map[string]any{"evil": map[string]any{"hashes": map[string]any{"sha256": sum}, "length": len(n.evil.Manifest)}})
	return replace(`"targets":`, member+":"+string(entry)+`,"targets":`)
}

// forge has the role's next version made by change.
func (n *notary) forge(role *trusttest.Role, change func([]byte) []byte) {
	role.Tamper = change
	n.Next(role)
}

// edit has the role's next version changed before it is signed.
func (n *notary) edit(role *trusttest.Role, change func(signed map[string]any)) {
	role.Edit = change
	n.Next(role)
}

// member returns a change of one member.
func member(name string, v any) func(map[string]any) {
	return func(signed map[string]any) { signed[name] = v }
}

// spoil changes the last signature of a file.
func spoil(raw []byte) []byte {
	i := bytes.LastIndex(raw, []byte(`"sig":"`)) + len(`"sig":"`) + 8
	raw = bytes.Clone(raw)
	raw[i] = map[bool]byte{true: 'B', false: 'A'}[raw[i] == 'A']
	return raw
}

// stranger is a key that is nobody's.
func stranger() []*trusttest.Key { return []*trusttest.Key{trusttest.NewKey(trusttest.ECDSA)} }

// broken is a row for a file that no version is taken of.
func broken[F forger](name, reason string, attack func(F)) row[F] {
	return row[F]{name: name, attack: attack, cold: "403 " + reason, check: reason}
}

// spoiled is a row for a delegation that is taken as what it is: names that it speaks for are refused, and never looked up
// elsewhere.
func spoiled[F forger](name, reason string, attack func(F)) row[F] {
	return row[F]{name: name, attack: attack, cold: "403 " + reason, check: "changed", warm: "403 " + reason}
}

// past is a row for what only who has seen more can know.
func past[F forger](name, result string, attack func(F)) row[F] {
	return row[F]{name: name, attack: attack, check: result}
}

// injections put contents under signatures that were not made for them.
func injections() []row[*notary] {
	const invalid = "metadata_invalid"
	return []row[*notary]{
		broken("W1 duplicate member in targets", invalid, func(n *notary) { n.forge(n.Targets, n.inject(`"targets"`)) }),
		broken("W1 duplicate member in releases", invalid, func(n *notary) { n.forge(n.releases, n.inject(`"targets"`)) }),
		broken("W1 duplicate member in other words", invalid, func(n *notary) { n.forge(n.Targets, n.inject(`"t\u0061rgets"`)) }),
		broken("W1 duplicate member beside signed", invalid, func(n *notary) {
			n.forge(n.Timestamp, replace(`"signatures":`, `"signatures":[],"signatures":`))
		}),
		broken("W1 signed twice", invalid, func(n *notary) { n.forge(n.Targets, replace(`{"signed":`, `{"signed":{},"signed":`)) }),
		{name: "W1 member in another case, not signed", attack: func(n *notary) { n.forge(n.releases, n.inject(`"Targets"`)) },
			cold: "403 signature_invalid", check: "changed", warm: "403 signature_invalid"},
		{name: "W1 member in another case, signed", attack: func(n *notary) {
			n.edit(n.releases, member("Targets", map[string]any{"evil": map[string]any{"length": 1, "hashes": map[string]any{"sha256": make([]byte, 32)}}}))
		}, cold: "200 good", check: "changed"},
		broken("W9 member beside signed", invalid, func(n *notary) { n.forge(n.Timestamp, replace(`{"signed"`, `{"x":1,"signed"`)) }),
		broken("W9 data after the document", invalid, func(n *notary) {
			n.forge(n.Targets, func(raw []byte) []byte { return append(raw, "{}"...) })
		}),
		broken("W9 too many signatures", invalid, func(n *notary) { n.Timestamp.Signers = slices.Repeat(n.Timestamp.Keys, 65); n.Next() }),
		broken("W9 nested without end", invalid, func(n *notary) {
			n.forge(n.Timestamp, func([]byte) []byte { return bytes.Repeat([]byte("["), 60<<10) })
		}),
		broken("W9 too large a timestamp", invalid, func(n *notary) {
			n.forge(n.Timestamp, func(raw []byte) []byte { return append(raw, bytes.Repeat([]byte(" "), 64<<10)...) })
		}),
		broken("W9 too many delegations", invalid, func(n *notary) {
			for i := range 257 {
				c := *n.releases
				c.Name = fmt.Sprintf("targets/d%d", i)
				n.Delegations = append(n.Delegations, &c)
			}
			n.Next(n.Targets)
		}),
		broken("W12 delegation with a climbing name", invalid, func(n *notary) { n.Delegate("targets/..", ""); n.Next(n.Targets) }),
		broken("W12 delegation with a capital name", invalid, func(n *notary) { n.Delegate("targets/Bob", ""); n.Next(n.Targets) }),
	}
}

// documents are numbers and lengths that two readers would read differently.
func documents() []row[*notary] {
	const invalid = "metadata_invalid"
	resize := func(role string, by int) func(map[string]any) {
		return func(signed map[string]any) {
			info := signed["meta"].(map[string]any)[role].(map[string]any)
			info["length"] = info["length"].(int) + by
		}
	}
	child := func(t *testing.T, g *gateway, n *notary) { noChild(t, g, n.images) }
	all := []row[*notary]{
		broken("W10 snapshot longer than it says", invalid, func(n *notary) { n.edit(n.Timestamp, resize("snapshot", -1)) }),
		broken("W10 snapshot shorter than it says", invalid, func(n *notary) { n.edit(n.Timestamp, resize("snapshot", 1)) }),
		broken("W10 targets shorter than it says", invalid, func(n *notary) { n.edit(n.Snapshot, resize("targets", 1)) }),
		broken("W10 targets of an absurd length", invalid, func(n *notary) { n.edit(n.Snapshot, resize("targets", 16<<20)) }),
		{name: "W10 manifest of another length", attack: func(n *notary) {
			n.releases.Entries["v1"] = trusttest.Entry{Digest: n.good.Digest, Length: 1}
			n.Next(n.releases)
		}, cold: "200 good", check: "changed"},
		broken("W11 threshold of zero", invalid, func(n *notary) {
			n.releases.Threshold, n.releases.Signers = 0, []*trusttest.Key{}
			n.Next(n.Targets, n.releases)
		}),
		{name: "W16 other bytes under the signed digest", attack: func(n *notary) {
			n.up.Fail("/v2/"+n.path+"/manifests/"+n.good.Digest.String(), upstreamtest.Fault{Body: n.evil.Manifest})
		}, cold: "502 upstream_invalid"},
		{name: "W16 the registry says another digest", attack: func(n *notary) {
			n.up.Fail("/v2/"+n.path+"/manifests/"+n.good.Digest.String(), upstreamtest.Fault{Header: http.Header{"Docker-Content-Digest": {n.evil.Digest.String()}}})
		}, cold: "200 good"},
		{name: "W16 the child of a signed index has other bytes", before: func(n *notary) { indexed(n.images); n.sign(n.releases, n.good) },
			attack: func(n *notary) { spoilChild(n.images); n.renew() }, cold: "200 good", check: "changed", also: child},
		{name: "W16 the signed digest is gone", attack: func(n *notary) { n.up.Delete(n.path, n.good.Digest.String()) }, cold: "404 signed_digest_missing"},
	}
	for _, version := range []string{"0", "-1", "2.0", "2e0", "1.5", "9007199254740992", "9223372036854775808", `"2"`, "null", "-0"} {
		all = append(all, broken("W11 version "+strings.Trim(version, `"`)+map[bool]string{true: " as text"}[version[0] == '"'], invalid, func(n *notary) {
			n.forge(n.Targets, func(raw []byte) []byte {
				return replace(fmt.Sprintf(`"version":%d`, n.Targets.Version), `"version":`+version)(raw)
			})
		}))
	}
	return all
}

// signatures are those of wrong keys, of too few, and of kinds that are none.
func signatures() []row[*notary] {
	kind := func(change func(k *trusttest.Key)) func(n *notary) {
		return func(n *notary) {
			k := trusttest.NewKey(trusttest.ECDSA)
			change(k)
			n.releases.Keys = []*trusttest.Key{k}
			n.Next(n.Targets, n.releases)
		}
	}
	return []row[*notary]{
		broken("W8 timestamp by another key", "threshold_not_met", func(n *notary) { n.Timestamp.Signers = stranger(); n.Next() }),
		broken("W8 snapshot by the timestamp key", "threshold_not_met", func(n *notary) { n.Snapshot.Signers = n.Timestamp.Keys; n.Next() }),
		broken("W8 targets by the snapshot key", "threshold_not_met", func(n *notary) { n.Targets.Signers = n.Snapshot.Keys; n.Next(n.Targets) }),
		broken("W8 targets with a spoilt signature", "signature_invalid", func(n *notary) { n.forge(n.Targets, spoil) }),
		broken("W8 targets without signature", "threshold_not_met", func(n *notary) { n.Targets.Signers = []*trusttest.Key{}; n.Next(n.Targets) }),
		spoiled("W8 method of another kind of key", "signature_invalid", kind(func(k *trusttest.Key) { k.Method = "eddsa" })),
		spoiled("W8 unknown kind of key", "signature_invalid", kind(func(k *trusttest.Key) { k.Type = "dilithium" })),
		spoiled("W8 key of a kind that it is not", "signature_invalid", kind(func(k *trusttest.Key) { k.Type = "rsa" })),
		spoiled("W8 key on a weak curve", "signature_invalid", kind(func(k *trusttest.Key) {
			weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
			if err != nil {
				panic(err)
			}
			*k = *trusttest.NewBareKey("ecdsa", weak, "ecdsa")
		})),
		spoiled("W8 key of RSA that is too short", "signature_invalid", kind(func(k *trusttest.Key) {
			weak, err := rsa.GenerateKey(rand.Reader, 1024)
			if err != nil {
				panic(err)
			}
			*k = *trusttest.NewBareKey("rsa", weak, "rsapss")
		})),
		spoiled("W8 one key under two certificates", "threshold_not_met", func(n *notary) {
			k := n.releases.Keys[0]
			n.releases.Keys = []*trusttest.Key{k.Certify(trusttest.Template("a", time.Now()), nil, nil), k.Certify(trusttest.Template("b", time.Now()), nil, nil)}
			n.releases.Threshold = 2
			n.Next(n.Targets, n.releases)
		}),
		spoiled("W8 one signature counted twice", "threshold_not_met", func(n *notary) {
			k := n.releases.Keys[0]
			n.releases.Keys, n.releases.Threshold, n.releases.Signers = append(stranger(), k), 2, []*trusttest.Key{k, k}
			n.Next(n.Targets, n.releases)
		}),
		spoiled("W8 threshold that cannot be met", "threshold_not_met", func(n *notary) { n.releases.Threshold = 2; n.Next(n.Targets, n.releases) }),
		// Who holds snapshot and timestamp keys, as the server does, can mix files but not make them.
		broken("W15 targets left out of the snapshot", "metadata_invalid", func(n *notary) { n.Targets.Hidden = true; n.Next() }),
		past("W15 an older releases under a new snapshot", "metadata_rollback", func(n *notary) { n.releases.Version--; n.Next() }),
		past("W15 the server's keys alone", "threshold_not_met", func(n *notary) {
			n.sign(n.releases, n.evil)
			n.Targets.Signers, n.releases.Signers = n.Snapshot.Keys, n.Timestamp.Keys
			n.Next(n.Targets, n.releases)
		}),
		broken("W15 the snapshot of before under a new timestamp", "metadata_invalid", func(n *notary) { n.Mix(n.Snapshot) }),
		broken("W15 the targets of before under a new snapshot", "metadata_invalid", func(n *notary) { n.Mix(n.Targets) }),
		broken("W15 the releases of before under a new snapshot", "metadata_invalid", func(n *notary) { n.Mix(n.releases) }),
		{name: "W15 snapshot key held by the owner", before: func(n *notary) { n.Snapshot.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.Ed25519)} },
			attack: func(n *notary) { n.renew() }, cold: "200 good", check: "changed"},
	}
}

// genuine is what real servers and signers make, and naive strictness would break.
func genuine() []row[*notary] {
	taken := func(name string, attack func(n *notary)) row[*notary] {
		return row[*notary]{name: "genuine " + name, attack: attack, cold: "200 good", check: "changed"}
	}
	return []row[*notary]{
		taken("data that is renewed", func(n *notary) { n.renew() }),
		taken("expiry in another zone, to the nanosecond", func(n *notary) {
			n.edit(n.Targets, member("expires", "2099-11-21T07:52:16.300911309-03:30"))
		}),
		taken("white space at the end", func(n *notary) { n.forge(n.Targets, func(raw []byte) []byte { return append(raw, " \n"...) }) }),
		taken("tag that the wire escapes", func(n *notary) {
			n.releases.Entries["a<b>&c"] = n.releases.Entries["v1"]
			n.forge(n.releases, replace("a<b>&c", `a\u003cb\u003e\u0026c`))
		}),
		taken("orphan in the snapshot", func(n *notary) {
			n.edit(n.Snapshot, func(signed map[string]any) {
				meta := signed["meta"].(map[string]any)
				meta["targets/gone"] = meta["targets"]
			})
		}),
		taken("keys of all kinds", func(n *notary) {
			n.releases.Keys = []*trusttest.Key{trusttest.NewKey(trusttest.RSA), trusttest.NewKey(trusttest.Ed25519)}
			n.releases.Threshold = 2
			n.Next(n.Targets, n.releases)
		}),
		taken("one of several signers", func(n *notary) {
			n.releases.Signers = n.releases.Keys
			n.releases.Keys = append(stranger(), n.releases.Keys...)
			n.Next(n.Targets, n.releases)
		}),
		taken("versions with gaps", func(n *notary) { n.Targets.Version += 7; n.renew() }),
		{name: "genuine wildcard certificate", before: func(n *notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template("r.example/siege/*", time.Now()), nil, nil)}
		}, attack: func(n *notary) { n.renew() }, cold: "200 good", check: "changed"},
		{name: "genuine delegation that nobody has signed for yet", before: func(n *notary) { n.releases.Hidden = true }, attack: func(*notary) {}, cold: "200 older"},
		{name: "genuine tag that only targets has", attack: func(n *notary) { delete(n.releases.Entries, "v1"); n.renew() }, cold: "200 older", check: "changed", warm: "200 older"},
	}
}

// overflows are answers of a source that are too much, or not what they say.
func overflows() []row[*notary] {
	var all []row[*notary]
	add := func(role string, f flood) {
		file := role
		if role == "releases" {
			file = "targets/releases"
		}
		all = append(all, row[*notary]{name: "W9 " + role + " " + f.name, check: f.reason, attack: func(n *notary) {
			n.Next(n.role(role))
			n.fail(instead(file, f.answer))
		}, cold: map[string]string{"metadata_invalid": "403 metadata_invalid", "source_unreachable": "503 source_unreachable"}[f.reason]})
	}
	for i, f := range allFloods() {
		if i == 0 {
			for _, role := range []string{"root", "timestamp", "snapshot", "targets", "releases"} {
				add(role, f)
			}
			continue
		}
		add([]string{"root", "timestamp", "targets"}[i%3], f)
	}
	return all
}
