package attack

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// rollbacks are versions of the past.
func rollbacks() []row[*notary] {
	return []row[*notary]{
		past("W4 everything rolled back", "metadata_rollback", func(n *notary) { n.instead = n.first }),
		past("W4 timestamp rolled back", "metadata_rollback", func(n *notary) { n.Timestamp.Version--; n.Publish() }),
		past("W4 snapshot rolled back", "metadata_rollback", func(n *notary) { n.Timestamp.Version++; n.Snapshot.Version--; n.Publish() }),
		past("W4 targets rolled back", "metadata_rollback", func(n *notary) { n.Targets.Version--; n.Next() }),
		past("W4 releases rolled back", "metadata_rollback", func(n *notary) {
			n.releases.Version--
			n.sign(n.releases, n.evil)
			n.Next()
		}),
		past("W4 other content under the same version", "metadata_rollback", func(n *notary) {
			n.sign(n.releases, n.evil)
			n.Next()
		}),
		past("W4 another timestamp under the same version", "metadata_rollback", func(n *notary) { n.Snapshot.Version++; n.Publish() }),
		past("W4 recovery from versions that a thief pushed up", "changed", func(n *notary) {
			n.Timestamp.Keys, n.Timestamp.Version = stranger(), 0
			n.rotate(1)
			n.Next()
		}),
		{name: "W4 recovery of all roles from versions that a thief pushed up", seen: func(n *notary) {
			for _, role := range []string{"timestamp", "snapshot", "targets", "releases"} {
				n.role(role).Version = 1 << 40
			}
			n.Next(n.Targets, n.releases)
		}, attack: func(n *notary) { n.Rekey(n.Timestamp, n.Snapshot, n.Targets, n.releases) }, check: "changed"},
		{name: "W4 versions that a thief pushed up, and set back under the same keys", seen: func(n *notary) { n.releases.Version = 1 << 40; n.Next() },
			attack: func(n *notary) { n.releases.Version = 2; n.Next() }, check: "metadata_rollback"},
		past("W4 half published", "source_unreachable", func(n *notary) {
			old := n.Files()
			n.renew()
			n.instead = old
			n.instead["timestamp.json"] = n.Files()["timestamp.json"]
		}),
	}
}

// downgrades are missing data, and data at its end.
func downgrades() []row[*notary] {
	ended := func(role func(n *notary) *trusttest.Role) func(n *notary) {
		return func(n *notary) { role(n).Expires = time.Now().Add(-time.Second); n.Next(role(n)) }
	}
	all := []row[*notary]{
		spoiled("W2 releases expired", "metadata_expired", func(n *notary) { ended(func(n *notary) *trusttest.Role { return n.releases })(n) }),
		spoiled("W2 releases by another key", "threshold_not_met", func(n *notary) { n.releases.Signers = n.Targets.Keys; n.Next(n.releases) }),
		spoiled("W2 releases with a spoilt signature", "signature_invalid", func(n *notary) { n.forge(n.releases, spoil) }),
		spoiled("W2 releases by a signer who was removed", "threshold_not_met", func(n *notary) {
			n.releases.Signers, n.releases.Keys = n.releases.Keys, stranger()
			n.Next(n.Targets)
		}),
		past("W2 releases leaves the snapshot", "metadata_rollback", func(n *notary) { n.releases.Hidden = true; n.Next() }),
		{name: "W2 releases leaves the snapshot while its parent changes", attack: func(n *notary) { n.releases.Hidden = true; n.Next(n.Targets) },
			check: "changed", warm: "403 metadata_rollback"},
		{name: "W2 tag only in a delegation that releases nothing", attack: func(n *notary) {
			delete(n.releases.Entries, "v1")
			delete(n.Targets.Entries, "v1")
			n.sign(n.Delegate("targets/alice", ""), n.evil)
			n.renew()
		}, cold: "403 unsigned_tag", check: "changed", warm: "403 unsigned_tag"},
		{name: "W3 repository deleted", attack: func(n *notary) { n.instead = map[string][]byte{} }, cold: "403 no_trust_data", check: "no_trust_data"},
		broken("W3 a login page", "metadata_invalid", func(n *notary) { n.fail(always(login)) }),
		{name: "W3 the connection ends", attack: func(n *notary) { n.fail(always(hangUp)) }, cold: "503 source_unreachable", check: "source_unreachable"},
		{name: "W3 source cut off for longer than max_stale", before: func(n *notary) { n.options = ", max_stale: " + soon.String() },
			attack: func(n *notary) { n.fail(always(status(http.StatusServiceUnavailable))) }, check: "source_unreachable", warm: "until 503 metadata_stale"},
		{name: "W3 source cut off until the timestamp has expired", seen: func(n *notary) { n.Timestamp.Expires = time.Now().Add(soon + 3*time.Second); n.Next() },
			attack: func(n *notary) { n.fail(always(hangUp)) }, check: "source_unreachable", warm: "until 403 metadata_expired"},
		broken("W14 root certificate expired", "metadata_expired", func(n *notary) {
			template := trusttest.Template(n.GUN, time.Now())
			template.NotAfter = time.Now().Add(-time.Second)
			old := n.Root.Keys
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(template, nil, nil)}
			n.Root.Signers = append(slices.Clone(n.Root.Keys), old...)
			n.Root.Version++
			n.Next()
		}),
		{name: "W14 certificate of a delegation expired", attack: func(n *notary) {
			template := trusttest.Template("bob", time.Now())
			template.NotAfter = time.Now().Add(-time.Second)
			n.releases.Keys = []*trusttest.Key{n.releases.Keys[0].Certify(template, nil, nil)}
			n.Next(n.Targets, n.releases)
		}, cold: "200 good", check: "changed"},
	}
	for _, code := range []int{401, 403, 429, 500, 503} {
		all = append(all, row[*notary]{name: fmt.Sprint("W3 source answers ", code), attack: func(n *notary) { n.fail(always(status(code))) },
			cold: "503 source_unreachable", check: "source_unreachable"})
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		all = append(all, broken("W13 "+role+" expired when it came", "metadata_expired", func(n *notary) { ended(func(n *notary) *trusttest.Role { return n.role(role) })(n) }))
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "releases"} {
		r := row[*notary]{name: "W13 " + role + " expires in hand", check: "changed", warm: "until 403 metadata_expired", attack: func(n *notary) {
			n.role(role).Expires = time.Now().Add(soon)
			n.Next(n.role(role))
		}}
		if role == "root" || role == "timestamp" {
			r.again = "metadata_expired" // they are looked at first
		}
		all = append(all, r)
	}
	return all
}

