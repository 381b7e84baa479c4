package attack

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// notaryRows returns all rows of TestNotary.
func notaryRows() []row[*notary] {
	return slices.Concat(injections(), downgrades(), rollbacks(), roots(), signatures(), documents(), overflows(), genuine())
}

// TestNotary attacks the reader of Notary v1, through the door: the weak points of the format, W1 to W16, and what genuine
// data looks like that must be taken.
func TestNotary(t *testing.T) {
	t.Parallel()
	all := notaryRows()
	besiege(t, "dct", newNotary, all)
	for i := range 16 {
		w := fmt.Sprintf("W%d ", i+1)
		if !slices.ContainsFunc(all, func(r row[*notary]) bool { return strings.HasPrefix(r.name, w) }) {
			t.Errorf("no test for %s", w)
		}
	}
}

// A notary is a repository of Notary v1: targets/releases signs v1 as good, and targets as older. Its server has another,
// which nobody attacks.
type notary struct {
	*trusttest.Notary
	*images
	shelf
	releases *trusttest.Role
	pin      string // YAML; empty: the key of the root
	options  string // more of the source, in YAML
	quiet    *trusttest.Notary
}

func newNotary(_ *testing.T, gun string, i *images) *notary {
	n := &notary{Notary: trusttest.NewNotary(gun, time.Now()), images: i, quiet: trusttest.NewNotary("r.example/"+i.aside, time.Now())}
	n.releases = n.Delegate("targets/releases", "")
	n.sign(n.releases, i.good)
	n.sign(n.Targets, i.older)
	n.quiet.Targets.Entries["v1"] = trusttest.Entry{Digest: i.calm.Digest, Length: int64(len(i.calm.Manifest))}
	n.quiet.Publish()
	n.pin = fmt.Sprintf("{keys: [%s]}", n.Root.Keys[0].Canonical())
	return n
}

// sign makes v1 of a role mean an image.
func (n *notary) sign(role *trusttest.Role, i upstreamtest.Image) {
	role.Entries["v1"] = trusttest.Entry{Digest: i.Digest, Length: int64(len(i.Manifest))}
}

func (n *notary) entry(url string) string {
	return fmt.Sprintf("{notary: %q, refresh: 2s, pins: {%s: %s, %s: {keys: [%s]}}%s}", url, n.GUN, n.pin, n.quiet.GUN, n.quiet.Root.Keys[0].Canonical(), n.options)
}

func (n *notary) demands() string { return "" }

func (n *notary) renew() { n.Next(n.Targets, n.releases) }

func (n *notary) publish() {
	if n.first == nil {
		n.Publish()
	}
	n.put(n.Files())
}

// ServeHTTP implements http.Handler.
func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	gun, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/_trust/tuf/")
	if raw := n.quiet.Files()[file]; gun == n.quiet.GUN && raw != nil {
		_, _ = w.Write(raw) // a client that left is no concern
		return
	}
	if gun != n.GUN {
		http.NotFound(w, r)
		return
	}
	n.answer(w, r, file)
}

// rotate replaces the root key, as often as it is told, and publishes each root.
func (n *notary) rotate(times int) {
	for range times {
		old := n.Root.Keys
		n.Root.Keys = []*trusttest.Key{trusttest.NewCertKey(trusttest.ECDSA, n.GUN, time.Now())}
		n.Root.Signers = append(slices.Clone(n.Root.Keys), old...)
		n.Root.Version++
		n.Publish()
	}
}

// usurp serves a stranger's repository of the same name in which v1 means evil, with a root of the given version.
func (n *notary) usurp(root int64) {
	other := trusttest.NewNotary(n.GUN, time.Now())
	n.sign(other.Targets, n.evil)
	other.Root.Version, other.Timestamp.Version = root, 9
	other.Publish()
	n.instead = other.Files()
	if root > 1 {
		n.instead["1.root.json"] = n.Files()["1.root.json"]
	}
}

// TestNotaryState attacks what is kept between two starts.
func TestNotaryState(t *testing.T) {
	t.Parallel()
	t.Run("dct/W6 lost state", func(t *testing.T) {
		w := newWorld(t, settings{before: func(w *world) {
			n := w.repository("r.example/cold/x")
			w.sign(n, "v1", w.good)
			w.site.publish(n)
			w.site.order = w.site.order[:1] // it is not pinned
			w.up.PushImage("cold/x", "", "good")
		}})
		const tofu = "/v2/r.example/cold/x/manifests/v1"
		w.expect(t, "200", tofu)
		w.expect(t, "200", manifest("v1"))
		w.process.Kill()
		slots, err := filepath.Glob(w.file("state/corp/*/[01]"))
		if err != nil || len(slots) < 2 {
			t.Fatalf("slots %v, %v", slots, err)
		}
		for _, slot := range slots {
			if err := os.WriteFile(slot, []byte("rubbish"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.start(t)
		// PRODUCT: invariant 6, pinned sources restart from the pin, and trust on first use refuses.
		w.expect(t, "503 state_unavailable", tofu)
		w.expect(t, "200", manifest("v1"))
		if n := w.metrics(t)[`tagwarden_security_events_total{kind="state_damaged"}`]; n < 2 {
			t.Errorf("%v security events, want one for each of two", n)
		}
	})
	t.Run("dct/W6 pin changed", func(t *testing.T) {
		w := newWorld(t, settings{})
		w.expect(t, "200", manifest("v1"))
		w.process.Kill()
		config, err := os.ReadFile(w.file("tagwarden.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		other := strings.ReplaceAll(string(config), w.app.Root.Keys[0].Canonical(), trusttest.NewKey(trusttest.ECDSA).Canonical())
		if err := os.WriteFile(w.file("tagwarden.yaml"), []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start(t)
		w.expect(t, "403 root_not_pinned", manifest("v1"))
	})
}
