package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The folders of a repository, by their names.
const (
	metadataDir = "metadata"
	onlineDir   = "online"
)

// maxRootKeys bounds the keys of a new root.
const maxRootKeys = 16

// InitOptions are what a new repository needs.
type InitOptions struct {
	// Dir becomes the folder of the repository; its folder "metadata" must not exist, or be empty.
	Dir string
	// Keys takes the root keys and the targets key.
	Keys *Keychain
	// Online is asked for the passphrase of the snapshot and timestamp keys; nil: as Keys is.
	Online Passphrase
	// RootKeys is how many root keys are made, up to 16, and RootThreshold how many of them must sign; 0 means 1.
	RootKeys, RootThreshold int
	Expiry                  Expiry
	// Algorithm is the kind of all keys.
	Algorithm Algorithm
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Created is what Init has made.
type Created struct {
	// Metadata is the folder to publish, Online the one with the publisher's keys.
	Metadata, Online string
	// Root is the path of the root file that gateways pin.
	Root string
	// RootKeys are the files of the root keys: each belongs on a medium of its own, kept off line, away from here.
	RootKeys []string
	// TargetsKey is the file of the key that adds and removes signers. It is worth a back-up.
	TargetsKey string
}

// Init makes a new repository without signers. The error says what is in the way; nothing is published then, but keys may
// have been made, which harm nobody.
func Init(o InitOptions) (Created, error) {
	o.RootKeys, o.RootThreshold = max(o.RootKeys, 1), max(o.RootThreshold, 1)
	if o.RootKeys > maxRootKeys || o.RootThreshold > o.RootKeys {
		return Created{}, fmt.Errorf("root threshold %d of %d keys: there can be up to %d keys, and not more must sign than there are", o.RootThreshold, o.RootKeys, maxRootKeys)
	}
	if o.Online == nil {
		o.Online = o.Keys.ask
	}
	c := Created{Metadata: filepath.Join(o.Dir, metadataDir), Online: filepath.Join(o.Dir, onlineDir)}
	c.Root = filepath.Join(c.Metadata, fileName(metadata.ROOT, 1))
	if left, err := os.ReadDir(c.Metadata); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Created{}, errors.Join(fmt.Errorf("%s is in the way: a new repository needs a new folder", c.Metadata), err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil { // not as the keychain in it would: it is to be read by others
		return Created{}, err
	}
	online := o.Keys.at(c.Online, o.Online)
	root, err := o.keys(&c, online)
	if err != nil {
		return Created{}, err
	}
	files, err := o.first(root, online)
	if err != nil {
		return Created{}, err
	}
	return c, settle(c.Metadata, files)
}

// keys makes all keys, and a root that names them.
func (o InitOptions) keys(c *Created, online *Keychain) (*rootFile, error) {
	root := metadata.Root(o.until(metadata.ROOT))
	root.Signed.UnrecognizedFields = map[string]any{expiryField: o.Expiry.member()}
	for _, role := range atTop {
		k, n := o.Keys, 1
		switch role {
		case metadata.ROOT:
			n = o.RootKeys
		case metadata.SNAPSHOT, metadata.TIMESTAMP:
			k = online
		}
		r := &metadata.Role{Threshold: 1}
		for range n {
			p, err := k.Generate(role, o.Algorithm)
			if err != nil {
				return nil, err
			}
			r.KeyIDs = append(r.KeyIDs, p.ID)
			root.Signed.Keys[p.ID] = p.key
			switch role {
			case metadata.ROOT:
				c.RootKeys = append(c.RootKeys, k.File(p.ID))
			case metadata.TARGETS:
				c.TargetsKey = k.File(p.ID)
			}
		}
		root.Signed.Roles[role] = r
	}
	root.Signed.Roles[metadata.ROOT].Threshold = o.RootThreshold
	return root, nil
}

// first returns the first files of the repository.
func (o InitOptions) first(root *rootFile, online *Keychain) ([]file, error) {
	base := &View{root: root, snapshot: metadata.Snapshot(), timestamp: metadata.Timestamp()}
	base.snapshot.Signed.Version, base.timestamp.Signed.Version = 0, 0
	targets := metadata.Targets(o.until(metadata.TARGETS))
	data, err := seal(o.Keys, metadata.TARGETS, targets, base.authorities(metadata.TARGETS), nil)
	if err != nil {
		return nil, err
	}
	newRoot, err := seal(o.Keys, metadata.ROOT, root, base.authorities(metadata.ROOT), nil)
	if err != nil {
		return nil, err
	}
	b := &batch{
		base: base, root: root, newRoot: newRoot,
		targets: map[string]*targetsFile{metadata.TARGETS: targets}, files: map[string][]byte{metadata.TARGETS: data},
	}
	return issuer{keys: online, now: clock(o.Now)(), all: true}.issue(b)
}

func (o InitOptions) until(role string) time.Time {
	return clock(o.Now)().UTC().Truncate(time.Second).Add(o.Expiry.of(role))
}

// settle makes a folder appear with all files in it.
func settle(dir string, files []file) (err error) {
	parent := filepath.Dir(dir)
	tmp, err := os.MkdirTemp(parent, tmpPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	f := folder{metadata: tmp}
	if err := f.put(files); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(parent)
}