// role returns the role of the name.
func (n *notary) role(name string) *trusttest.Role {
	return map[string]*trusttest.Role{
		"root": n.Root, "timestamp": n.Timestamp, "snapshot": n.Snapshot, "targets": n.Targets, "releases": n.releases,
	}[name]
}

// roots are rotations, genuine and not, and roots that nobody pinned.
func roots() []row[*notary] {
	pin := func(pin string) func(n *notary) { return func(n *notary) { n.pin = pin } }
	certify := func(name string) func(n *notary) {
		return func(n *notary) {
			n.Root.Keys = []*trusttest.Key{n.Root.Keys[0].Certify(trusttest.Template(name, time.Now()), nil, nil)}
		}
	}
	lone := func(from, to int) func(n *notary) {
		return func(n *notary) {
			both := append([]*trusttest.Key{trusttest.NewCertKey(trusttest.ECDSA, n.GUN, time.Now())}, n.Root.Keys...)
			n.Root.Keys, n.Root.Signers = both[:1], both[from:to]
			n.Root.Version++
			n.Next()
		}
	}
	return []row[*notary]{
		{name: "W5 root rotated three times", attack: func(n *notary) { n.rotate(3); n.Next() }, cold: "200 good", check: "changed"},
		past("W5 next root by the new key alone", "root_mismatch", lone(0, 1)),
		past("W5 next root by the old key alone", "threshold_not_met", lone(1, 2)),
		past("W5 next root with a leap in its version", "root_mismatch", func(n *notary) {
			n.Root.Version++
			n.rotate(1)
			n.Next()
			n.instead = n.Files()
			n.instead["2.root.json"] = n.instead["3.root.json"]
		}),
		past("W5 a root is missing on the way", "root_mismatch", func(n *notary) { n.rotate(2); n.Next(); n.Remove("2.root.json") }),
		past("W5 next root by a stranger", "root_mismatch", func(n *notary) { n.usurp(2) }),
		broken("W5 snapshot names another root", "root_mismatch", func(n *notary) {
			n.edit(n.Snapshot, func(signed map[string]any) {
				meta := signed["meta"].(map[string]any)
				meta["root"] = meta["targets"]
			})
		}),
		{name: "W6 a stranger's repository under a pin", attack: func(n *notary) { n.usurp(1) }, cold: "403 root_not_pinned", check: "threshold_not_met"},
		{name: "W6 pin on an older root", attack: func(n *notary) { n.rotate(2); n.Next() }, cold: "200 good", check: "changed"},
		{name: "W6 a stranger's repository after first use", before: pin("{tofu: true}"), attack: func(n *notary) { n.usurp(1) }, check: "threshold_not_met"},
		{name: "W6 a stranger's root after first use", before: pin("{tofu: true}"), attack: func(n *notary) { n.usurp(2) }, check: "root_mismatch"},
		{name: "W7 files of another repository", attack: func(n *notary) { n.instead = n.quiet.Files() }, cold: "403 root_not_pinned", check: "threshold_not_met"},
		{name: "W7 certificate for another name", before: certify("r.example/siege/other"), attack: func(*notary) {}, cold: "403 root_not_pinned"},
		{name: "W7 certificate with a star in a component", before: certify("r.example/siege/r*"), attack: func(*notary) {}, cold: "403 root_not_pinned"},
		{name: "W7 certificate with a bare star", before: certify("*"), attack: func(*notary) {}, cold: "403 root_not_pinned"},
	}
}
