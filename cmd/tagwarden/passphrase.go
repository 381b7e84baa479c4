package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/trust/signing"
	"golang.org/x/term"
)

const (
	// maxPassphrase is how many bytes a passphrase may have.
	maxPassphrase = 1024
	// minPrompted is how many bytes a new passphrase must have that a person types. What comes from elsewhere is a machine's.
	minPrompted = 8
)

// A keyClass tells keys apart by who holds their passphrase.
type keyClass string

// The classes of keys.
const (
	rootKeys       keyClass = "root"
	repositoryKeys keyClass = "repository" // targets, signers, and those of the publisher
)

// variable names the environment variable that holds the passphrase.
func (k keyClass) variable() string {
	return "TAGWARDEN_" + strings.ToUpper(string(k)) + "_PASSPHRASE"
}

// errNobody is returned when a person would have to be asked and there is none.
var errNobody = errors.New("standard input is no terminal")

// Passphrases come from a file descriptor, the environment or a person, in this order; never from an argument, which every
// process of the machine can read. What was found once is not asked for again.
type passphrases struct {
	lines  []string // of the file descriptor
	getenv func(string) string
	ask    terminal
	typed  map[string]string // by what they are for
}

// newPassphrases returns what finds passphrases for a command.
func newPassphrases(c *cobra.Command, fd int) (*passphrases, error) {
	p := &passphrases{getenv: os.Getenv, ask: newTerminal(c), typed: make(map[string]string)}
	if fd < 0 {
		return p, nil
	}
	f := os.NewFile(uintptr(fd), "passphrase-fd")
	if f == nil {
		return nil, fmt.Errorf("--passphrase-fd %d: no such file descriptor", fd)
	}
	defer f.Close()
	var err error
	if p.lines, err = passphraseLines(f); err != nil {
		return nil, fmt.Errorf("--passphrase-fd %d: %w", fd, err)
	}
	return p, nil
}

