package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/trust/signing"
)

// maxKeyFile is the most bytes of a key file.
const maxKeyFile = 64 << 10

// signerForm is what a signer may be called.
var signerForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// signerName checks the name of a signer, as docker does for what will be the name of a role and of a file.
func signerName(s string) error {
	switch s {
	case "root", "targets", "snapshot", "timestamp":
		return usageError{fmt.Errorf("%q is a role of every repository: take another name", s)}
	}
	if !signerForm.MatchString(s) {
		return usageError{fmt.Errorf("%.80q is no name of a signer: 1 to 63 lower-case letters, digits, _ and -, the first a letter or digit", s)}
	}
	return nil
}

func trustKeyCommand(f *trustFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Manage keys for signing",
		Args:  cobra.ArbitraryArgs,
		RunE:  func(_ *cobra.Command, args []string) error { return missingWord("trust key", args) },
	}
	c.AddCommand(keyGenerateCommand(f), keyLoadCommand(f))
	return c
}

func keyGenerateCommand(f *trustFlags) *cobra.Command {
	var dir string
	algorithm := algorithms[0]
	c := &cobra.Command{
		Use:   "generate NAME",
		Short: "Generate and load a signing key-pair",
		Args:  exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := signerName(args[0]); err != nil {
				return err
			}
			a, err := parseAlgorithm(algorithm)
			if err != nil {
				return usageError{fmt.Errorf("trust key generate: %w", err)}
			}
			file, err := filepath.Abs(filepath.Join(dir, args[0]+".pub"))
			if err != nil {
				return err
			}
			if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: public key file already exists", file)
			}
			// Before the private key is kept: it would be left behind, and sign for a signer whom nobody has added.
			if _, err := os.Stat(filepath.Dir(file)); err != nil {
				return err
			}
			keys, err := f.keychain(c, "")
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Generating key for %s...\n", args[0])
			public, err := keys.Generate(args[0], a)
			if err != nil {
				return err
			}
			text, err := public.PEM()
			if err != nil {
				return err
			}
			if err := writeNew(file, text, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "Successfully generated and loaded private key. Corresponding public key available: %s\n", file)
			return err
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`folder` to put the public key in, defaults to the current one")
	c.Flags().StringVar(&algorithm, "algorithm", algorithm, "of the key: ed25519 or ecdsa")
	return c
}

func keyLoadCommand(f *trustFlags) *cobra.Command {
	name := "signer"
	c := &cobra.Command{
		Use:   "load KEYFILE",
		Short: "Load a private key file for signing",
		Args:  exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := signerName(name); err != nil {
				return err
			}
			data, err := readPrivate(args[0])
			if err != nil {
				return err
			}
			keys, err := f.keychain(c, "")
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Loading key from %q...\n", args[0])
			public, err := keys.Load(data, name)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "Successfully imported key from %s: %s with ID %s\n", args[0], name, public.ID)
			return err
		},
	}
	c.Flags().StringVar(&name, "name", name, "name for the loaded key")
	return c
}

// readPrivate reads a private key, which others must not be able to read either.
func readPrivate(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: private key file must not be readable or writable by others: chmod 600", file)
	}
	return readSmall(file, maxKeyFile)
}

// writeNew writes a file that must not exist yet, durably; one that could not be written whole is removed.
func writeNew(file string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

func trustSignerCommand(f *trustFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "signer",
		Short: "Manage entities who can sign tags",
		Args:  cobra.ArbitraryArgs,
		RunE:  func(_ *cobra.Command, args []string) error { return missingWord("trust signer", args) },
	}
	c.AddCommand(signerAddCommand(f), signerRemoveCommand(f))
	return c
}

// publicKeys reads public keys.
func publicKeys(files []string) ([]signing.PublicKey, error) {
	var all []signing.PublicKey
	for _, file := range files {
		data, err := readSmall(file, maxKeyFile)
		if err != nil {
			return nil, err
		}
		k, err := signing.ParsePublicKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, k)
	}
	return all, nil
}
