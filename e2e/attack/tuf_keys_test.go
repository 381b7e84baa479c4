package attack

import (
	"slices"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// Roles whose files speak for the whole repository. Releases is the one that speaks for v1.
var (
	online = []string{"timestamp", "snapshot", "targets"}
	top    = append([]string{"root"}, online...)
)

// forgeries are bytes that nobody signed, or nobody who may.
func forgeries() []row[*tuf] {
	const short = "threshold_not_met"
	at := func(r *tuf) string { return "/v2/" + r.path + "/manifests/" + r.good.Digest.String() }
	all := []row[*tuf]{
		taken("arbitrary software: the tag moves in the registry", "200 good", func(r *tuf) {
			r.up.PushManifest(r.path, "v1", r.evil.MediaType, r.older.Manifest)
			r.renew()
		}),
		{name: "arbitrary software: other bytes under the signed digest", cold: "502 upstream_invalid", attack: func(r *tuf) {
			r.up.Fail(at(r), upstreamtest.Fault{Body: r.evil.Manifest})
		}},
		{name: "arbitrary software: the registry says another digest", cold: "200 good", attack: func(r *tuf) {
			r.up.Fail(at(r), upstreamtest.Fault{Header: map[string][]string{"Docker-Content-Digest": {r.evil.Digest.String()}}})
		}},
		{name: "arbitrary software: the signed digest is gone", cold: "404 signed_digest_missing", attack: func(r *tuf) { r.up.Delete(r.path, r.good.Digest.String()) }},
		spoiled("arbitrary software: another digest in releases, not signed", short, func(r *tuf) {
			r.Tamper(r.releases, trusttest.Replace(r.good.Digest.Encoded(), r.evil.Digest.Encoded()))
		}),
		whole("arbitrary software: a stranger's repository", short, func(r *tuf) { r.usurp(1) }),
		whole("arbitrary software: a stranger's next root", "root_mismatch", func(r *tuf) { r.usurp(2) }),
	}
	for _, c := range []struct {
		what   string
		attack func(*trusttest.Repository, *trusttest.Role)
	}{
		{"by other keys", (*trusttest.Repository).Impersonate}, {"without signature", (*trusttest.Repository).StripSignature},
		{"with a spoilt signature", (*trusttest.Repository).SpoilSignature},
	} {
		evil := func(r *tuf, role *trusttest.Role) {
			r.sign(r.releases, r.evil)
			c.attack(&r.Repository, role)
		}
		what := "arbitrary software: ROLE " + c.what
		all = slices.Concat(all, each(whole, what, short, verb(c.attack), online...), each(whole, what, "root_mismatch", verb(c.attack), "root"), each(spoiled, what, short, evil, "releases"))
	}
	return all
}

// compromises are stolen keys, and too few of them.
func compromises() []row[*tuf] {
	const short, invalid = "threshold_not_met", "metadata_invalid"
	alone := func(from, to int) func(*tuf) {
		return func(r *tuf) {
			r.RotateRoot()
			r.Root.Signers = r.Root.Signers[from:to]
			r.Next()
		}
	}
	all := []row[*tuf]{
		whole("key compromise: next root by the old key alone", short, alone(1, 2)),
		whole("key compromise: next root by the new key alone", "root_mismatch", alone(0, 1)),
		whole("key compromise: next root with a leap in its version", "root_mismatch", func(r *tuf) {
			r.RotateRoot()
			r.Root.Version++
			r.Next()
			r.instead = r.Files()
			r.instead["2.root.json"] = r.instead["3.root.json"]
		}),
		whole("key compromise: timestamp by a key that was replaced", short, func(r *tuf) {
			old := r.Timestamp.Keys
			r.Rekey(r.Timestamp)
			r.Timestamp.Signers = old
			r.Next()
		}),
		past("key compromise: the keys of timestamp and snapshot alone", short, func(r *tuf) {
			r.sign(r.Targets, r.evil)
			r.Targets.Signers, r.releases.Signers = r.Snapshot.Keys, r.Timestamp.Keys
			r.Next(r.Targets, r.releases)
		}),
		taken("key compromise: a delegated key outside its paths", "200 good", func(r *tuf) {
			r.sign(r.team, r.evil)
			r.Next(r.team)
		}),
		taken("key compromise: a delegated key outside its pattern", "200 good", func(r *tuf) {
			r.team.Paths = []string{"r.example/*/*/web:*"}
			r.sign(r.team, r.evil)
			r.Next(r.Targets, r.team)
		}),
		taken("key compromise: a delegated key lends what it has not", "200 good", func(r *tuf) {
			r.sign(r.Delegate(r.team, "night", "*/*/*/*:*"), r.evil)
			r.Next(r.team)
		}),
		taken("key compromise: a signer is removed", "200 older", func(r *tuf) {
			r.Targets.Grants = slices.DeleteFunc(r.Targets.Grants, func(g *trusttest.Grant) bool { return g.To == r.releases })
			r.Next(r.Targets)
		}),
		{name: "key compromise: a signer poses as another", attack: func(r *tuf) { r.Delegate(r.releases, "qa", r.releases.Paths...); r.pose() },
			before: func(r *tuf) {
				r.rule = ", signers: {all: [releases, qa]}"
				r.sign(r.Delegate(r.Targets, "qa", r.releases.Paths...), r.good)
			},
			cold: "403 signer_missing", check: "changed", warm: "403 signer_missing"},
	}
	add := func(what string, attack func(*trusttest.Repository, *trusttest.Role), reason string) {
		what = "key compromise: ROLE " + what
		all = slices.Concat(all, each(whole, what, reason, verb(attack), online...), each(spoiled, what, reason, verb(attack), "releases"))
	}
	add("one signature short", (*trusttest.Repository).FallShort, short)
	add("by a key that was revoked", (*trusttest.Repository).Revoke, short)
	add("with one key counted twice", (*trusttest.Repository).CountTwice, invalid)
	add("with one key under two ids", (*trusttest.Repository).CountAlias, short)
	add("without threshold", (*trusttest.Repository).DropThreshold, invalid)
	all = append(all, each(whole, "key compromise: ROLE one signature short", short, verb((*trusttest.Repository).FallShort), "root")...)
	keep := func(name, _ string, attack func(*tuf)) row[*tuf] { return taken(name, "200 good", attack) }
	all = append(all, each(keep, "genuine: ROLE with two signatures of two", "", verb((*trusttest.Repository).Cosign), append(top, "releases")...)...)
	return append(all, taken("genuine: root rotated three times", "200 good", func(r *tuf) { r.rotate(3); r.Next() }))
}

// pose takes qa from targets, and leaves the role of that name which releases delegates to.
func (r *tuf) pose() {
	qa := r.Targets.Grants[len(r.Targets.Grants)-1].To
	r.Targets.Grants = r.Targets.Grants[:len(r.Targets.Grants)-1]
	r.Delegations = slices.DeleteFunc(r.Delegations, func(d *trusttest.Role) bool { return d == qa })
	own := r.releases.Grants[0].To
	own.Version = qa.Version
	r.sign(own, r.good)
	r.Next(r.Targets, r.releases, own)
}
