package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/remote"
	"github.com/tagwarden/tagwarden/trust/signing"
)

const (
	// maxRootFile is the most bytes of a root file.
	maxRootFile = 512 << 10
	// standardTarget is how the trust commands call a tag in a repository.
	standardTarget = "{name}:{tag}"
)

// A site is the repository that a command works on.
type site struct {
	*signing.Repository
	place string // folder or address, for messages
}

// load reads the configuration, whose repository need not exist yet. There is none, and no error, where nobody named the
// file and it does not exist.
func (f *trustFlags) load(c *cobra.Command) (*config.Config, error) {
	cfg, err := config.LoadWith(f.config, config.Options{Unmade: true})
	if problems, ok := err.(config.Problems); ok {
		fmt.Fprintln(c.ErrOrStderr(), problems)
		return nil, errSaid
	}
	if errors.Is(err, fs.ErrNotExist) && !f.given {
		return nil, nil
	}
	return cfg, err
}

// open returns the repository that speaks for images and matches of images; for none, the only one there is.
func (f *trustFlags) open(c *cobra.Command, cfg *config.Config, images ...string) (site, error) {
	if f.trust != "" {
		return f.openGiven(c, cfg)
	}
	if cfg != nil {
		name, err := oneSource(cfg, images)
		if err != nil {
			return site{}, err
		}
		if name != "" {
			return f.openSource(c, cfg, name, images)
		}
	}
	if info, err := os.Stat("trust"); err == nil && info.IsDir() {
		return f.openFolder(c, "trust", nil, "")
	}
	return site{}, errors.New(`no repository: name one with --trust or in the configuration, or make one with "tagwarden trust init"`)
}

// oneSource returns the name of the one source that speaks for all images; "" for none.
func oneSource(cfg *config.Config, images []string) (string, error) {
	if len(images) == 0 {
		return tufSource(cfg, "")
	}
	first, err := tufSource(cfg, images[0])
	for _, i := range images[1:] {
		if err != nil {
			break
		}
		var other string
		if other, err = tufSource(cfg, i); err == nil && other != first {
			err = usageError{fmt.Errorf("%s and %s are signed in different repositories, sources %q and %q: change one at a time", images[0], i, first, other)}
		}
	}
	return first, err
}

// tufSource returns the name of the source that speaks for an image or match, by its rule or as the only one; "" for none.
func tufSource(cfg *config.Config, image string) (string, error) {
	if r, ok := ruleOf(cfg, image); ok && r.Source != "" {
		if cfg.Sources[r.Source].Notary != nil {
			return "", fmt.Errorf(`%s: its rule %s has the Notary source %s: sign with "docker trust sign", or name a repository with --trust`, image, r.Name, r.Source)
		}
		return r.Source, nil
	}
	var all []string
	for name, s := range cfg.Sources {
		if s.Notary == nil {
			all = append(all, name)
		}
	}
	switch len(all) {
	case 0:
		return "", nil
	case 1:
		return all[0], nil
	}
	slices.Sort(all)
	return "", fmt.Errorf("sources %s: which of them is not plain: name its folder or address with --trust", strings.Join(all, ", "))
}

// ruleOf returns the rule that governs an image, or has exactly this match.
func ruleOf(cfg *config.Config, image string) (config.Rule, bool) {
	var rules names.Index[config.Rule]
	for _, r := range cfg.Rules {
		if r.Match.String() == image {
			return r, true
		}
		rules.Add(r.Match, r)
	}
	if image == "" || strings.Contains(image, "*") {
		return config.Rule{}, false
	}
	return rules.Find(image)
}

