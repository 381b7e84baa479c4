package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// malformed are digests that must not touch the disk.
var malformed = []digest.Digest{
	"",
	"sha256",
	"sha256:",
	":abcd",
	"sha256:../../../../../../../../../../../../../../../../../../../etc/pass",
	"sha256:..",
	"../sha256:" + digest.Digest(strings.Repeat("a", 64)),
	"sha256:" + digest.Digest(strings.Repeat("A", 64)),
	"sha256:" + digest.Digest(strings.Repeat("g", 64)),
	"sha256:" + digest.Digest(strings.Repeat("a", 63)),
	"sha256:" + digest.Digest(strings.Repeat("a", 65)),
	"sha256:" + digest.Digest(strings.Repeat("a", 31)) + "/" + digest.Digest(strings.Repeat("a", 32)),
	"sha256:" + digest.Digest(strings.Repeat("a", 63)) + "\n",
	"sha512:" + digest.Digest(strings.Repeat("a", 64)),
	"sha384:" + digest.Digest(strings.Repeat("a", 96)),
	"md5:",
	"md5:" + digest.Digest(strings.Repeat("a", 32)),
	"SHA256:" + digest.Digest(strings.Repeat("a", 64)),
	"sha256+b64u:" + digest.Digest(strings.Repeat("a", 64)),
}

func TestMalformedDigestsTouchNothing(t *testing.T) {
	f := openFolder(t, Options{})
	f.work.Wait()
	before := f.files()
	for _, d := range malformed {
		o := &source{}
		_, getErr := f.Get(d)
		_, fillErr := f.Fill(t.Context(), "here", d, o.open)
		for _, err := range []error{getErr, fillErr} {
			if !errors.Is(err, digest.ErrDigestInvalidFormat) && !errors.Is(err, digest.ErrDigestInvalidLength) &&
				!errors.Is(err, digest.ErrDigestUnsupported) {
				t.Errorf("%q: error is %v", d, err)
			}
		}
		if o.asked.Load() != 0 {
			t.Errorf("%q: the origin was asked", d)
		}
	}
	if after := f.files(); !slices.Equal(before, after) {
		t.Errorf("the folder changed from %q to %q", before, after)
	}
	if s := f.Stats(); s != (Stats{}) {
		t.Errorf("malformed digests were counted: %+v", s)
	}
}

func TestOpenMakesPrivateFolders(t *testing.T) {
	f := openFolder(t, Options{})
	f.stored(random(10))
	err := filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if want := map[bool]fs.FileMode{true: fs.ModeDir | 0o700, false: 0o600}[e.IsDir()]; err == nil && info.Mode() != want {
			t.Errorf("%s: mode is %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{
		{},
		{Dir: file},
		{Dir: filepath.Join(file, "below")},
		{Dir: t.TempDir(), Size: -1},
		{Dir: t.TempDir(), MaxBlob: -1},
		{Dir: t.TempDir(), MaxFills: -1},
		{Dir: t.TempDir(), Stall: -time.Second},
	} {
		if s, err := Open(o); err == nil {
			t.Errorf("Open(%+v) succeeds", o)
			s.Close(t.Context())
		}
	}
}

func TestGet(t *testing.T) {
	f := openFolder(t, Options{})
	content := random(3*step + 1)
	d := digest.FromBytes(content)
	if _, err := f.Get(d); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Get of what is not there: %v", err)
	}
	f.stored(content)

	b, err := f.Get(d)
	if err != nil {
		t.Fatal(err)
	}
	if b.Digest() != d || b.Size() != int64(len(content)) || !b.Complete() {
		t.Errorf("Get returns digest %s, size %d, complete %t", b.Digest(), b.Size(), b.Complete())
	}
	if got, err := readAll(b); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or is not there: %v", err)
	}
	r, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("complete content opens as %T, which has no zero-copy path to a socket", r)
	}
	if got := f.Stats(); got.Hits != 1 || got.Misses != 2 || got.Fills != 1 || got.Failures != 0 || got.Bytes != b.Size() {
		t.Errorf("stats are %+v", got)
	}
}

func TestContentOutlivesTheStore(t *testing.T) {
	dir := t.TempDir()
	content := random(step + 1)
	first := openFolder(t, Options{Dir: dir})
	first.stored(content)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := openFolder(t, Options{Dir: dir})
	o := &source{}
	if got, err := readAll(second.fill(digest.FromBytes(content), o.open)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("content differs, or is not there: %v", err)
	}
	if o.asked.Load() != 0 {
		t.Error("the origin was asked for content that is on disk")
	}
}
