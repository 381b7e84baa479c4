package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
)

// maxTarget is the most bytes that a target may have.
const maxTarget = 64 << 20

// An artifact is what a role says of a target.
type artifact struct {
	Length int64
	Hashes map[string]string
}

// download puts a target into the folder of targets, unless it is there already.
func (c *client) download(ctx context.Context, target string) error {
	e, err := c.lookup(ctx, target)
	if err != nil {
		return err
	}
	files, err := c.trusted()
	if err != nil {
		return err
	}
	a, err := c.artifact(target, e, files)
	if err != nil {
		return err
	}
	to := filepath.Join(c.o.targetDir, "target-"+url.PathEscape(target))
	if raw, err := os.ReadFile(to); err == nil && a.verify(raw) == nil {
		return nil
	}
	file, err := a.file(target, files["root"])
	if err != nil {
		return err
	}
	raw, err := c.targets.Fetch(ctx, file, a.Length)
	if err == nil {
		err = a.verify(raw)
	}
	if err != nil {
		return fmt.Errorf("target %q: %w", target, err)
	}
	return os.WriteFile(to, raw, 0o600)
}

// artifact reads what is said of the target in the file of the role that has the say.
func (c *client) artifact(target string, e trust.Entry, files map[string][]byte) (artifact, error) {
	role := c.speaker(e)
	switch {
	case role == "" && e.Refusal != nil:
		return artifact{}, e.Refusal
	case role == "":
		return artifact{}, fmt.Errorf("target %q: is not signed", target)
	}
	var f struct {
		Signed struct{ Targets map[string]artifact }
	}
	if err := json.Unmarshal(files[role], &f); err != nil {
		return artifact{}, err
	}
	a := f.Signed.Targets[target]
	if a.Length < 1 || a.Length > maxTarget {
		return a, fmt.Errorf("target %q: length %d is not between 1 and %d", target, a.Length, maxTarget)
	}
	return a, nil
}

// speaker returns the role whose entry counts. A gateway names it in a claim, or where it cannot use the entry, as it has
// no sha256, in its refusal.
func (c *client) speaker(e trust.Entry) string {
	if len(e.Claims) > 0 {
		return e.Claims[0].Role
	}
	for _, v := range c.snapshot.Versions {
		if e.Refusal != nil && strings.HasPrefix(e.Refusal.Text, fmt.Sprintf("%s v%d signs what cannot be used ", v.Role, v.Version)) {
			return v.Role
		}
	}
	return ""
}

// sums returns the hashes of content, by the names that entries have for them.
func sums(raw []byte) map[string]string {
	a, b := sha256.Sum256(raw), sha512.Sum512(raw)
	return map[string]string{"sha256": hex.EncodeToString(a[:]), "sha512": hex.EncodeToString(b[:])}
}

// verify checks content against every hash that the entry has, of which at least one must be known.
func (a artifact) verify(raw []byte) error {
	if int64(len(raw)) != a.Length {
		return fmt.Errorf("has %d bytes, not the %d that are signed", len(raw), a.Length)
	}
	known := false
	for name, sum := range sums(raw) {
		if signed := a.Hashes[name]; signed != "" {
			known = true
			if signed != sum {
				return fmt.Errorf("has another %s than is signed", name)
			}
		}
	}
	if !known {
		return errors.New("is signed by no hash that is known")
	}
	return nil
}

// file returns the target's path in the repository: as root says, with a hash before its last part.
func (a artifact) file(target string, root []byte) (string, error) {
	var r struct {
		Signed struct {
			Consistent bool `json:"consistent_snapshot"`
		}
	}
	if err := json.Unmarshal(root, &r); err != nil {
		return "", err
	}
	if r.Signed.Consistent {
		for name := range sums(nil) {
			if sum := a.Hashes[name]; sum != "" {
				dir, last := path.Split(target)
				return escape(dir + sum + "." + last), nil
			}
		}
	}
	return escape(target), nil
}

// escape writes a path as it stands in a URL.
func escape(target string) string {
	var all bytes.Buffer
	for i, part := range strings.Split(target, "/") {
		if i > 0 {
			all.WriteByte('/')
		}
		all.WriteString(url.PathEscape(part))
	}
	return all.String()
}
