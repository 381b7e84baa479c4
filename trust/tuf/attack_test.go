package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// web is a target that nobody attacks.
const web = "r.example/web:1"

// says is the text that a snapshot makes of a target, or the reason for which it makes none.
func says(s *trust.Snapshot, target string) string {
	e := s.Lookup(target)
	switch {
	case e.Refusal != nil:
		return string(e.Refusal.Reason)
	case len(e.Claims) == 0:
		return "unsigned_tag"
	}
	for _, text := range []string{"good", "other", "evil"} {
		if e.Claims[0].Target.Digest == digest.FromString(text) {
			return text
		}
	}
	return "another digest"
}

// A trap is a repository that only TUF can have. Want is what app comes to, or the reason for which the repository is
// refused. Web, which others sign, stands where it is not.
type trap struct {
	name string
	make func(repo *trusttest.TUF)
	want string
}

// edit changes what targets says.
func edit(change func(m map[string]any)) func(*trusttest.TUF) {
	return func(repo *trusttest.TUF) { repo.Targets.Edit = change }
}

// grant changes the delegation to releases.
func grant(change func(d map[string]any)) func(*trusttest.TUF) {
	return edit(func(m map[string]any) {
		change(m["delegations"].(map[string]any)["roles"].([]any)[0].(map[string]any))
	})
}

// key changes the key of releases.
func key(member string, v any) func(*trusttest.TUF) {
	return func(repo *trusttest.TUF) {
		id := repo.Delegations[0].Keys[0].TUFID()
		edit(func(m map[string]any) {
			m["delegations"].(map[string]any)["keys"].(map[string]any)[id].(map[string]any)[member] = v
		})(repo)
	}
}

// entry changes what releases says of app.
func entry(change func(e map[string]any)) func(*trusttest.TUF) {
	return func(repo *trusttest.TUF) {
		repo.Delegations[0].Edit = func(m map[string]any) { change(m["targets"].(map[string]any)[app].(map[string]any)) }
	}
}

// hash replaces the hashes of app.
func hash(name string, v any) func(*trusttest.TUF) {
	return entry(func(e map[string]any) { e["hashes"].(map[string]any)[name] = v })
}

// custom replaces the custom member of app.
func custom(v any) func(*trusttest.TUF) {
	return entry(func(e map[string]any) { e["custom"] = v })
}

// listing changes what the snapshot says of releases.
func listing(member string, v any) func(*trusttest.TUF) {
	return func(repo *trusttest.TUF) {
		repo.Snapshot.Edit = func(m map[string]any) {
			m["meta"].(map[string]any)["releases.json"].(map[string]any)[member] = v
		}
	}
}

// unsigned changes a role's file, where nothing but its signatures could tell.
func unsigned(role func(*trusttest.TUF) *trusttest.Role, old, with string) func(*trusttest.TUF) {
	return func(repo *trusttest.TUF) {
		repo.Bare = true
		role(repo).Tamper = trusttest.Replace(old, with)
	}
}

func targets(repo *trusttest.TUF) *trusttest.Role  { return repo.Targets }
func releases(repo *trusttest.TUF) *trusttest.Role { return repo.Delegations[0] }

