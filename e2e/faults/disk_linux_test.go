package faults

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mount mounts something on a folder until the end of the test. Only root can.
func mount(t *testing.T, source, dir, kind string, flags uintptr, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(source, dir, kind, flags, options); err != nil {
		if os.Getenv("CI") == "true" || !errors.Is(err, syscall.EPERM) {
			t.Fatal(err)
		}
		t.Skipf("a disk cannot be mounted, which only root can do: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) { // the test did
			t.Error(err)
		}
	})
}

// TestFullDisk: while the state disk is full, before a start and after, what was verified serves, nothing newer counts, and
// somebody is told; when there is room again everything is well by itself.
//
// PRODUCT: invariants 6 and 11.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, format)
			r, late := s.repo("app"), s.repo("late")
			g := s.gateway(t, "")
			mount(t, "none", g.file("state"), "tmpfs", 0, "size=256k")
			g.start(t)
			s.serves(t, g, r)
			s.advance()
			eventually(t, "the second version is served", func() bool { return s.serves(t, g, r) == 1 })

			fill(t, g.file("state/filler"))
			s.advance()
			suffers(t, s, g, r, "no space left on device")
			// What nobody has verified before cannot be kept, so it does not serve.
			if got := g.manifest(t, late.image(), "v1").String(); got != "503 state_unavailable" {
				t.Errorf("on a full disk a new repository is %s", got)
			}
			g.kill()
			g.start(t)
			suffers(t, s, g, r, "no space left on device")

			if err := os.Remove(g.file("state/filler")); err != nil {
				t.Fatal(err)
			}
			recovers(t, s, g, r)
			if v := s.serves(t, g, late); v != 2 {
				t.Errorf("the new repository is version %d", v)
			}
		})
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	_ = f.Close() // it is full
}

// suffers checks that the second version serves although there is a third, and that somebody is told why.
func suffers(t *testing.T, s *site, g *gateway, r *repo, why string) {
	t.Helper()
	eventually(t, "the third version cannot be kept", func() bool {
		if v := s.serves(t, g, r); v != 1 {
			t.Fatalf("v1 is version %d, of which the floors are not kept", v)
		}
		return g.refreshes(t, "state_unavailable") > 1
	})
	if !g.logged(t, `"refresh failed"`, "state_unavailable", why) {
		t.Errorf("the log does not say %q", why)
	}
	if ready := g.operator(t, "/readyz"); ready.status != 503 || !strings.Contains(string(ready.body), why) {
		t.Errorf("ready: %d %s", ready.status, ready.body)
	}
	if v := s.serves(t, g, r); v != 1 {
		t.Errorf("v1 is version %d", v)
	}
}

// recovers checks that the third version serves by itself, and that everything that is kept is whole.
func recovers(t *testing.T, s *site, g *gateway, r *repo) {
	t.Helper()
	eventually(t, "the third version is served", func() bool { return s.serves(t, g, r) == 2 })
	if ready := g.operator(t, "/readyz"); ready.status != 200 {
		t.Errorf("ready: %d %s", ready.status, ready.body)
	}
	g.kill()
	s.behave(false, true, nil)
	g.start(t)
	if v := s.serves(t, g, r); v != 2 {
		t.Errorf("after a restart v1 is version %d", v)
	}
	if n := g.security(t, "state_damaged"); n > 0 {
		t.Errorf("%d files are damaged", n)
	}
	s.behave(false, false, nil)
}

// TestReadOnlyDisk: the same where the state folder becomes read-only, as after an error of the disk; but nothing starts
// over a state that cannot be locked.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, format)
			r := s.repo("app")
			g := s.gateway(t, "")
			g.start(t)
			s.serves(t, g, r)
			s.advance()
			eventually(t, "the second version is served", func() bool { return s.serves(t, g, r) == 1 })

			again := readOnly(t, g.file("state"))
			s.advance()
			suffers(t, s, g, r, map[bool]string{true: "read-only file system", false: "permission denied"}[os.Geteuid() == 0])
			again()
			recovers(t, s, g, r)

			g.stop(t)
			again = readOnly(t, g.file("state"))
			g.launch(t)
			<-g.process.Done()
			if log := g.log(t); g.process.ExitCode() != 1 || len(log) != 1 || !strings.HasPrefix(log[0], "tagwarden: state: open ") {
				t.Errorf("exit status %d, %q", g.process.ExitCode(), log)
			}
			again()
			g.start(t)
			if v := s.serves(t, g, r); v != 2 {
				t.Errorf("after all v1 is version %d", v)
			}
		})
	}
}

// readOnly makes a folder read-only for everybody who opens something in it from now on. It returns how to take that back.
func readOnly(t *testing.T, dir string) (again func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		modes := func(mode os.FileMode, file os.FileMode) {
			all, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			for _, d := range append(all, filepath.Join(dir, "corp"), dir) {
				err = errors.Join(err, os.Chmod(d, mode))
			}
			if err := errors.Join(err, os.Chmod(filepath.Join(dir, "lock"), file)); err != nil {
				t.Fatal(err)
			}
		}
		modes(0o500, 0o400)
		return func() { modes(0o700, 0o600) }
	}
	mount(t, dir, dir, "", syscall.MS_BIND, "")
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
}
