package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

const (
	registryName  = "registry.soak"
	notaryRepos   = 4
	tufRepos      = 4
	largeLayer    = 1 << 20
	mediumLayer   = 200 << 10
	smallLayer    = 2 << 10
	coldLeast     = 64 << 10 // bytes of a blob that nobody has asked for before
	coldMost      = 256 << 10
	unsignedTag   = "unsigned" // in the registry, and in no trust data but a stranger's
	movingPerRepo = 2
)

// A repository is one of images, with what its tags mean.
type repository struct {
	name   string // without the registry
	trust  *collection
	source *outlet
	fixed  *tag
	image  upstreamtest.Image // what fixed means
	layer  []byte
	moving []*tag // signed anew again and again; the last is taken back sometimes
}

// A world is everything behind the gateway.
type world struct {
	content      upstreamtest.Registry
	repositories []*repository
	registry     *outlet
	notary, tuf  *outlet
	rootKey      string // id of that of all Notary repositories
	rootFile     []byte // of the TUF repository
	images       int    // that were pushed so far
}

// newWorld generates images, signs them, and opens the three servers.
func newWorld(now time.Time) (*world, error) {
	w := &world{}
	var err error
	w.registry, err = newOutlet("registry", func(fault) http.Handler { return &w.content },
		refusing, flapping, restarting, hanging, dripping, failing, limiting, truncating, corrupting)
	if err != nil {
		return nil, err
	}
	key := trusttest.NewKey(trusttest.ECDSA)
	w.rootKey = key.Canonical()
	guns := make(map[string]*collection)
	one := newTUF(now)
	bad := []fault{refusing, flapping, restarting, hanging, dripping, failing, truncating, corrupting, spoiled, rolledBack, strange}
	if w.notary, err = newOutlet("notary", notaryServer(guns), bad...); err != nil {
		return nil, err
	}
	if w.tuf, err = newOutlet("tuf", tufServer(one), bad...); err != nil {
		return nil, err
	}
	for i := range notaryRepos + tufRepos {
		r := &repository{name: fmt.Sprintf("site/app-%d", i), trust: one, source: w.tuf}
		if i < notaryRepos {
			r.name = fmt.Sprintf("notary/app-%d", i)
			gun := registryName + "/" + r.name
			r.trust, r.source = newNotary(gun, key, now), w.notary
			guns[gun] = r.trust
		}
		w.fill(r, []int{smallLayer, mediumLayer, largeLayer}[i%3])
		w.repositories = append(w.repositories, r)
	}
	for _, c := range guns {
		c.begin()
	}
	one.begin()
	w.rootFile = one.repository.Files()["1.root.json"]
	return w, nil
}

// fill makes the tags of a repository, and signs what is to be.
func (w *world) fill(r *repository, layer int) {
	r.fixed = &tag{repository: r.name, name: "fixed", source: &r.source.windows}
	text := strings.Repeat(r.name+" ", layer/len(r.name+" "))
	r.image = w.content.PushImage(r.name, r.fixed.name, text)
	r.fixed.all = []meaning{{digest: r.image.Digest}}
	r.enter(r.trust.repository.Targets, r.fixed.name, r.image)
	for i := range movingPerRepo {
		t := &tag{repository: r.name, name: fmt.Sprintf("moving-%d", i), source: &r.source.windows}
		image := w.push(r, t.name)
		t.all = []meaning{{digest: image.Digest}}
		r.enter(r.trust.repository.Targets, t.name, image)
		r.moving = append(r.moving, t)
	}
	r.enter(r.trust.stranger.Targets, unsignedTag, w.content.PushImage(r.name, unsignedTag, "nobody signed this"))
}

// push stores a new image under a tag.
func (w *world) push(r *repository, tag string) upstreamtest.Image {
	w.images++
	return w.content.PushImage(r.name, tag, fmt.Sprintf("image %d", w.images))
}

// enter makes a tag mean the image, in what the role will sign.
func (r *repository) enter(role *trusttest.Role, tag string, image upstreamtest.Image) {
	role.Entries[r.target(tag)] = trusttest.Entry{Digest: image.Digest, Length: int64(len(image.Manifest))}
}

// target is what trust data calls the tag: a Notary repository is of one image, the TUF repository of many.
func (r *repository) target(tag string) string {
	if strings.HasPrefix(r.name, "notary/") {
		return tag
	}
	return registryName + "/" + r.name + ":" + tag
}

// move signs one of the moving tags anew, or takes it back.
func (w *world) move(rng *rand.Rand) {
	r := w.repositories[rng.IntN(len(w.repositories))]
	i := rng.IntN(len(r.moving))
	t := r.moving[i]
	if i == len(r.moving)-1 && t.now() != "" && rng.IntN(2) == 0 {
		t.publish("", time.Now, func() {
			r.trust.sign(func(role *trusttest.Role) { delete(role.Entries, r.target(t.name)) })
		})
		return
	}
	image := w.push(r, t.name)
	t.publish(image.Digest, time.Now, func() {
		r.trust.sign(func(role *trusttest.Role) { r.enter(role, t.name, image) })
	})
}

// cold stores a blob that was never there before.
func (w *world) cold(r *repository, rng *rand.Rand) (digest.Digest, int64) {
	content := make([]byte, coldLeast+rng.IntN(coldMost-coldLeast))
	for i := 0; i+8 <= len(content); i += 8 {
		x := rng.Uint64()
		for j := range 8 {
			content[i+j] = byte(x >> (8 * j))
		}
	}
	return w.content.PushBlob(r.name, content), int64(len(content))
}

// outlets are the three servers.
func (w *world) outlets() []*outlet { return []*outlet{w.registry, w.notary, w.tuf} }

// close ends the servers.
func (w *world) close() {
	for _, o := range w.outlets() {
		o.shut()
	}
}
