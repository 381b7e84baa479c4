package cache

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// killed is the content with a number that the killed process fills, small and large in turn.
func killed(i uint64) []byte {
	content := random(int(100 + i%3*step))
	binary.BigEndian.PutUint64(content, i)
	return content
}

// fillForever is what the killed process does: it fills content after content, and says each that is kept, while a large
// one grows.
func fillForever(dir string) {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	large := func(context.Context, int64) (io.ReadCloser, int64, error) {
		return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, 10*largeStep), new(endless))), 1 << 30, nil
	}
	if _, err := s.Fill(context.Background(), Request{Digest: digest.FromString("large"), From: "there", Origin: large}); err != nil {
		panic(err)
	}
	for i := rand.Uint64N(1 << 60); ; i++ {
		content := killed(i)
		o := &source{content: content, claim: int64(len(content))}
		b, err := s.Fill(context.Background(), Request{Digest: digest.FromBytes(content), From: "here", Origin: o.open})
		if err != nil {
			panic(err)
		}
		if _, err := b.fill.until(context.Background(), func(p progress) bool { return p.stage == complete }); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

// An endless body brings a byte now and then, for as long as the process lives.
type endless struct{ n byte }

func (e *endless) Read(b []byte) (int, error) {
	for e.n++; e.n != 0; e.n++ {
	}
	return copy(b, "x"), nil
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("TAGWARDEN_TEST_FILL_IN"); dir != "" {
		fillForever(dir)
	}
	os.Exit(m.Run())
}

// TestKill: a process killed at any moment leaves what it said is kept, whole, and nothing else that could be taken for
// content. Damage that a power cut could do on top of that is found out.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		kept := killOne(t, dir)
		damage := map[int]func(path string) error{
			0: os.Remove,
			1: func(path string) error { return os.Truncate(path, 50) },
			2: func(path string) error { return os.WriteFile(path, make([]byte, 100+step), 0o600) },
			3: func(path string) error { return os.Truncate(path, 0) },
		}[round]
		if damage != nil {
			_, hex, _ := split(kept)
			if err := damage(filepath.Join(dir, "sha256", hex[:2], hex)); err != nil {
				t.Fatal(err)
			}
		}
		f := openFolder(t, Options{Dir: dir})
		if left := f.unfinished(); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		if b, err := f.Get(kept); damage == nil && err != nil || damage != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("round %d: Get returns %v, %v", round, b, err)
		}
		if got, err := f.Scrub(t.Context(), 1<<40); err != nil || got.Damaged != 0 {
			t.Errorf("round %d: scrubbed %+v, %v", round, got, err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// killOne kills a process that fills, and returns the last that it said is kept.
func killOne(t *testing.T, dir string) (kept digest.Digest) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "TAGWARDEN_TEST_FILL_IN="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	line := ""
	for range 1 + rand.IntN(4) {
		if !lines.Scan() {
			t.Fatal("the process ended by itself")
		}
		line = lines.Text()
	}
	for range rand.IntN(200000) { // somewhere within the next fill
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		line = lines.Text()
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	var i uint64
	if _, err := fmt.Sscan(line, &i); err != nil {
		t.Fatal(err)
	}
	return digest.FromBytes(killed(i))
}
