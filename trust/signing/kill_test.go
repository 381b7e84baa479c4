package signing

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
)

// changeForever is what the killed process does: it signs version after version of a tag, rotates the keys of one role
// after the other in between, and says each version that is published.
func changeForever(dir, keys string) {
	k := plainKeychain(keys)
	r, err := OpenDirectory(dir, Options{Keys: k, Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	version := published(r)
	roles := []string{"timestamp", "alice", "snapshot", "targets", "root"}
	for {
		version++
		_, err := r.Change(context.Background(), func(e *Edit) error {
			if version%3 == 0 {
				if err := e.Rotate(roles[version/3%len(roles)]); err != nil {
					return err
				}
			}
			_, err := e.Sign([]Entry{numbered(version), {trust.Name{Repository: "a.b/c", Tag: "other"}, numbered(version).Target}}, "")
			return err
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(version)
	}
}

// numbered is a tag whose size tells its version.
func numbered(version int) Entry {
	return entry("a.b/c", "d", strings.Repeat("x", 1000+version))
}

// published returns which version is published, and panics unless both tags have it.
func published(r *Repository) int {
	v, err := r.Read(context.Background())
	if err != nil {
		panic(err)
	}
	t, _ := v.Tag(numbered(0).Name)
	other, _ := v.Tag(trust.Name{Repository: "a.b/c", Tag: "other"})
	if t.Target != other.Target || t.Target.Size < 1000 {
		panic(fmt.Sprintf("half a version: %v and %v", t.Target, other.Target))
	}
	return int(t.Target.Size) - 1000
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("TAGWARDEN_TEST_CHANGE_IN"); dir != "" {
		changeForever(dir, os.Getenv("TAGWARDEN_TEST_KEYS"))
	}
	os.Exit(m.Run())
}

// TestKill: a process killed at any moment leaves the complete state that it said it had published, or the complete next
// one, for readers of both kinds; readers meanwhile never see anything else; and the next writer goes on.
func TestKill(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "a.b/*")
	s.change(signs("", numbered(0), Entry{trust.Name{Repository: "a.b/c", Tag: "other"}, numbered(0).Target}))
	r, kept := newReader(t, s), 0
	repository := s.open(nil)
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_CHANGE_IN="+s.dir, "TAGWARDEN_TEST_KEYS="+s.keys.Dir())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(4) {
			if !lines.Scan() {
				t.Fatalf("the process ended by itself: %s", stderr.String())
			}
			kept, err = strconv.Atoi(lines.Text())
			must(t, err)
			if got := published(repository); got < kept {
				t.Fatalf("version %d is read after %d was published", got, kept)
			}
		}
		for range rand.IntN(150_000_000) { // somewhere within the next change
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() {
			kept, err = strconv.Atoi(lines.Text())
			must(t, err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}
		got := published(repository)
		if got != kept && got != kept+1 {
			t.Fatalf("version %d is published, after %d was said to be", got, kept)
		}
		r.finds(numbered(got))
	}
	s.change(signs("", numbered(1_000_000)))
	if left, _ := filepath.Glob(filepath.Join(s.dir, metadataDir, tmpPrefix+"*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	t.Logf("%d versions", kept)
}

// TestEveryStep: the same after each single step of publishing: a tag and the rotation of a role's keys, half done, read
// as not done at all until the timestamp is there, and as done from then on; and the next change goes on from there.
func TestEveryStep(t *testing.T) {
	for _, role := range []string{"timestamp", "snapshot", "targets", "root", "alice"} {
		s := newSite(t, InitOptions{})
		s.signer("alice", "a.b/*")
		other := trust.Name{Repository: "a.b/c", Tag: "other"}
		s.change(signs("", numbered(0), Entry{other, numbered(0).Target}))
		r := newReader(t, s)
		r.finds(numbered(0))
		repository := s.open(s.keys)
		f := repository.folder
		_, files, err := f.prepare(context.Background(), func() (*Edit, error) {
			e := &Edit{
				base: s.read(), now: s.now, keys: s.keys, online: f.online(s.keys), fresh: map[string][]PublicKey{},
				changed: map[string]*targetsFile{}, adopted: map[string][]byte{},
			}
			must(t, e.Rotate(role))
			return e, signs("", numbered(1), Entry{other, numbered(1).Target})(e)
		})
		must(t, err)
		want := 0
		for step, file := range files {
			must(t, write(f.metadata, file.name, file.data, 0o644))
			if file.name == timestampName {
				want = 1
			}
			if got := published(repository); got != want {
				t.Errorf("%s: after step %d, %s, version %d is read", role, step, file.name, got)
			}
			r.finds(numbered(want))
			newReader(t, s).finds(numbered(want))
		}
		s.change(signs("", numbered(2), Entry{other, numbered(2).Target}))
		r.finds(numbered(2))
	}
}

// TestInterruptedTwice: what an interrupted change left is overwritten by the next one.
func TestInterruptedTwice(t *testing.T) {
	s := newSite(t, InitOptions{})
	for _, left := range []string{"2.targets.json", "2.snapshot.json", tmpPrefix + "1"} {
		must(t, os.WriteFile(filepath.Join(s.dir, metadataDir, left), []byte("half a fi"), 0o600))
	}
	s.change(signs("", numbered(1)))
	newReader(t, s).finds(numbered(1))
	if got := fmt.Sprint(s.files()); strings.Contains(got, tmpPrefix) {
		t.Errorf("left %s", got)
	}
}
