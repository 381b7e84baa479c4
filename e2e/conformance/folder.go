package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
)

// seen begins the names of the files in the state that verified in an update that failed: newer ones than those that serve.
const seen = "seen/"

// trusted returns the files that are trusted, by the names of their roles: what serves, and where an update failed what
// verified of it.
func (c *client) trusted() (map[string][]byte, error) {
	record, err := c.place.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	all := make(map[string][]byte)
	root := int64(0)
	for _, f := range record.Files {
		files[f.Name] = f.Data
		var version int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(f.Name, seen), "%d.root.json", &version); err == nil && version > root {
			root, all["root"] = version, f.Data
		}
	}
	if c.snapshot != nil {
		for _, v := range c.snapshot.Versions[1:] {
			all[v.Role] = named(files, v)
		}
	}
	for _, role := range []string{"timestamp", "snapshot"} {
		if raw := files[seen+role+".json"]; raw != nil {
			all[role] = raw
		}
	}
	return all, nil
}

// named returns the role's file, which has its version in its name where snapshots are consistent.
func named(files map[string][]byte, v trust.RoleVersion) []byte {
	name := url.PathEscape(v.Role) + ".json"
	if raw := files[fmt.Sprintf("%d.%s", v.Version, name)]; raw != nil {
		return raw
	}
	return files[name]
}

// show puts what is trusted into the folder, one file for each role, and nothing else that looks like one.
func (c *client) show() error {
	all, err := c.trusted()
	if err != nil || all == nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(c.o.dir, "*.json"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	for role, raw := range all {
		err = errors.Join(err, os.WriteFile(filepath.Join(c.o.dir, url.PathEscape(role)+".json"), raw, 0o600))
	}
	return err
}