// delegations are traps in who may speak.
func delegations() []trap {
	other := trusttest.NewKey(trusttest.ECDSA)
	sum := sha256.Sum256([]byte(app))
	prefixes := func(p ...string) func(*trusttest.TUF) {
		return grant(func(d map[string]any) {
			delete(d, "paths")
			d["path_hash_prefixes"] = p
		})
	}
	bins := func(bits int) func(*trusttest.TUF) {
		return func(repo *trusttest.TUF) {
			releases(repo).Edit = func(m map[string]any) {
				m["targets"] = map[string]any{}
				m["delegations"] = map[string]any{"keys": map[string]any{}, "succinct_roles": map[string]any{"bit_length": bits, "name_prefix": "bin", "keyids": []string{}, "threshold": 1}}
			}
		}
	}
	return []trap{
		{"a key of a wrong length", key("keyval", map[string]any{"public": "ab"}), "threshold_not_met"},
		{"a key that is none", key("keyval", map[string]any{"public": ""}), "threshold_not_met"},
		{"a key of no known type", key("keytype", "dilithium"), "threshold_not_met"},
		{"a key of a type it is not", key("keytype", "ecdsa"), "threshold_not_met"},
		{"another key under the id of one", key("keyval", map[string]any{"public": strings.Repeat("0a", 32)}), "threshold_not_met"},
		{"a key id without key", grant(func(d map[string]any) { d["keyids"] = []string{other.TUFID()} }), "threshold_not_met"},
		{"no key ids", grant(func(d map[string]any) { d["keyids"] = []string{} }), "threshold_not_met"},
		{"a negative threshold", grant(func(d map[string]any) { d["threshold"] = -1 }), "metadata_invalid"},
		{"more keys than have signed", func(repo *trusttest.TUF) {
			releases(repo).Signers = releases(repo).Keys
			releases(repo).Keys = append(slices.Clone(releases(repo).Keys), other)
		}, "good"},
		{"listed twice, first with other keys", func(repo *trusttest.TUF) {
			repo.Targets.Grants = append([]*trusttest.Grant{{To: releases(repo), Keys: []*trusttest.Key{other}}}, repo.Targets.Grants...)
		}, "threshold_not_met"},
		{"listed twice, then with other keys", func(repo *trusttest.TUF) {
			repo.Targets.Grants = append(repo.Targets.Grants, &trusttest.Grant{To: releases(repo), Keys: []*trusttest.Key{other}})
		}, "good"},
		{"null for the delegations", edit(func(m map[string]any) { m["delegations"] = nil }), "metadata_invalid"},
		{"null for a delegation", edit(func(m map[string]any) { m["delegations"].(map[string]any)["roles"].([]any)[0] = nil }), "metadata_invalid"},
		{"null for a key", edit(func(m map[string]any) { m["delegations"].(map[string]any)["keys"].(map[string]any)["custom"] = nil }), "metadata_invalid"},
		{"null for the paths", grant(func(d map[string]any) { d["paths"] = nil }), "metadata_invalid"},
		{"no paths", grant(func(d map[string]any) { delete(d, "paths") }), "other"},
		{"a path for one component", grant(func(d map[string]any) { d["paths"] = []string{"*"} }), "other"},
		{"a path of two stars", grant(func(d map[string]any) { d["paths"] = []string{"**", "**/app:*"} }), "good"},
		{"a path in capitals", grant(func(d map[string]any) { d["paths"] = []string{"r.example/APP:*"} }), "other"},
		{"a path that is no pattern", grant(func(d map[string]any) { d["paths"] = []string{"r.example/app:[1"} }), "other"},
		{"every hash prefix", prefixes(strings.Split("0123456789abcdef", "")...), "metadata_invalid"},
		{"the hash prefix of the name", prefixes(hex.EncodeToString(sum[:2])), "metadata_invalid"},
		{"another hash prefix", prefixes(hex.EncodeToString([]byte{sum[0] ^ 1})), "other"},
		{"paths and hash prefixes", grant(func(d map[string]any) { d["path_hash_prefixes"] = []string{"0"} }), "metadata_invalid"},
		{"bins of a negative number of bits", bins(-1), "metadata_invalid"},
		{"bins of no bits", bins(0), "metadata_invalid"},
		{"bins of more bits than there are", bins(64), "metadata_invalid"},
	}
}

