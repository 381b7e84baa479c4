package state

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A slot is one line and a tar archive, so that a person can read it with the tools at hand:
//
//	tagwarden-state 1 <sha256 of the archive>
//
// The archive's first file is "collection": the generation, the time of the last check and the collection's name.
const (
	magic    = "tagwarden-state 1 %64s\n"
	namePart = "collection"
)

// encode returns the bytes of a slot.
func encode(generation uint64, name string, r Record) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	head := fmt.Sprintf("%d\n%s\n%s\n", generation, r.Checked.UTC().Format(time.RFC3339Nano), name)
	for _, f := range append([]File{{namePart, []byte(head)}}, r.Files...) {
		if err := w.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: int64(len(f.Data)), Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if archive.Len() > MaxRecord {
		return nil, fmt.Errorf("record of %d bytes is larger than %d", archive.Len(), MaxRecord)
	}
	sum := sha256.Sum256(archive.Bytes())
	return append(fmt.Appendf(nil, magic, hex.EncodeToString(sum[:])), archive.Bytes()...), nil
}

// errDamaged is the root of what decode finds wrong with a slot.
var errDamaged = errors.New("damaged")

// decode reads a slot back. It trusts nothing before the checksum is right.
func decode(data []byte, name string) (uint64, *Record, error) {
	var sum string
	line, archive, ok := bytes.Cut(data, []byte("\n"))
	if _, err := fmt.Sscanf(string(line)+"\n", magic, &sum); !ok || err != nil {
		return 0, nil, fmt.Errorf("%w: does not begin as a state file does", errDamaged)
	}
	// PRODUCT: invariant 6, a damaged file is never trusted.
	if got := sha256.Sum256(archive); hex.EncodeToString(got[:]) != sum {
		return 0, nil, fmt.Errorf("%w: checksum differs", errDamaged)
	}
	var r Record
	var generation uint64
	tr := tar.NewReader(bytes.NewReader(archive))
	left := len(archive)
	for i := 0; ; i++ {
		h, err := tr.Next()
		if err == io.EOF && i > 0 {
			return generation, &r, nil
		}
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %v", errDamaged, err)
		}
		// PRODUCT: invariant 9, a file of an archive may say that it is a hole of any size.
		body, err := io.ReadAll(io.LimitReader(tr, int64(left)+1))
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %v", errDamaged, err)
		}
		if left -= len(body); left < 0 {
			return 0, nil, fmt.Errorf("%w: its files are larger than it is", errDamaged)
		}
		if i > 0 {
			r.Files = append(r.Files, File{h.Name, body})
			continue
		}
		var checked, owner string
		if _, err := fmt.Sscanf(string(body), "%d\n%s\n%s\n", &generation, &checked, &owner); err != nil || h.Name != namePart {
			return 0, nil, fmt.Errorf("%w: no collection in it", errDamaged)
		}
		// PRODUCT: invariant 6, a copy of another collection's file has a right checksum and is not this one's.
		if owner != name {
			return 0, nil, fmt.Errorf("%w: belongs to collection %.100q", errDamaged, owner)
		}
		if r.Checked, err = time.Parse(time.RFC3339Nano, checked); err != nil {
			return 0, nil, fmt.Errorf("%w: %v", errDamaged, err)
		}
	}
}

// read reads one slot from disk.
func (c *Collection) read(slot string) (uint64, *Record, error) {
	f, err := os.Open(filepath.Join(c.dir, slot))
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxRecord+1<<10))
	if err != nil {
		return 0, nil, err
	}
	return decode(data, c.name)
}

// replace puts data under dir/name: write, sync, close, rename, sync of the folder.
func replace(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, tmpPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// tmpPrefix begins the names of files and folders that a crash may leave behind.
const tmpPrefix = ".tmp-"

// sweep removes what a crash left in dir.
func sweep(dir string) {
	left, err := filepath.Glob(filepath.Join(dir, tmpPrefix+"*"))
	if err != nil {
		return // only for a malformed pattern
	}
	for _, p := range left {
		os.RemoveAll(p)
	}
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
