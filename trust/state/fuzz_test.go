package state

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

// FuzzSlot: no bytes are taken for a slot but those that encode gives, as far as what they mean goes: what is read is within
// the bound of a record, and written again it reads the same. With the right checksum the archive is anybody's.
func FuzzSlot(f *testing.F) {
	good, err := encode(7, "r.example/app", record(1))
	if err != nil {
		f.Fatal(err)
	}
	_, archive, _ := bytes.Cut(good, []byte("\n"))
	for _, more := range [][]byte{good, good[:len(good)/2], archive, archive[:512], nil, sparse(f, 1<<40)} {
		f.Add(more, false)
		f.Add(more, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = slotOf(data)
		}
		generation, r, err := decode(data, "r.example/app")
		if err != nil {
			if r != nil || generation != 0 {
				t.Errorf("%v beside %v", err, r)
			}
			return
		}
		size := 0
		for _, f := range r.Files {
			size += len(f.Data)
		}
		if size > MaxRecord {
			t.Fatalf("%d bytes in files", size)
		}
		again, err := encode(generation, "r.example/app", *r)
		if err != nil {
			return // a name that no tar can hold, or a time that has no spelling
		}
		g, b, err := decode(again, "r.example/app")
		if err != nil || g != generation || fmt.Sprintf("%q", b.Files) != fmt.Sprintf("%q", r.Files) || !b.Checked.Equal(r.Checked) {
			t.Errorf("%q reads as %d %v, and written again as %d %v, %v", data, generation, r, g, b, err)
		}
	})
}

// slotOf returns a slot with the archive and its checksum.
func slotOf(archive []byte) []byte {
	sum := sha256.Sum256(archive)
	return append(fmt.Appendf(nil, magic, hex.EncodeToString(sum[:])), archive...)
}

// sparse returns an archive in which a file of a few bytes says that it is a hole of the size.
func sparse(t testing.TB, size int64) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	// The writer makes no such files, so another letter stands in for the first one of its names.
	hole := map[string]string{"XNU.sparse.major": "1", "XNU.sparse.minor": "0", "XNU.sparse.name": "root.json", "XNU.sparse.realsize": fmt.Sprint(size)}
	parts := fmt.Appendf(nil, "1\n%d\n0\n", size)
	parts = append(parts, make([]byte, 512-len(parts))...)
	head := []byte("1\n2026-11-22T12:00:00Z\nr.example/app\n")
	for _, f := range []struct {
		name string
		body []byte
		pax  map[string]string
	}{{namePart, head, nil}, {"x", parts, hole}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.body)), Format: tar.FormatPAX, PAXRecords: f.pax}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(archive.Bytes(), []byte("XNU.sparse"), []byte("GNU.sparse"))
}

// TestSparse: an archive holds no more than its bytes, whatever it says.
func TestSparse(t *testing.T) {
	if _, r, err := decode(slotOf(sparse(t, 100)), "r.example/app"); err != nil || len(r.Files) != 1 || len(r.Files[0].Data) != 100 {
		t.Errorf("a small hole: %v", err)
	}
	if _, _, err := decode(slotOf(sparse(t, 2*MaxRecord)), "r.example/app"); !errors.Is(err, errDamaged) {
		t.Errorf("a hole of %d bytes: %v", 2*MaxRecord, err)
	}
}
