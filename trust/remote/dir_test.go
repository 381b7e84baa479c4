package remote

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
)

func TestDir(t *testing.T) {
	dir := t.TempDir()
	d := Dir(filepath.Join(dir, "metadata"))
	if err := os.MkdirAll(filepath.Join(string(d), "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"metadata/good.json", "metadata/1.a%2Fb.json", "metadata/.hidden", "secret.json", "metadata/folder.json/x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(string(d), "pipe.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"good.json", "1.a%2Fb.json"} {
		if data, err := d.Fetch(t.Context(), name, 5); string(data) != "12345" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"gone.json", "", ".", "..", ".hidden", "../secret.json", "folder.json/x", "/" + dir + "/secret.json", `..\secret.json`, "a\x00b"} {
		if data, err := d.Fetch(t.Context(), name, 5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"folder.json", "pipe.json"} {
		if data, err := d.Fetch(t.Context(), name, 5); err == nil || errors.Is(err, fs.ErrNotExist) || trust.ReasonOf(err) != trust.SourceUnreachable {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := d.Fetch(t.Context(), "good.json", 4); err == nil || trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("too large: %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := d.Fetch(gone, "good.json", 5); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Dir(filepath.Join(dir, "none")).Fetch(t.Context(), "timestamp.json", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if err := plain(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}); errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file that may not be read counts as one that is not there: %v", err)
	}
}
