package attack

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// classes are the attacks that TUF is made against. Each row's name begins with one, or with what else there is.
var classes = []string{
	"arbitrary software", "rollback", "indefinite freeze", "endless data", "slow retrieval", "extraneous dependencies", "mix-and-match",
	"wrong software", "malicious mirror", "key compromise", "fast-forward", "trap", "genuine",
}

// tufRows returns all rows of TestTUF.
func tufRows() []row[*tuf] {
	return slices.Concat(forgeries(), compromises(), regressions(), freezes(), mixtures(), floods(), mirrors(), mistakes(), tufTraps(), delegationTraps(), tufGenuine())
}

// TestTUF attacks the reader of TUF 1.0, through the door: every attack that the format is made against, what breaks its
// library, and what genuine data looks like that must be taken.
func TestTUF(t *testing.T) {
	t.Parallel()
	all := tufRows()
	besiege(t, "tuf", newTUF, slices.Clone(all))
	for _, c := range classes {
		named := func(r row[*tuf]) bool { return strings.HasPrefix(r.name, c+": ") }
		if c != "slow retrieval" && !slices.ContainsFunc(all, named) { // that one is TestSlowRetrieval
			t.Errorf("no test for %s", c)
		}
		all = slices.DeleteFunc(all, named)
	}
	for _, r := range all {
		t.Errorf("%s is of no class", r.name)
	}
}

// A tuf is a repository of TUF 1.0. Of the roles to which targets delegates, team signs v1 of the name aside, releases
// signs v1 of the name under attack, and behind, who comes last and may speak for both, signs v1 as older.
type tuf struct {
	*trusttest.TUF
	*images
	shelf
	team, releases, behind *trusttest.Role

	dir     string           // for the pinned root
	target  string           // what v1 is called
	stolen  []*trusttest.Key // of a role that has others now
	options string           // more of the source, in YAML
	rule    string           // more of the rule, in YAML
}

func newTUF(t *testing.T, gun string, i *images) *tuf {
	t.Helper()
	r := &tuf{TUF: trusttest.NewTUF(time.Now()), images: i, dir: t.TempDir(), target: gun + ":v1"}
	r.team = r.Delegate(r.Targets, "team", "r.example/"+i.aside+":*")
	r.releases = r.Delegate(r.Targets, "releases", gun+":*")
	r.behind = r.Delegate(r.Targets, "behind", path.Dir(gun)+"/*:*")
	r.sign(r.releases, i.good)
	r.sign(r.behind, i.older)
	r.team.Entries["r.example/"+i.aside+":v1"] = trusttest.Entry{Digest: i.calm.Digest, Length: int64(len(i.calm.Manifest))}
	return r
}

// sign makes v1, as a role has it, mean an image.
func (r *tuf) sign(role *trusttest.Role, i upstreamtest.Image) {
	role.Entries[r.target] = trusttest.Entry{Digest: i.Digest, Length: int64(len(i.Manifest))}
}

func (r *tuf) entry(url string) string {
	r.publish()
	root := filepath.Join(r.dir, "root.json")
	if err := os.WriteFile(root, r.Files()["1.root.json"], 0o600); err != nil {
		panic(err)
	}
	return fmt.Sprintf("{tuf: %q, root: %q, refresh: 2s%s}", url+"/metadata", root, r.options)
}

func (r *tuf) demands() string { return r.rule }

func (r *tuf) renew() { r.Next(r.Targets, r.releases) }

func (r *tuf) publish() {
	if r.first == nil {
		r.Publish()
	}
	r.put(r.Files())
}

// ServeHTTP implements http.Handler.
func (r *tuf) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	file, ok := strings.CutPrefix(req.URL.EscapedPath(), "/metadata/")
	if !ok {
		http.NotFound(w, req)
		return
	}
	r.answer(w, req, file)
}

// role returns the role of the name.
func (r *tuf) role(name string) *trusttest.Role {
	return map[string]*trusttest.Role{
		"root": r.Root, "timestamp": r.Timestamp, "snapshot": r.Snapshot, "targets": r.Targets, "releases": r.releases,
	}[name]
}

// of makes an attack on one role.
func of(name string, attack func(r *tuf, role *trusttest.Role)) func(*tuf) {
	return func(r *tuf) { attack(r, r.role(name)) }
}

// verb makes an attack of a method.
func verb(attack func(*trusttest.Repository, *trusttest.Role)) func(*tuf, *trusttest.Role) {
	return func(r *tuf, role *trusttest.Role) { attack(&r.Repository, role) }
}

// each makes one row for each of the roles. Root means the next one.
func each(kind func(name, reason string, attack func(*tuf)) row[*tuf], what, reason string, attack func(*tuf, *trusttest.Role), roles ...string) []row[*tuf] {
	var all []row[*tuf]
	for _, role := range roles {
		all = append(all, kind(strings.ReplaceAll(what, "ROLE", role), reason, of(role, attack)))
	}
	return all
}