// passphraseLines reads one or two lines.
func passphraseLines(r io.Reader) ([]string, error) {
	const most = 2 * (maxPassphrase + 2)
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	lines := strings.Split(text, "\n")
	if len(data) > most || len(lines) > 2 {
		return nil, fmt.Errorf("more than two lines of %d bytes", maxPassphrase)
	}
	for _, line := range lines {
		if err := usablePassphrase(line); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// usablePassphrase refuses what protects nothing, and what cannot be typed again.
func usablePassphrase(s string) error {
	switch {
	case s == "":
		return errors.New("the passphrase is empty")
	case len(s) > maxPassphrase:
		return fmt.Errorf("the passphrase has more than %d bytes", maxPassphrase)
	case strings.ContainsAny(s, "\n\r\x00"):
		return errors.New("the passphrase has more than one line")
	}
	return nil
}

// find returns the passphrase for keys of a class. The words name the keys in the prompt: "key of alice". A fresh one
// protects keys that are being made, and is typed twice.
func (p *passphrases) find(ctx context.Context, class keyClass, words string, fresh bool) ([]byte, error) {
	if len(p.lines) > 0 {
		if class == rootKeys {
			return []byte(p.lines[len(p.lines)-1]), nil
		}
		return []byte(p.lines[0]), nil
	}
	if s := p.getenv(class.variable()); s != "" {
		if err := usablePassphrase(s); err != nil {
			return nil, fmt.Errorf("%s: %w", class.variable(), err)
		}
		return []byte(s), nil
	}
	if s, ok := p.typed[words]; ok {
		return []byte(s), nil
	}
	s, err := p.prompt(ctx, words, fresh)
	if errors.Is(err, errNobody) {
		return nil, fmt.Errorf("passphrase for the %s: nobody can be asked, %w: set %s, or give --passphrase-fd", words, err, class.variable())
	}
	if err != nil {
		return nil, fmt.Errorf("passphrase for the %s: %w", words, err)
	}
	p.typed[words] = s
	return []byte(s), nil
}

// forKeys returns what a keychain asks for passphrases.
func (p *passphrases) forKeys(ctx context.Context, online string) signing.Passphrase {
	return func(a signing.Ask) ([]byte, error) {
		isOnline := a.Role == "snapshot" || a.Role == "timestamp"
		switch {
		case isOnline && online != "":
			return passphraseIn(online)(a)
		case a.Role == "root" && a.New:
			return p.find(ctx, rootKeys, "root keys", true)
		case a.Role == "root":
			return p.find(ctx, rootKeys, keyWords(a), false)
		case isOnline && !a.New:
			return p.find(ctx, repositoryKeys, "publisher's keys", false)
		case a.New:
			return p.find(ctx, repositoryKeys, "repository keys", true)
		}
		return p.find(ctx, repositoryKeys, keyWords(a), false)
	}
}

// keyWords names a key in a prompt, as docker does.
func keyWords(a signing.Ask) string {
	if a.KeyID == "" {
		return a.Role + " key"
	}
	return fmt.Sprintf("%s key with ID %.7s", a.Role, a.KeyID)
}

// prompt asks a person.
func (p *passphrases) prompt(ctx context.Context, words string, fresh bool) (string, error) {
	if !fresh {
		s, err := p.ask.line(ctx, fmt.Sprintf("Enter passphrase for the %s: ", words), true)
		if err != nil {
			return "", err
		}
		return s, usablePassphrase(s)
	}
	s, err := p.ask.line(ctx, fmt.Sprintf("Enter passphrase for the new %s: ", words), true)
	if err != nil {
		return "", err
	}
	if err := usablePassphrase(s); err != nil {
		return "", err
	}
	if len(s) < minPrompted {
		return "", fmt.Errorf("it has fewer than %d characters: a long random one, kept by a password manager, is best", minPrompted)
	}
	again, err := p.ask.line(ctx, fmt.Sprintf("Repeat passphrase for the new %s: ", words), true)
	if err != nil {
		return "", err
	}
	if again != s {
		return "", errors.New("the two do not match")
	}
	return s, nil
}

// A terminal is where a person can be asked.
type terminal struct {
	in  *os.File // nil: nobody can be
	out io.Writer
}

// newTerminal returns the terminal of a command, whose questions go to standard error: output may be piped.
func newTerminal(c *cobra.Command) terminal {
	t := terminal{out: c.ErrOrStderr()}
	if f, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.in = f
	}
	return t
}

// confirm asks a question that only a person's y answers.
func (t terminal) confirm(ctx context.Context, question string) (bool, error) {
	s, err := t.line(ctx, question+" [y/N] ", false)
	if err != nil {
		return false, err
	}
	s = strings.ToLower(strings.TrimSpace(s))
	return s == "y" || s == "yes", nil
}

// line asks for one line. A hidden one is not shown while it is typed.
func (t terminal) line(ctx context.Context, question string, hidden bool) (string, error) {
	if t.in == nil {
		return "", errNobody
	}
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(t.out, question)
	type answer struct {
		text []byte
		err  error
	}
	// A read from a terminal cannot be cut short: whoever is interrupted leaves it behind and ends.
	got := make(chan answer, 1)
	go func() {
		var a answer
		if hidden {
			a.text, a.err = term.ReadPassword(fd)
		} else {
			a.text, a.err = readLine(t.in)
		}
		got <- a
	}()
	select {
	case a := <-got:
		if hidden {
			fmt.Fprintln(t.out)
		}
		if errors.Is(a.err, io.EOF) {
			return "", errors.New("no answer")
		}
		return string(a.text), a.err
	case <-ctx.Done():
		fmt.Fprintln(t.out)
		return "", errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// readLine reads up to the end of a line, and nothing behind it.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	var b [1]byte
	for len(line) <= maxPassphrase {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the answer has more than %d bytes", maxPassphrase)
}
