package signing

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// timestampName is the one file whose name has no version, because it is how a reader finds all others.
const timestampName = "timestamp.json"

// fileName returns under what name a version of a role is published.
func fileName(role string, version int64) string {
	return strconv.FormatInt(version, 10) + "." + url.PathEscape(role) + ".json"
}

var filePattern = regexp.MustCompile(`^([1-9][0-9]{0,14})\.(.{1,255})\.json$`)

// parseName is the inverse of fileName.
func parseName(file string) (role string, version int64, ok bool) {
	m := filePattern.FindStringSubmatch(file)
	if m == nil {
		return "", 0, false
	}
	version, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return "", 0, false
	}
	role, err = url.PathUnescape(m[2])
	return role, version, err == nil && fileName(role, version) == file
}

// parse reads a file that nothing has verified. go-tuf panics on some that are not as they should be.
func parse[T metadata.Roles](data []byte) (m *metadata.Metadata[T], err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, fmt.Errorf("not metadata")
		}
	}()
	return new(metadata.Metadata[T]).FromBytes(data)
}

// verifies tells whether a file is signed as another one asks that delegates to its role. go-tuf panics on some keys.
func verifies[T metadata.Roles](by *metadata.Metadata[T], role string, m any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return by.VerifyDelegate(role, m) == nil
}

// A file is what is published under one name.
type file struct {
	name string
	data []byte
}

// A batch is what is published at once, all of it signed.
type batch struct {
	base    *View
	targets map[string]*targetsFile // of the roles that have a new file
	files   map[string][]byte       // those files, by role
	root    *rootFile               // nil: stays
	newRoot []byte
}

// batch seals what the edit has changed.
func (e *Edit) batch() (*batch, error) {
	b := &batch{base: e.base, targets: e.changed, files: make(map[string][]byte), root: e.root}
	after := e.View()
	var err error
	for _, role := range slices.SortedFunc(maps.Keys(e.changed), compareRoles) {
		if data, ok := e.adopted[role]; ok {
			b.files[role] = data
			continue
		}
		b.files[role], err = seal(e.keys, role, e.changed[role], after.authorities(role), e.base.authorities(role))
		if err != nil {
			return nil, err
		}
	}
	if e.root != nil {
		// TUF: 6.1, a new root is signed as the one before it asks, and as it asks itself.
		must := slices.Concat(after.authorities(metadata.ROOT), e.base.authorities(metadata.ROOT))
		b.newRoot, err = seal(e.keys, metadata.ROOT, e.root, must, nil)
	}
	return b, err
}

// An issuer signs snapshot and timestamp.
type issuer struct {
	keys *Keychain
	now  time.Time
	all  bool // even if they are good for longer
}

// issue returns everything that has to be published so that a reader sees the batch, in the order in which it has to
// appear: what names comes after what it names, and the root last of all, because whoever has not seen it yet must find
// everything signed by the keys of the one before it.
func (i issuer) issue(b *batch) ([]file, error) {
	after := *b.base
	if b.root != nil {
		after.root = b.root
	}
	var files []file
	for _, role := range slices.SortedFunc(maps.Keys(b.files), compareRoles) {
		files = append(files, file{fileName(role, b.targets[role].Signed.Version), b.files[role]})
	}
	snapshot, version, err := i.snapshot(b, &after)
	if err != nil {
		return nil, err
	}
	if snapshot != nil {
		files = append(files, file{fileName(metadata.SNAPSHOT, version), snapshot})
	}
	timestamp, err := i.timestamp(b, &after, snapshot, version)
	if err != nil {
		return nil, err
	}
	if timestamp != nil {
		files = append(files, file{timestampName, timestamp})
	}
	if b.root != nil {
		files = append(files, file{fileName(metadata.ROOT, b.root.Signed.Version), b.newRoot})
	}
	return files, nil
}

// stays tells whether a published file is good as it is.
func stays[T metadata.Roles](i issuer, after *View, role string, m *metadata.Metadata[T], expires time.Time) bool {
	return !i.all && i.now.Before(expiryOf(after.root).due(role, expires)) && verifies(after.root, role, m)
}

// snapshot returns the next snapshot, nil if there is no need for one.
//
// TUF: 5.5.5, a role that vanishes from the snapshot is a rollback, so those of signers that were removed stay.
func (i issuer) snapshot(b *batch, after *View) ([]byte, int64, error) {
	old := b.base.snapshot
	if len(b.files) == 0 && stays(i, after, metadata.SNAPSHOT, old, old.Signed.Expires) {
		return nil, old.Signed.Version, nil
	}
	s, err := clone(old)
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot: %w", err)
	}
	s.Signed.Version++
	s.Signed.Expires = i.until(after, metadata.SNAPSHOT)
	for role, data := range b.files {
		s.Signed.Meta[role+".json"] = metaOf(b.targets[role].Signed.Version, data)
	}
	data, err := seal(i.keys, metadata.SNAPSHOT, s, after.authorities(metadata.SNAPSHOT), b.base.authorities(metadata.SNAPSHOT))
	return data, s.Signed.Version, err
}

// timestamp returns the next timestamp, nil if there is no need for one.
func (i issuer) timestamp(b *batch, after *View, snapshot []byte, version int64) ([]byte, error) {
	old := b.base.timestamp
	if snapshot == nil && stays(i, after, metadata.TIMESTAMP, old, old.Signed.Expires) {
		return nil, nil
	}
	t, err := clone(old)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	t.Signed.Version++
	t.Signed.Expires = i.until(after, metadata.TIMESTAMP)
	if snapshot != nil {
		t.Signed.Meta[metadata.SNAPSHOT+".json"] = metaOf(version, snapshot)
	}
	return seal(i.keys, metadata.TIMESTAMP, t, after.authorities(metadata.TIMESTAMP), b.base.authorities(metadata.TIMESTAMP))
}

func (i issuer) until(after *View, role string) time.Time {
	return i.now.UTC().Truncate(time.Second).Add(expiryOf(after.root).of(role))
}

// metaOf names a file so that nothing else can stand in for it.
func metaOf(version int64, data []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// An overlay is a source with some files laid over it.
type overlay struct {
	files []file
	below trust.Source
}

// Fetch implements trust.Source.
func (o overlay) Fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	for _, f := range o.files {
		if f.name != name {
			continue
		}
		if int64(len(f.data)) > limit {
			return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("%s is larger than %d bytes", name, limit)}
		}
		return f.data, nil
	}
	return o.below.Fetch(ctx, name, limit)
}

// prove reads the repository as it will be, as a gateway does, at each moment at which a reader may come: nothing is
// published that does not verify.
func prove(ctx context.Context, b *batch, files []file, below trust.Source, now time.Time) error {
	moments := [][]file{files}
	if b.root != nil {
		moments = append(moments, files[:len(files)-1]) // the root is the last one
	}
	for _, m := range moments {
		v, err := load(ctx, overlay{m, below}, b.base.pinned, now)
		if err != nil {
			return err
		}
		for role, t := range b.targets {
			switch got := v.targets[role]; {
			case got == nil && v.broken[role] != nil:
				return v.broken[role]
			case got == nil || got.Signed.Version != t.Signed.Version:
				return fmt.Errorf("%s v%d would not be what readers find", role, t.Signed.Version)
			}
		}
	}
	return nil
}
