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
	// demands returns what the rule of the name under attack asks beyond its source, in YAML that goes on with a line.
	demands() string
	// renew lets the owners sign the next version of everything.
	renew()
	// publish puts everything that was signed or forged where clients find it, all at once.
	publish()
}

// A row is one attack on one repository. In each, v1 means good; below it, where clients must not look any more, it means
// older; to the registry it means evil, which nobody signed. The source has another name, aside, whose v1 means calm.
type row[F forger] struct {
	name string
	// before happens before anybody looks. Nil: nothing.
	before func(F)
	// seen makes the second versions, in place of the owners' renewal.
	seen   func(F)
	attack func(F)
	// cold is what v1 comes to for who has never seen the repository: "200 good", "403 signature_invalid". Empty: the
	// attack means nothing to them.
	cold string
	// check is the result of the next refresh for who has seen two versions, as the metric names it. Empty: not tried.
	check string
	// again is that of the first refresh after a restart. Empty: check, or "unchanged" for what was taken.
	again string
	// warm is what v1 comes to after that, before and after a restart. Empty: "200 good". With "until " before it, v1 is good until
	// it comes to that.
	warm string
	// shared tells that aside fares as v1 does: one set of files speaks for both. Else it means calm, whatever happens.
	shared bool
	// also looks at what is behind the tag.
	also func(t *testing.T, g *gateway, f F)
}

// expected returns what v1 comes to for who was not cold.
func (r row[F]) expected() string {
	if r.warm == "" {
		return "200 good"
	}
	return r.warm
}

// restarted returns what the first refresh after a restart comes to.
func (r row[F]) restarted() string {
	switch {
	case r.again != "":
		return r.again
	case r.check == "changed":
		return "unchanged"
	}
	return r.check
}

// besiege tries all rows on who has seen nothing, on who has seen two versions, and on the latter after a power cut.
func besiege[F forger](t *testing.T, format string, fresh func(t *testing.T, gun string, i *images) F, all []row[F]) {
	t.Run("cold", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, fresh, all, func(r row[F]) bool { return r.cold != "" }, true)
		for i, r := range s.rows {
			t.Run(format+"/"+r.name, func(t *testing.T) { s.judge(t, i, r.cold) })
		}
		s.endure(t)
	})
	t.Run("warm", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, fresh, all, func(r row[F]) bool { return r.check != "" }, false)
		s.advance(t)
		missing := s.checked(t, row[F].checks)
		for i, r := range s.rows {
			t.Run(format+"/"+r.name, func(t *testing.T) {
				if slices.Contains(missing, i) {
					t.Errorf("no refresh comes to %s", r.check)
				}
				s.judge(t, i, r.expected())
			})
		}
		s.endure(t)
		// PRODUCT: invariant 6, power loss.
		s.process.Kill()
		s.start(t)
		s.before = nil
		for i, r := range s.rows {
			t.Run(format+"/"+r.name+"/restarted", func(t *testing.T) { s.judge(t, i, r.expected()) })
		}
		for _, i := range s.checked(t, row[F].restarted) {
			t.Errorf("%s/%s: after a restart no refresh comes to %s", format, s.rows[i].name, s.rows[i].restarted())
		}
	})
}

// checks returns what the refresh after the attack comes to.
func (r row[F]) checks() string { return r.check }

// A stage is one gateway with a source, two rules and a repository for each row.
type stage[F forger] struct {
	*gateway
	rows    []row[F]
	forgers []F
	images  []*images
	before  map[string]float64 // the metrics before the attacks, or before anything can have come of them
}

// prepare starts a gateway for the rows that apply.
func prepare[F forger](t *testing.T, fresh func(*testing.T, string, *images) F, all []row[F], applies func(row[F]) bool, attacked bool) *stage[F] {
	t.Helper()
	s := &stage[F]{}
	up := new(upstreamtest.Registry)
	var sources, rules strings.Builder
	for _, r := range all {
		if !applies(r) {
			continue
		}
		n := len(s.rows)
		i := newImages(up, fmt.Sprintf("siege/r%d", n))
		f := fresh(t, "r.example/"+i.path, i)
		if r.before != nil {
			r.before(f)
		}
		fmt.Fprintf(&sources, "  r%d: %s\n", n, f.entry(serve(t, f)))
		fmt.Fprintf(&rules, "  - {match: r.example/%s, source: r%d%s}\n  - {match: r.example/%s, source: r%d}\n", i.path, n, f.demands(), i.aside, n)
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
		if got, a := s.images[i].meaning(t, s.gateway, s.images[i].path, "v1"); got != "200 good" {
			t.Fatalf("%s: before anything, v1 is %s; %.300s", s.rows[i].name, got, a.body)
		}
	}
	s.before = s.metrics(t)
	for i, f := range s.forgers {
		if seen := s.rows[i].seen; seen != nil {
			seen(f)
		} else {
			f.renew()
		}
		f.publish()
	}
	if missing := s.checked(t, func(row[F]) string { return "changed" }); missing != nil {
		t.Fatalf("the second versions are not seen of %s", s.rows[missing[0]].name)
	}
	s.before = s.metrics(t)
	for i, r := range s.rows {
		r.attack(s.forgers[i])
		s.forgers[i].publish()
	}
	// What refreshes that began before their attack came to says nothing.
	after := s.metrics(t)
	for i := range s.rows {
		unchanged := result(i, "unchanged")
		s.before[unchanged] = after[unchanged] + 1
	}
}

