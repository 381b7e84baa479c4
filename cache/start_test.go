//go:build linux

package cache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A store over 100,000 files is ready at once, and has counted them soon.
func TestStartOverMuch(t *testing.T) {
	const files = 100_000
	dir := smallDisk(t, 1<<30)
	one := filepath.Join(dir, "one")
	if err := os.WriteFile(one, random(10), 0o600); err != nil {
		t.Fatal(err)
	}
	var folder string
	links := 0
	for i := range files {
		name := fmt.Sprintf("%02x%062x", i%256, i)
		folder = filepath.Join(dir, "sha256", name[:2])
		if i < 256 {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if links++; links == 30_000 { // file systems have a limit for names of one file
			links, one = 0, filepath.Join(dir, fmt.Sprint("one", i))
			if err := os.WriteFile(one, random(10), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Link(one, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	f := openFolder(t, Options{Dir: dir, Size: 1 << 30})
	content := random(3 * step)
	b := f.fill(digest.FromBytes(content), (&source{content: content, claim: -1}).open)
	if got, err := b.Bytes(t.Context(), 1<<20); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or %v", err)
	}
	ready := time.Since(began)
	f.work.Wait()
	t.Logf("ready after %s, counted after %s", ready, time.Since(began))
	if ready > 2*time.Second || f.Stats().Bytes != files*10+3*step {
		t.Errorf("ready after %s, %d bytes are counted", ready, f.Stats().Bytes)
	}
	began = time.Now()
	if removed, err := f.Prune(t.Context(), files*9); err != nil {
		t.Error(err)
	} else {
		t.Logf("removed %+v in %s", removed, time.Since(began))
	}
}
