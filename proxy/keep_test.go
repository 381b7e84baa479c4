package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/trust"
)

// keeper returns a gate and the names of those of digests that go last.
func keeper(t *testing.T) (*gate, func() int64) {
	dir := t.TempDir()
	g := newGate(t, func(o *Options) {
		store, err := cache.Open(cache.Options{Dir: dir, Backoff: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close(context.Background()) })
		o.Cache = store
	})
	return g, func() int64 {
		u, err := cache.Measure(t.Context(), dir)
		if err != nil {
			t.Error(err)
		}
		return u.KeptFiles
	}
}

// The content of signed tags that clients used is evicted last: what was there before the tag was asked for, and what came
// after it.
func TestKeep(t *testing.T) {
	g, kept := keeper(t)
	image := g.registry.PushIndex("team/app", "v1", "signed")
	g.signed.sign("registry.example/team/app", "v1", trust.Target{Digest: image.Digest})
	get := func(kind string, d digest.Digest) {
		t.Helper()
		if a := g.get("GET", "/v2/corp/team/app/"+kind+"/"+d.String()); a.status != 200 {
			t.Fatal(a.status)
		}
		g.kept(d)
	}
	amd, arm := image.Platforms[0], image.Platforms[1]
	get("manifests", amd.Digest)
	get("blobs", amd.Config)
	get("blobs", amd.Layer)
	if n := kept(); n != 0 {
		t.Errorf("%d files go last because somebody knew their digest", n)
	}
	g.get("HEAD", "/v2/corp/team/app/manifests/v1")
	g.until("index and child go last", func() bool { return kept() == 2 })
	get("manifests", amd.Digest)
	g.until("config and layer go last", func() bool { return kept() == 4 })
	get("manifests", arm.Digest)
	get("blobs", arm.Config)
	g.until("those that came later go last", func() bool { return kept() == 6 })

	// What nobody signed does not.
	_, other, path := g.pushBlob(1000)
	g.get("GET", path)
	g.kept(other)
	exempt := g.registry.PushImage("exempt/app", "v1", "unsigned")
	g.get("GET", "/v2/corp/exempt/app/manifests/v1")
	g.kept(exempt.Digest)
	if n := kept(); n != 6 {
		t.Errorf("%d files go last", n)
	}
}

// What was evicted and comes again goes last again.
func TestKeepAgain(t *testing.T) {
	g, kept := keeper(t)
	image := g.sign("team/app", "v1", "signed")
	for range 2 {
		g.get("GET", "/v2/corp/team/app/manifests/v1")
		g.until("it goes last", func() bool { return kept() == 1 })
		g.get("GET", "/v2/corp/team/app/blobs/"+image.Layer.String())
		g.until("the layer does", func() bool { return kept() == 2 })
		if _, err := g.o.Cache.Prune(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
}

// A manifest that is not held in memory is read again, from the cache.
func TestKeepOfALargeManifest(t *testing.T) {
	g, kept := keeper(t)
	image := g.registry.PushImage("team/app", "", "signed")
	body := strings.Replace(string(image.Manifest), "{", fmt.Sprintf(`{"annotations":{"x":%q},`, strings.Repeat("x", 2*maxSmall)), 1)
	d := g.registry.PushManifest("team/app", "v1", ociManifest, []byte(body))
	g.signed.sign("registry.example/team/app", "v1", trust.Target{Digest: d})
	g.get("GET", "/v2/corp/team/app/manifests/v1")
	g.until("it goes last", func() bool { return kept() == 1 })
	g.get("GET", "/v2/corp/team/app/blobs/"+image.Layer.String())
	g.until("the layer does", func() bool {
		g.get("GET", "/v2/corp/team/app/blobs/"+image.Layer.String())
		return kept() == 2
	})
	if got := g.asked(); len(got) != 2 {
		t.Errorf("the registry was asked %v", got)
	}
}

func TestLinks(t *testing.T) {
	d := digest.FromString("x").String()
	one := func(more string) string { return fmt.Sprintf(`{"digest":%q,"size":7%s}`, d, more) }
	for body, want := range map[string]string{
		`{"manifests":[` + one(`,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}`) + `]}`:    "[linux/arm64/v8]",
		`{"manifests":[` + one(`,"platform":{"os":"linux","architecture":"amd64"}`) + `]}`:                   "[linux/amd64]",
		`{"manifests":[` + one("") + `,` + one("") + `]}`:                                                    "[ ]",
		`{"config":` + one("") + `,"layers":[ ]}`:                                                            "[]",
		`{"subject":` + one("") + `}`:                                                                        "[]",
		`{"layers":[` + one(`,"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar"`) + `]}`: "[]",
		`{"layers":7}`:            "error",
		`{"layers":[7]}`:          "error",
		`{"layers":[{"size":1}]}`: "error",
		`{"config":{"digest":"` + d + `","size":-1}}`:                          "error",
		`{"layers":[` + strings.Repeat(one("")+",", maxLinks) + one("") + `]}`: "error",
	} {
		all, err := links([]byte(body))
		var got []string
		for _, l := range all {
			got = append(got, l.platform)
		}
		if text := fmt.Sprint(got); (err != nil) != (want == "error") || err == nil && text != want {
			t.Errorf("%.80s: %s, %v", body, text, err)
		}
	}
}

func TestWanted(t *testing.T) {
	platforms := []string{"linux/amd64", "linux/arm64/v8"}
	for platform, want := range map[string]bool{
		"linux/amd64": true, "linux/amd64/v2": true, "linux/arm64": true, "linux/arm64/v8": true, "": true,
		"linux/arm64/v9": false, "linux/arm/v7": false, "windows/amd64": false, "unknown/unknown": false, "linux/": false, "linux/amd6": false,
	} {
		if wanted(platforms, platform) != want || !wanted(nil, platform) {
			t.Errorf("%q is wanted: %v", platform, !want)
		}
	}
}
