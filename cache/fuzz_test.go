package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// FuzzWalk: whatever lies in a store's folder, a walk comes across regular files only whose names are digests, once, and
// says of each where it lies and whether it goes last.
func FuzzWalk(f *testing.F) {
	hex := digest.FromString("x").Encoded()
	for _, name := range []string{hex, strings.ToUpper(hex), hex[1:], hex + ".part", "ff", digest.SHA512.FromString("x").Encoded()} {
		f.Add("sha256", hex[:2], name, true)
		f.Add("sha512", "zz", name, false)
		f.Add("sha1", hex[:2], name, false)
	}
	f.Fuzz(func(t *testing.T, algorithm, folder, name string, kept bool) {
		for _, s := range []string{algorithm, folder, name} {
			if len(s) > 200 || strings.ContainsAny(s, "/\x00") || s == "" || s == "." || s == ".." {
				return
			}
		}
		dir := t.TempDir()
		path := filepath.Join(dir, algorithm, folder, name)
		mode := os.FileMode(0o600)
		if kept {
			mode = keptMode
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content"), mode); err != nil {
			t.Fatal(err)
		}
		// What is no file is none of the content, whatever its name; where the file itself has that name there is no other.
		if link := digest.FromString("link").Encoded(); name != link {
			if err := os.Symlink(path, filepath.Join(filepath.Dir(path), link)); err != nil {
				t.Fatal(err)
			}
		}
		var found []content
		if err := walk(t.Context(), dir, func(c content) { found = append(found, c) }); err != nil {
			t.Fatal(err)
		}
		d := digest.Digest(algorithm + ":" + name)
		want := 0
		if d.Validate() == nil && (algorithm == "sha256" || algorithm == "sha512") {
			want = 1
		}
		if len(found) != want || want == 1 && (found[0].digest != d || found[0].path != path || found[0].size != 7 || found[0].kept != kept) {
			t.Errorf("%s is %+v", path, found)
		}
	})
}

// FuzzRecency: of little content, it is known exactly when each was used, and which goes last; and its file is written once
// an hour at most, and when the file says less than is so.
func FuzzRecency(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{0, 64, 0, 128, 1, 192, 0, 255, 1, 1, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(0, 0)
		r := newRecency()
		model := make(map[digest.Digest]use)
		for _, b := range script {
			d := digest.FromString(fmt.Sprint(b & 3))
			now = now.Add(time.Duration(b>>4) * 7 * time.Minute)
			saved := now.Add(-time.Duration(b&0x30) * 2 * time.Minute)
			u, known := model[d]
			switch b >> 2 & 3 {
			case 0:
				r.forget(d)
				delete(model, d)
			case 1:
				r.keep(d, now, saved)
				model[d] = use{now, saved, true}
			default:
				if !known {
					u.saved = saved
				}
				due := now.Sub(u.saved).Abs() >= time.Hour
				if r.mark(d, now, saved) != due {
					t.Fatalf("%v: written %v, the file says %v", now, !due, u.saved)
				}
				if u.at = now; due {
					u.saved = now
				}
				model[d] = u
			}
			for i := range 4 {
				d := digest.FromString(fmt.Sprint(i))
				u, known := model[d]
				if !known {
					u.at = saved
				}
				if got := r.last(d, saved); !got.Equal(u.at) || r.isKept(d) != u.kept {
					t.Fatalf("%s was used %v, goes last %v; want %+v", d, got, r.isKept(d), u)
				}
			}
		}
	})
}
