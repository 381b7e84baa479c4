package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// A forger is a signed repository, of whichever format, whose server does what an attacker wants.
type forger interface {
	http.Handler // serves what was published
	// entry returns the source's entry in the configuration, in YAML on one line, that trusts the first root.
	entry(url string) string
	// renew lets the owners sign the next version of everything.
	renew()
	// publish puts everything that was signed or forged where clients find it, all at once.
	publish()
}

// A row is one attack on one repository. In each, v1 means good; below it, where clients must not look any more, it means
// older; to the registry it means evil, which nobody signed.
type row[F forger] struct {
	name string
	// before happens before anybody looks. Nil: nothing.
	before func(F)
	attack func(F)
	// cold is what v1 comes to for who has never seen the repository: "200 good", "403 signature_invalid". Empty: the
	// attack means nothing to them.
	cold string
	// check is the result of the next refresh for who has seen two versions, as the metric names it. Empty: not tried.
	check string
	// warm is what v1 comes to after that, before and after a restart. Empty: "200 good". With "until " before it, v1 is good until
	// it comes to that.
	warm string
}

// A stage is one gateway with a source, a rule and a repository for each row.
type stage[F forger] struct {
	*gateway
	rows    []row[F]
	forgers []F
	images  []images
}

// images are what a tag may mean.
type images struct {
	path              string // of the repository, as the registry has it
	up                *upstreamtest.Registry
	good, older, evil upstreamtest.Image
}

// besiege tries all rows on who has seen nothing, on who has seen two versions, and on the latter after a power cut.
func besiege[F forger](t *testing.T, format string, fresh func(gun string, i images) F, all []row[F]) {
	t.Run("cold", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, fresh, all, func(r row[F]) bool { return r.cold != "" }, true)
		for i, r := range s.rows {
			t.Run(format+"/"+r.name, func(t *testing.T) { s.judge(t, i, r.cold) })
		}
	})
	t.Run("warm", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, fresh, all, func(r row[F]) bool { return r.check != "" }, false)
		s.advance(t)
		await(func() bool { return !slices.Contains(s.checked(t), false) })
		checked := s.checked(t)
		for i, r := range s.rows {
			t.Run(format+"/"+r.name, func(t *testing.T) {
				if !checked[i] {
					t.Errorf("no refresh comes to %s", r.check)
				}
				s.judge(t, i, r.expected())
			})
		}
		// PRODUCT: invariant 6, power loss.
		s.kill()
		s.start(t)
		for i, r := range s.rows {
			t.Run(format+"/"+r.name+"/restarted", func(t *testing.T) { s.judge(t, i, r.expected()) })
		}
	})
}

// seen is how many refreshes came to what before the attack.
var seen = map[string]float64{"changed": 2}

// expected returns what v1 comes to for who was not cold.
func (r row[F]) expected() string {
	if r.warm == "" {
		return "200 good"
	}
	return r.warm
}

// prepare starts a gateway for the rows that apply.
func prepare[F forger](t *testing.T, fresh func(string, images) F, all []row[F], applies func(row[F]) bool, attacked bool) *stage[F] {
	t.Helper()
	s := &stage[F]{}
	up := new(upstreamtest.Registry)
	var sources, rules strings.Builder
	for _, r := range all {
		if !applies(r) {
			continue
		}
		path := fmt.Sprintf("siege/r%d", len(s.rows))
		i := images{path, up, up.PushImage(path, "", "good "+path), up.PushImage(path, "", "older "+path), up.PushImage(path, "v1", "evil "+path)}
		f := fresh("r.example/"+path, i)
		if r.before != nil {
			r.before(f)
		}
		fmt.Fprintf(&sources, "  r%d: %s\n", len(s.rows), f.entry(serve(t, f)))
		fmt.Fprintf(&rules, "  - {match: r.example/%s, source: r%d}\n", path, len(s.rows))
		f.publish()
		if attacked {
			r.attack(f)
			f.publish()
		}
		s.rows, s.forgers, s.images = append(s.rows, r), append(s.forgers, f), append(s.images, i)
	}
	s.gateway = launch(t, fmt.Sprintf("registries:\n  r.example: {url: %q}\nsources:\n%srules:\n%s", serve(t, up), &sources, &rules))
	return s
}

// advance lets the gateway see two versions of every repository, and then the attacks come.
func (s *stage[F]) advance(t *testing.T) {
	t.Helper()
	for i := range s.rows {
		s.judge(t, i, "200 good")
	}
	for _, f := range s.forgers {
		f.renew()
		f.publish()
	}
	eventually(t, "the second versions are seen", func() bool {
		metrics := s.metrics(t)
		for i := range s.rows {
			if metrics[result(i, "changed")] < seen["changed"] {
				return false
			}
		}
		return true
	})
	for i, r := range s.rows {
		r.attack(s.forgers[i])
		s.forgers[i].publish()
	}
}

// result names the metric of how many refreshes of a row's source came to a result.
func result(i int, result string) string {
	return fmt.Sprintf("tagwarden_source_refresh_total{result=%q,source=\"r%d\"}", result, i)
}

// checked tells of each row whether there was a refresh since the attack that came to what it must come to.
func (s *stage[F]) checked(t *testing.T) []bool {
	t.Helper()
	var each []bool
	metrics := s.metrics(t)
	for i, r := range s.rows {
		each = append(each, metrics[result(i, r.check)] > seen[r.check])
	}
	return each
}

// judge asks for v1, and for a tag that nobody signed, with GET and HEAD.
func (s *stage[F]) judge(t *testing.T, i int, want string) {
	t.Helper()
	base := "/v2/r.example/" + s.images[i].path + "/manifests/"
	if last, ok := strings.CutPrefix(want, "until "); ok {
		want = last
		eventually(t, "v1 comes to "+last, func() bool {
			got := s.images[i].String(t, s.get(t, base+"v1"))
			if got != "200 good" && got != last {
				t.Fatalf("until %s, v1 is %s", last, got)
			}
			return got == last
		})
	}
	a := s.get(t, base+"v1")
	if got := s.images[i].String(t, a); got != want {
		t.Errorf("v1 is %s, want %s; %.300s", got, want, a.body)
	}
	if h := s.ask(t, http.MethodHead, base+"v1"); h.status != a.status || h.header.Get("Docker-Content-Digest") != a.header.Get("Docker-Content-Digest") {
		t.Errorf("HEAD %d, GET %d", h.status, a.status)
	}
	if a := s.get(t, base+"evil"); a.status < 400 {
		t.Errorf("evil is %s", a)
	}
}

// String says what an answer is, and which image.
func (i images) String(t *testing.T, a answer) string {
	t.Helper()
	if a.status != http.StatusOK {
		return a.String()
	}
	names := map[digest.Digest]string{i.good.Digest: "good", i.older.Digest: "older", i.evil.Digest: "evil"}
	return "200 " + names[a.digest(t)]
}
