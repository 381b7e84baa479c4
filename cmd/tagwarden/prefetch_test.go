package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// TestPrefetch: a tag that was served is signed anew, and the gateway has the new image before anybody asks for it: from
// the trust data in a folder to the blobs in the cache.
func TestPrefetch(t *testing.T) {
	var registry upstreamtest.Registry
	before, after := registry.PushIndex("hello", "1.0", "old"), registry.PushIndex("hello", "2.0", "new")
	where, stop, err := host(&registry)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dir := t.TempDir()
	repository := trusttest.NewTUF(time.Now())
	repository.Targets.Sign(demoRegistry+"/hello:1.0", string(before.Manifest))
	repository.Publish()
	put(t, repository, dir)
	file := filepath.Join(dir, "tagwarden.yaml")
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
state: state
cache: {dir: cache, platforms: [linux/arm64]}
registries: {%[1]s: {url: "http://%[2]s"}}
default_registry: %[1]s
sources: {site: {tuf: ., root: 1.root.json, refresh: 500ms}}
rules: [{match: %[1]s/**, prefetch: true}]
`, demoRegistry, where)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g, door, cancel, ended := inProcess(t, file)
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	res, err := http.Get("http://" + door.String() + "/v2/hello/manifests/1.0")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	repository.Targets.Sign(demoRegistry+"/hello:1.0", string(after.Manifest))
	repository.Next(repository.Targets)
	put(t, repository, dir)
	amd, arm := after.Platforms[0], after.Platforms[1]
	for end := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		if _, err := g.content.Get(arm.Layer); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the new image does not come")
		}
	}
	if _, err := g.content.Get(amd.Digest); err == nil {
		t.Error("an image came for a platform that is not wanted")
	}
}

// put writes the metadata of a repository. The timestamp, which names all else, goes last by its name.
func put(t *testing.T, repository *trusttest.TUF, dir string) {
	t.Helper()
	files := repository.Files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		part := filepath.Join(dir, "part")
		if err := errors.Join(os.WriteFile(part, files[name], 0o600), os.Rename(part, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
}
