package main

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/trust/signing"
)

// initConfig is the configuration that init writes.
//
//go:embed initfiles/tagwarden.yaml
var initConfig []byte

// The names of what init writes into its folder, as initConfig has them.
const (
	initConfigFile = "tagwarden.yaml"
	initTrust      = "trust"
	initPassphrase = "publisher-passphrase"
)

func initCommand() *cobra.Command {
	f := &trustFlags{}
	o := signing.InitOptions{RootKeys: 1, RootThreshold: 1}
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a commented configuration, and a site trust repository with fresh keys",
		Args:  checked(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			if o.Keys, err = f.keychain(c, ""); err != nil {
				return err
			}
			made, err := initSite(dir, o)
			if err != nil {
				return err
			}
			if err := printCreated(c.OutOrStdout(), made, o); err != nil {
				return err
			}
			return printNext(c.OutOrStdout(), dir, f.keys != "", o.Keys.Dir())
		},
	}
	c.Flags().StringVar(&f.keys, "keys", "", "`FOLDER` of private keys (default ~/.tagwarden/keys)")
	c.Flags().IntVar(&f.fd, "passphrase-fd", -1, "read passphrases from file descriptor `N`: the first line for all keys, a second one for root keys")
	c.Flags().IntVar(&o.RootKeys, "root-keys", o.RootKeys, "how many root keys are made, 1 to 16")
	c.Flags().IntVar(&o.RootThreshold, "root-threshold", o.RootThreshold, "how many of them must sign")
	return c
}

// initSite writes everything into a folder. It overwrites nothing: what is in the way is an error before anything is
// written.
func initSite(dir string, o signing.InitOptions) (signing.Created, error) {
	for _, name := range []string{initConfigFile, initTrust, initPassphrase} {
		if inTheWay(filepath.Join(dir, name)) {
			return signing.Created{}, fmt.Errorf("%s: exists already, and nothing is overwritten", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return signing.Created{}, err
	}
	// The publisher runs without anybody who could type: its passphrase is a file, and nobody needs to know it.
	passphrase := filepath.Join(dir, initPassphrase)
	if err := writeNew(passphrase, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return signing.Created{}, err
	}
	o.Dir, o.Online = filepath.Join(dir, initTrust), passphraseIn(passphrase)
	o.Expiry = signing.Expiry{Snapshot: 7 * 24 * time.Hour, Timestamp: 24 * time.Hour}
	made, err := signing.Init(o)
	if err != nil {
		return signing.Created{}, errors.Join(err, os.Remove(passphrase))
	}
	return made, writeNew(filepath.Join(dir, initConfigFile), initConfig, 0o644)
}

// inTheWay tells whether there is anything but an empty folder.
func inTheWay(path string) bool {
	if in, err := os.ReadDir(path); err == nil {
		return len(in) > 0
	}
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// printNext says what to do next, in lines that can be pasted anywhere.
func printNext(w io.Writer, dir string, named bool, keys string) error {
	file := shellWord(filepath.Join(dir, initConfigFile))
	flag := ""
	if named {
		flag = " --keys " + shellWord(keys)
	}
	_, err := fmt.Fprintf(w, `The publisher's passphrase is in %s: only the gateway needs to read it.

What next:
  tagwarden check --config %s
  tagwarden trust sign --config %[2]s%s docker.io/library/alpine:latest
  tagwarden serve --config %[2]s
  docker pull localhost:5000/docker.io/library/alpine:latest
`, filepath.Join(dir, initPassphrase), file, flag)
	return err
}