// entries are traps in what is said.
func entries() []trap {
	return []trap{
		{"no hash", entry(func(e map[string]any) { e["hashes"] = map[string]any{} }), "metadata_invalid"},
		{"sha512 alone", entry(func(e map[string]any) { e["hashes"] = map[string]any{"sha512": strings.Repeat("ab", 64)} }), "metadata_invalid"},
		{"sha256 of one byte", hash("sha256", "ab"), "metadata_invalid"},
		{"sha256 of 33 bytes", hash("sha256", strings.Repeat("ab", 33)), "metadata_invalid"},
		{"sha512 of one byte", hash("sha512", "ab"), "metadata_invalid"},
		{"sha512 as well", hash("sha512", strings.Repeat("ab", 64)), "good"},
		{"another hash as well", hash("blake2b", "ab"), "good"},
		{"a media type", custom(map[string]any{"mediaType": "application/vnd.oci.image.index.v1+json"}), "good"},
		{"a media type that is a number", custom(map[string]any{"mediaType": 1}), "metadata_invalid"},
		{"a media type that is null", custom(map[string]any{"mediaType": nil}), "metadata_invalid"},
		{"a media type that is nothing", custom(map[string]any{"mediaType": ""}), "metadata_invalid"},
		{"a media type of a kilobyte", custom(map[string]any{"mediaType": strings.Repeat("a", 1024)}), "metadata_invalid"},
		{"nulls in custom", custom(map[string]any{"x": nil, "y": []any{nil}}), "good"},
		{"custom that is a list", custom([]any{1}), "good"},
		{"null for a target called custom", func(repo *trusttest.TUF) {
			releases(repo).Edit = func(m map[string]any) { m["targets"].(map[string]any)["custom"] = nil }
		}, "metadata_invalid"},
		{"the snapshot says another length", listing("length", 7), "metadata_invalid"},
		{"the snapshot says an absurd length", listing("length", maxTargets+1), "metadata_invalid"},
		{"the snapshot says another hash", listing("hashes", map[string]any{"sha256": strings.Repeat("ab", 32)}), "metadata_invalid"},
		{"the snapshot says a hash that nobody knows", listing("hashes", map[string]any{"md5": "ab"}), "metadata_invalid"},
		{"the snapshot says a later version", listing("version", 7), "source_unreachable"},
	}
}

// keyless are traps by those who have no key at all, in a repository without hashes.
func keyless() []trap {
	return []trap{
		{"null for a target of targets", unsigned(targets, `"targets":{`, `"targets":{"x":null`), "metadata_invalid"},
		{"null for a target of releases", unsigned(releases, `"targets":{`, `"targets":{"x":null,`), "metadata_invalid"},
		{"null for the targets of releases", unsigned(releases, `"targets":{`, `"targets":null,"x":{`), "metadata_invalid"},
		{"another target in releases", unsigned(releases, app, "r.example/app:2"), "threshold_not_met"},
		{"targets under two spellings", unsigned(releases, `"targets":{`, `"Targets":{"r.example/app:2":{"hashes":{},"length":1}},"targets":{`), "metadata_invalid"},
		{"signed under two spellings", unsigned(releases, `{"signed":{`, `{"Signed":{"version":9},"signed":{`), "metadata_invalid"},
		{"a hundred signatures", func(repo *trusttest.TUF) {
			for range 100 {
				releases(repo).Signers = append(releases(repo).Signers, trusttest.NewKey(trusttest.Ed25519))
			}
		}, "metadata_invalid"},
		{"a number beyond what all hold", unsigned(releases, `"version":`, `"version":9007199254740993,"x":`), "metadata_invalid"},
	}
}

// TestTraps: one bad role or entry refuses the names that depend on it, and no others; and nothing ends the process.
func TestTraps(t *testing.T) {
	for _, c := range slices.Concat(delegations(), entries(), keyless()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo()
			repo.Delegations[1].Sign(web, "good")
			repo.Publish()
			w := rig(t, repo)
			c.make(repo)
			repo.Next(repo.Targets, releases(repo))
			s, err := w.open().Refresh(t.Context())
			if err != nil {
				if got := string(trust.ReasonOf(err)); got != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			kept, err := w.open().Load(t.Context())
			if err != nil || kept == nil {
				t.Fatalf("nothing was kept: %v", err)
			}
			for _, s := range []*trust.Snapshot{s, kept} {
				if got := says(s, app); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				// A delegation by hash prefixes covers every name, where it does.
				if got := says(s, web); got != "good" && c.name != "every hash prefix" {
					t.Errorf("another target comes to %s", got)
				}
			}
		})
	}
}
