package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Options say what LoadWith is to accept. The zero Options are Load's.
type Options struct {
	// Unmade lets the files be missing that come into being with a repository: the Root and the PassphraseFile of a
	// source. It is for commands that make them, never for a gateway. Default false: they must exist.
	Unmade bool
}

// Load reads and checks the config file at path. Paths in it are relative to its folder and come out joined to that.
// The error is Problems, or that of reading the file. The files it names are opened once to see that they can be read.
func Load(path string) (*Config, error) {
	return LoadWith(path, Options{})
}

// LoadWith is Load with options.
func LoadWith(path string, o Options) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, data, readable, o)
}

// Parse checks data, the content of the config file called file, without reading anything itself. It asks readable
// about every file that must exist, by its joined path; an error of that is a problem. The error is Problems.
func Parse(file string, data []byte, readable func(path string) error, o Options) (*Config, error) {
	r := &reader{
		file: file, dir: filepath.Dir(file), readable: readable, unmade: o.Unmade,
		places: make(map[string]place), wrong: make(map[string]bool),
	}
	root := r.document(data)
	c := defaults()
	if len(r.problems) == 0 {
		r.fields(value{place: place{line: 1, column: 1}, node: root}, "", r.configFields(c))
		r.check(c)
	}
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	return c, nil
}

// readable opens a file that the config names. Only a regular file will do: opening a pipe could wait forever.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
