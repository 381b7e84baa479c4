package signing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// patience is how long a writer waits for another one.
const patience = 5 * time.Second

// keep is how many versions of a role stay in the folder, so that a reader who began with an earlier snapshot finds what
// it names. Roots stay for ever.
const keep = 16

var errBusy = errors.New("another change is being published, try again")

// A folder is a repository on disk.
type folder struct {
	metadata string // what is published
	private  string // beside it: the publisher's keys and locks
	source   trust.Source
}

// openFolder finds the two folders of a repository.
func openFolder(dir string) (*folder, error) {
	if info, err := os.Stat(filepath.Join(dir, metadataDir)); err == nil && info.IsDir() {
		dir = filepath.Join(dir, metadataDir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, timestampName)); err != nil {
		return nil, fmt.Errorf(`%s is not a trust repository: it has no %s; make one with "tagwarden trust init"`, dir, timestampName)
	}
	return &folder{metadata: dir, private: filepath.Join(filepath.Dir(dir), onlineDir), source: remote.Dir(dir)}, nil
}

// maxChain is how many of the newest roots in a folder count: a reader who begins at the first of them reaches the last
// within the bound on how many roots are walked.
const maxChain = 256

// oldestRoot returns the root file with the lowest version, of the newest 256.
func (f *folder) oldestRoot() ([]byte, error) {
	entries, err := os.ReadDir(f.metadata)
	if err != nil {
		return nil, err
	}
	var versions []int64
	for _, e := range entries {
		if role, version, ok := parseName(e.Name()); ok && role == metadata.ROOT {
			versions = append(versions, version)
		}
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("%s: it has no root file", f.metadata)
	}
	slices.Sort(versions)
	return read(filepath.Join(f.metadata, fileName(metadata.ROOT, versions[max(len(versions)-maxChain, 0)])), maxRoot)
}

// online returns the keychain of the publisher's keys, whose passphrases are asked for as those of keys are.
func (f *folder) online(keys *Keychain) *Keychain {
	if keys == nil {
		return nil
	}
	return keys.at(f.private, keys.ask)
}

// lock lets one writer at a time change the folder.
func (f *folder) lock(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errBusy)
	defer cancel()
	l, err := lock(ctx, filepath.Join(f.private, "lock"), func() {})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: the publisher's keys are not here, so nothing can be published here: publish through its gateway", f.private)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.metadata, err)
	}
	sweep(f.metadata)
	return l, nil
}

// change makes a change and publishes it. Keys are opened, and all is signed, before others have to wait.
func (f *folder) change(ctx context.Context, edit func() (*Edit, error)) (Result, error) {
	e, files, err := f.prepare(ctx, edit)
	if err != nil || len(files) == 0 {
		return f.outcome(e, nil, err)
	}
	l, err := f.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer l.Close()
	if !f.current(e.base) {
		if e, files, err = f.prepare(ctx, edit); err != nil {
			return Result{}, err
		}
	}
	return f.outcome(e, files, f.put(files))
}

// outcome returns what came of a change.
func (f *folder) outcome(e *Edit, files []file, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return e.result(files), nil
}

// prepare makes the change on what is published now, and signs it.
func (f *folder) prepare(ctx context.Context, edit func() (*Edit, error)) (*Edit, []file, error) {
	e, err := edit()
	if err != nil {
		return nil, nil, err
	}
	b, err := e.batch()
	if err != nil {
		return nil, nil, err
	}
	files, err := f.issue(ctx, b, issuer{keys: e.online, now: e.now, all: e.reissue})
	return e, files, err
}

// issue adds snapshot and timestamp to a batch, and proves that all of it can be read.
func (f *folder) issue(ctx context.Context, b *batch, i issuer) ([]file, error) {
	files, err := i.issue(b)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return files, prove(ctx, b, files, f.source, i.now)
}

// current tells whether a view is still what is published.
func (f *folder) current(v *View) bool {
	t, err := read(filepath.Join(f.metadata, timestampName), maxTimestamp)
	if err != nil || !bytes.Equal(t, v.raw[timestampName]) {
		return false
	}
	_, err = os.Lstat(filepath.Join(f.metadata, fileName(metadata.ROOT, v.root.Signed.Version+1)))
	return errors.Is(err, fs.ErrNotExist)
}

// put makes the files appear, one after the other, each whole. The caller holds the lock.
//
// Until the timestamp is there nobody looks at the files before it; once it is there they all are. A crash in between
// leaves files that the next change overwrites.
func (f *folder) put(files []file) error {
	staged := make([]string, 0, len(files))
	defer func() {
		for _, tmp := range staged {
			_ = os.Remove(tmp) // gone if all went well, else swept by the next writer
		}
	}()
	for _, file := range files {
		tmp, err := stage(f.metadata, file.data, 0o644)
		if err != nil {
			return err
		}
		staged = append(staged, tmp)
	}
	for i, file := range files {
		last := file.name == timestampName || i == len(files)-1
		if file.name == timestampName {
			if err := syncDir(f.metadata); err != nil { // what it names, before it
				return err
			}
		}
		if err := os.Rename(staged[i], filepath.Join(f.metadata, file.name)); err != nil {
			return err
		}
		if last {
			if err := syncDir(f.metadata); err != nil {
				return err
			}
		}
	}
	f.prune(files)
	return nil
}

// prune removes versions that no reader can still be reading.
func (f *folder) prune(files []file) {
	newest := make(map[string]int64)
	for _, file := range files {
		if role, version, ok := parseName(file.name); ok && role != metadata.ROOT {
			newest[role] = version
		}
	}
	entries, err := os.ReadDir(f.metadata)
	if err != nil {
		return
	}
	for _, e := range entries {
		if role, version, ok := parseName(e.Name()); ok && version <= newest[role]-keep {
			_ = os.Remove(filepath.Join(f.metadata, e.Name())) // the next change tries again
		}
	}
}
