package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// floods are answers of a source that are too much, or not what they say.
func floods() []row[*tuf] {
	var all []row[*tuf]
	add := func(role string, f flood) {
		kind := map[string]func(string, string, func(*tuf)) row[*tuf]{"metadata_invalid": whole, "source_unreachable": cut}[f.reason]
		if role == "releases" {
			kind = lost
		}
		all = append(all, kind("endless data: "+role+" "+f.name, f.reason, func(r *tuf) {
			if role != "root" { // the next one is always asked for
				r.Next(r.role(role))
			}
			r.fail(instead(role, f.answer))
		}))
	}
	for n, f := range allFloods() {
		if n == 0 {
			for _, role := range append(top, "releases") {
				add(role, f)
			}
			continue
		}
		add([]string{"root", "timestamp", "targets"}[n%3], f)
	}
	return all
}

// mirrors are servers that answer what nobody signed.
func mirrors() []row[*tuf] {
	const none, absent, invalid = "no_trust_data", "source_unreachable", "metadata_invalid"
	all := []row[*tuf]{
		whole("malicious mirror: the repository is gone", none, func(r *tuf) { r.instead = map[string][]byte{} }),
		whole("malicious mirror: the timestamp is gone", none, func(r *tuf) { r.Remove("timestamp.json") }),
		whole("malicious mirror: a login page", invalid, func(r *tuf) { r.fail(always(login)) }),
		cut("malicious mirror: it hangs up", absent, func(r *tuf) { r.fail(always(hangUp)) }),
		whole("malicious mirror: null for everything", invalid, func(r *tuf) {
			r.fail(always(func(w http.ResponseWriter) { _, _ = w.Write([]byte("null")) }))
		}),
		{name: "malicious mirror: a redirect to an inner place", cold: "503 " + absent, check: absent, shared: true, attack: func(r *tuf) {
			r.fail(always(func(w http.ResponseWriter) {
				w.Header().Set("Location", "http://127.0.0.1:1/metadata/timestamp.json")
				w.WriteHeader(http.StatusFound)
			}))
		}},
		// In a repository without hashes nobody vouches for a file before it is read.
		whole("malicious mirror: null for a target of targets, by no key", invalid, keyless("targets", `"targets":{`, `"targets":{"x":null`)),
		lost("malicious mirror: null for a target of releases, by no key", invalid, keyless("releases", `"targets":{`, `"targets":{"x":null,`)),
		lost("malicious mirror: null for the targets of releases, by no key", invalid, keyless("releases", `"targets":{`, `"targets":null,"x":{`)),
		spoiled("malicious mirror: another name in releases, by no key", "threshold_not_met", keyless("releases", `/app:v1"`, `/app:v2"`)),
		whole("malicious mirror: null for a delegation, by no key", invalid, keyless("targets", `"roles":[`, `"roles":[null,`)),
	}
	for _, code := range []int{401, 403, 429, 500, 503} {
		all = append(all, cut(fmt.Sprint("malicious mirror: it answers ", code), absent, func(r *tuf) { r.fail(always(status(code))) }))
	}
	return all
}

// keyless changes a role's file, where nothing but its signatures could tell.
func keyless(role, old, with string) func(*tuf) {
	return of(role, func(r *tuf, role *trusttest.Role) {
		r.Bare = true
		r.Tamper(role, trusttest.Replace(old, with))
	})
}

// mistakes are signed content that is not what a name means, and content that comes along with it.
func mistakes() []row[*tuf] {
	entry := func(change func(e *trusttest.Entry)) func(*tuf) {
		return func(r *tuf) {
			e := r.releases.Entries[r.target]
			change(&e)
			r.releases.Entries[r.target] = e
			r.Next(r.releases)
		}
	}
	return []row[*tuf]{
		taken("wrong software: manifest of another length", "403 length_mismatch", entry(func(e *trusttest.Entry) { e.Length++ })),
		taken("wrong software: manifest of another media type", "403 media_type_mismatch", entry(func(e *trusttest.Entry) {
			e.MediaType = "application/vnd.oci.image.index.v1+json"
		})),
		taken("wrong software: manifest with another second hash", "403 metadata_invalid", func(r *tuf) {
			r.entryOf(func(e map[string]any) { e["hashes"].(map[string]any)["sha512"] = strings.Repeat("ab", 64) })
		}),
		taken("wrong software: releases loses its paths", "200 older", func(r *tuf) { r.Escape(r.releases) }),
		taken("wrong software: only names like it are signed", "403 unsigned_tag", func(r *tuf) {
			for _, role := range []*trusttest.Role{r.releases, r.behind} {
				delete(role.Entries, r.target)
				for _, name := range []string{r.target + "0", "x" + r.target, strings.ToUpper(r.target), strings.ReplaceAll(r.target, ":", "/")} {
					role.Entries[name] = trusttest.Entry{Digest: r.evil.Digest, Length: int64(len(r.evil.Manifest))}
				}
			}
			r.Next(r.releases, r.behind)
		}),
		taken("wrong software: the name of another image", "200 good", func(r *tuf) {
			calm := "r.example/" + r.aside + ":v1"
			r.releases.Entries[calm] = trusttest.Entry{Digest: r.evil.Digest, Length: int64(len(r.evil.Manifest))}
			r.Next(r.releases)
		}),
		{name: "extraneous dependencies: the child of a signed index has other bytes", before: func(r *tuf) { indexed(r.images); r.sign(r.releases, r.good) },
			attack: func(r *tuf) { spoilChild(r.images); r.renew() }, cold: "200 good", check: "changed",
			also: func(t *testing.T, g *gateway, r *tuf) { noChild(t, g, r.images) }},
		{name: "extraneous dependencies: a tag that nobody signed beside a signed one", attack: func(r *tuf) { r.up.PushManifest(r.path, "latest", r.evil.MediaType, r.evil.Manifest) },
			cold: "200 good", also: func(t *testing.T, g *gateway, r *tuf) { g.expect(t, "403 unsigned_tag", r.place(r.path, "latest")) }},
	}
}

// indexed makes the good image one of an index.
func indexed(i *images) { i.good = i.up.PushIndex(i.path, "", "good "+i.path) }

// spoilChild has the registry give other bytes for the first image of the index.
func spoilChild(i *images) {
	i.up.Fail("/v2/"+i.path+"/manifests/"+i.child().String(), upstreamtest.Fault{Body: i.evil.Manifest})
}

// noChild checks that these bytes never come as that image.
func noChild(t *testing.T, g *gateway, i *images) {
	t.Helper()
	g.expect(t, "502 upstream_invalid", i.place(i.path, i.child().String()))
}

// child is the digest of the first image of the index.
func (i *images) child() digest.Digest { return i.good.Platforms[0].Digest }

// entryOf has releases say something else of v1.
func (r *tuf) entryOf(change func(e map[string]any)) {
	r.releases.Edit = func(m map[string]any) { change(m["targets"].(map[string]any)[r.target].(map[string]any)) }
	r.Next(r.releases)
}