// result names the metric of how many refreshes of a row's source came to a result.
func result(i int, result string) string {
	return fmt.Sprintf("tagwarden_source_refresh_total{result=%q,source=\"r%d\"}", result, i)
}

// checked returns the rows of which no refresh came, in time, to what it must come to.
func (s *stage[F]) checked(t *testing.T, want func(row[F]) string) []int {
	t.Helper()
	var missing []int
	await(func() bool {
		metrics := s.metrics(t)
		missing = nil
		for i, r := range s.rows {
			if name := result(i, want(r)); metrics[name] <= s.before[name] {
				missing = append(missing, i)
			}
		}
		return missing == nil
	})
	return missing
}

// endure checks what the gateway as a whole has come to.
func (s *stage[F]) endure(t *testing.T) {
	t.Helper()
	// PRODUCT: invariant 4, what fails verification raises a security event.
	if n := s.metrics(t)[`tagwarden_security_events_total{kind="verification_failed"}`]; n < 1 {
		t.Errorf("%v security events", n)
	}
	// PRODUCT: section 8, hostile metadata or manifests keep peak memory under 200 MiB.
	if peak := s.peak(); peak > mostMemory {
		t.Errorf("peak of %d MiB of memory, want at most %d", peak>>20, mostMemory>>20)
	}
}

// judge asks for v1, for a tag that nobody signed, for a digest, and for v1 of the name aside.
func (s *stage[F]) judge(t *testing.T, i int, want string) {
	t.Helper()
	in := s.images[i]
	if last, ok := strings.CutPrefix(want, "until "); ok {
		want = last
		eventually(t, "v1 comes to "+last, func() bool {
			got, a := in.meaning(t, s.gateway, in.path, "v1")
			if got != "200 good" && got != last {
				t.Fatalf("until %s, v1 is %s; %.300s", last, got, a.body)
			}
			return got == last
		})
	}
	got, a := in.meaning(t, s.gateway, in.path, "v1")
	if got != want {
		t.Errorf("v1 is %s, want %s; %.300s", got, want, a.body)
	}
	if h := s.ask(t, http.MethodHead, in.place(in.path, "v1")); h.status != a.status || h.header.Get("Docker-Content-Digest") != a.header.Get("Docker-Content-Digest") {
		t.Errorf("HEAD %d, GET %d", h.status, a.status)
	}
	if got, _ := in.meaning(t, s.gateway, in.path, "evil"); strings.HasPrefix(got, "200") {
		t.Errorf("evil is %s", got)
	}
	if got, _ := in.meaning(t, s.gateway, in.path, in.older.Digest.String()); got != "200 older" {
		t.Errorf("an explicit digest is %s", got)
	}
	calm := "200 calm"
	if s.rows[i].shared && want != "200 good" {
		calm = want
	}
	if got, a := in.meaning(t, s.gateway, in.aside, "v1"); got != calm {
		t.Errorf("v1 of another name is %s, want %s; %.300s", got, calm, a.body)
	}
	if s.rows[i].also != nil {
		s.rows[i].also(t, s.gateway, s.forgers[i])
	}
}

// images are what tags may mean: those of the repository under attack, and of the one aside.
type images struct {
	path, aside             string // of the repositories, as the registry has them
	up                      *upstreamtest.Registry
	good, older, evil, calm upstreamtest.Image
}

func newImages(up *upstreamtest.Registry, path string) *images {
	i := &images{path: path + "/app", aside: path + "/web", up: up}
	i.good, i.older, i.evil = up.PushImage(i.path, "", "good "+path), up.PushImage(i.path, "", "older "+path), up.PushImage(i.path, "v1", "evil "+path)
	i.calm = up.PushImage(i.aside, "", "calm "+path)
	up.PushImage(i.aside, "v1", "evil "+path)
	return i
}

// place is where the gateway has a tag or digest of a repository.
func (i *images) place(path, reference string) string {
	return "/v2/r.example/" + path + "/manifests/" + reference
}

// meaning says what the gateway answers for a tag or digest, and which image that is.
func (i *images) meaning(t *testing.T, g *gateway, path, reference string) (string, answer) {
	t.Helper()
	a := g.get(t, i.place(path, reference))
	if a.status != http.StatusOK {
		return a.String(), a
	}
	names := map[digest.Digest]string{i.good.Digest: "good", i.older.Digest: "older", i.evil.Digest: "evil", i.calm.Digest: "calm"}
	return "200 " + names[a.digest(t)], a
}