// openGiven opens the repository of --trust.
func (f *trustFlags) openGiven(c *cobra.Command, cfg *config.Config) (site, error) {
	var root []byte
	var err error
	if f.root != "" {
		if root, err = readSmall(f.root, maxRootFile); err != nil {
			return site{}, err
		}
	}
	if !strings.Contains(f.trust, "://") {
		return f.openFolder(c, f.trust, root, onlinePassphrase(cfg, f.trust))
	}
	u, err := url.Parse(f.trust)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return site{}, usageError{errors.New("trust: --trust is neither a folder nor an http or https address without user and query")}
	}
	if root == nil {
		return site{}, usageError{fmt.Errorf("trust: %s: --root is missing: the file that gateways pin, or nothing vouches for what is there", u)}
	}
	return f.openAddress(c, "given", config.Source{TUF: u, CA: f.ca}, nil, root)
}

// openSource opens the repository of a source.
func (f *trustFlags) openSource(c *cobra.Command, cfg *config.Config, name string, images []string) (site, error) {
	s := cfg.Sources[name]
	if s.Target != standardTarget {
		return site{}, fmt.Errorf("source %s: target %q: tagwarden signs tags as %q only", name, s.Target, standardTarget)
	}
	if s.PerName() {
		if len(images) != 1 || strings.Contains(images[0], "*") {
			return site{}, fmt.Errorf("source %s: each image has a repository of its own: name one with --trust", name)
		}
		image := images[0]
		s.Dir, s.Root = named(s.Dir, image), named(s.Root, image)
		if s.TUF != nil {
			u := *s.TUF
			u.Path = named(u.Path, image)
			s.TUF = &u
		}
	}
	root, err := readSmall(s.Root, maxRootFile)
	if err != nil {
		return site{}, fmt.Errorf("source %s: root: %w", name, err)
	}
	if s.Dir == "" {
		return f.openAddress(c, name, s, cfg.EgressProxy, root)
	}
	online := ""
	if s.Publish != nil {
		online = s.Publish.PassphraseFile
	}
	return f.openFolder(c, s.Dir, root, online)
}

// onlinePassphrase returns the file with the passphrase of the publisher's keys, if a source publishes this folder.
func onlinePassphrase(cfg *config.Config, dir string) string {
	if cfg == nil {
		return ""
	}
	for _, s := range cfg.Sources {
		if s.Publish != nil && (sameFolder(s.Dir, dir) || sameFolder(s.Dir, filepath.Join(dir, "metadata"))) {
			return s.Publish.PassphraseFile
		}
	}
	return ""
}

// sameFolder tells whether two paths lead to one folder, which need not exist.
func sameFolder(a, b string) bool {
	if fullA, err := filepath.Abs(a); err == nil {
		if fullB, err := filepath.Abs(b); err == nil && fullA == fullB {
			return true
		}
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (f *trustFlags) openFolder(c *cobra.Command, dir string, root []byte, online string) (site, error) {
	keys, err := f.keychain(c, online)
	if err != nil {
		return site{}, err
	}
	r, err := signing.OpenDirectory(dir, signing.Options{Keys: keys, Root: root})
	return site{r, dir}, err
}

func (f *trustFlags) openAddress(c *cobra.Command, name string, s config.Source, egress *url.URL, root []byte) (site, error) {
	keys, err := f.keychain(c, "")
	if err != nil {
		return site{}, err
	}
	client, err := newSigner(name, s, egress)
	if err != nil {
		return site{}, err
	}
	r, err := signing.OpenGateway(remote.HTTP{Base: s.TUF, Client: client}, signing.Options{Keys: keys, Root: root})
	return site{r, s.TUF.String()}, err
}

// keychain returns the private keys of who runs the command. The publisher's keys have the passphrase in a file, if one
// is given.
func (f *trustFlags) keychain(c *cobra.Command, online string) (*signing.Keychain, error) {
	dir := f.keys
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("the folder of keys: %w: name it with --keys", err)
		}
		dir = filepath.Join(home, ".tagwarden", "keys")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// A file descriptor is read once, and a person asked once, however many repositories there are.
	if f.pass == nil {
		if f.pass, err = newPassphrases(c, f.fd); err != nil {
			return nil, err
		}
	}
	return signing.OpenKeychain(dir, f.pass.forKeys(c.Context(), online)), nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a file of at most %d bytes", file, limit)
	}
	return os.ReadFile(file)
}