// whole is a row for a file on which the whole repository rests.
func whole(name, reason string, attack func(*tuf)) row[*tuf] {
	r := broken(name, reason, attack)
	r.shared = true
	return r
}

// lost is a row for the file of a delegated role that its server has lost, or gives another for. Who has seen the role keeps
// what it has; who has not knows that the names are refused for which the role speaks, and no others.
func lost(name, reason string, attack func(*tuf)) row[*tuf] {
	if reason == "source_unreachable" {
		return row[*tuf]{name: name, attack: attack, cold: "503 " + reason, check: reason}
	}
	return broken(name, reason, attack)
}

// cut is a row for a server that cannot be asked.
func cut(name, reason string, attack func(*tuf)) row[*tuf] {
	return row[*tuf]{name: name, attack: attack, cold: "503 " + reason, check: reason, shared: true}
}

// taken is a row for what must be taken. Without reason: v1 stays good; else that is what it comes to.
func taken(name, want string, attack func(*tuf)) row[*tuf] {
	return row[*tuf]{name: name, attack: attack, cold: want, check: "changed", warm: want}
}

// usurp serves a stranger's repository of the same name in which v1 means evil, with a root of the given version.
func (r *tuf) usurp(root int64) {
	other := trusttest.NewTUF(time.Now())
	r.sign(other.Targets, r.evil)
	other.Root.Version, other.Timestamp.Version, other.Snapshot.Version, other.Targets.Version = root, 9, 9, 9
	other.Publish()
	r.instead = other.Files()
}

// rotate replaces the root key, as often as it is told, and publishes each root.
func (r *tuf) rotate(times int) {
	for range times {
		r.RotateRoot()
		r.Publish()
	}
}

// TestTUFState attacks what is kept between two starts.
func TestTUFState(t *testing.T) {
	t.Parallel()
	up := new(upstreamtest.Registry)
	i := newImages(up, "siege/r0")
	r := newTUF(t, "r.example/"+i.path, i)
	g := launch(t, fmt.Sprintf("registries:\n  r.example: {url: %q}\nsources:\n  site: %s\nrules:\n  - {match: r.example/**, source: site}\n", serve(t, up), r.entry(serve(t, r))))
	want := func(want string) {
		t.Helper()
		if got, a := i.meaning(t, g, i.path, "v1"); got != want {
			t.Errorf("v1 is %s, want %s; %.300s", got, want, a.body)
		}
	}
	slots := func() []string {
		found, err := filepath.Glob(g.file("state/site/*/[01]"))
		if err != nil || len(found) == 0 {
			t.Fatalf("slots %v, %v", found, err)
		}
		return found
	}
	want("200 good")
	first := r.Files()
	r.renew()
	r.publish()
	eventually(t, "the second version is kept", func() bool {
		i.meaning(t, g, i.path, "v1")
		return g.metrics(t)[`tagwarden_source_refresh_total{result="changed",source="site"}`] > 1
	})
	t.Run("tuf/one copy damaged", func(t *testing.T) {
		// PRODUCT: invariant 6, either copy may be lost: the floors stand.
		g.process.Kill()
		for n, slot := range slots() {
			if n == 0 {
				spill(t, slot)
			}
		}
		r.Serve(first)
		r.publish()
		g.start(t)
		want("200 good")
		eventually(t, "the rollback is seen", func() bool {
			return g.metrics(t)[`tagwarden_source_refresh_total{result="metadata_rollback",source="site"}`] > 0
		})
		want("200 good")
	})
	t.Run("tuf/lost state", func(t *testing.T) {
		g.process.Kill()
		for _, slot := range slots() {
			spill(t, slot)
		}
		g.start(t)
		// PRODUCT: invariant 6, with both copies lost a pinned source starts again from its pin, with a security event.
		want("200 good")
		if n := g.metrics(t)[`tagwarden_security_events_total{kind="state_damaged"}`]; n < 1 {
			t.Errorf("%v security events", n)
		}
	})
	t.Run("tuf/pin changed", func(t *testing.T) {
		g.process.Kill()
		other := trusttest.NewTUF(time.Now())
		other.Publish()
		if err := os.WriteFile(filepath.Join(r.dir, "root.json"), other.Files()["1.root.json"], 0o600); err != nil {
			t.Fatal(err)
		}
		g.start(t)
		want("403 threshold_not_met")
		if n := g.metrics(t)[`tagwarden_security_events_total{kind="pin_changed"}`]; n != 1 {
			t.Errorf("%v security events, want one", n)
		}
	})
}

// spill makes rubbish of a file.
func spill(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
}
