package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/signing"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a terminal: the one of a person, and the one of a process.
func openTerminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	process, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Close() })
	return person, process
}

// A typist answers the questions that it is asked, each when it is asked.
type typist struct {
	asked   bytes.Buffer
	person  *os.File
	answers []string
}

// Write implements io.Writer for the questions.
func (w *typist) Write(p []byte) (int, error) {
	if strings.HasSuffix(string(p), ": ") || strings.HasSuffix(string(p), "] ") {
		if len(w.answers) == 0 {
			return 0, errors.New("one question too many")
		}
		if _, err := w.person.WriteString(w.answers[0]); err != nil {
			return 0, err
		}
		w.answers = w.answers[1:]
	}
	return w.asked.Write(p)
}

// TestPrompt: a person is asked once for each key, and twice for new ones.
func TestPrompt(t *testing.T) {
	old := signing.Ask{Role: "alice", KeyID: "0123456789abcdef"}
	for _, c := range []struct {
		name    string
		ask     []signing.Ask
		answers []string
		want    string // the last passphrase, or what the error has in it
		asked   string
	}{
		{"known key", []signing.Ask{old, old}, []string{"secret\n"}, "secret", "Enter passphrase for the alice key with ID 0123456: \n"},
		{"new keys", []signing.Ask{{Role: "targets", New: true}, {Role: "snapshot", New: true}}, []string{"long secret\n", "long secret\n"}, "long secret",
			"Enter passphrase for the new repository keys: \nRepeat passphrase for the new repository keys: \n"},
		{"new root key", []signing.Ask{{Role: "root", New: true}}, []string{"long secret\n", "long secret\n"}, "long secret",
			"Enter passphrase for the new root keys: \nRepeat passphrase for the new root keys: \n"},
		{"root key", []signing.Ask{{Role: "root"}}, []string{"secret\n"}, "secret", "Enter passphrase for the root key: \n"},
		{"publisher", []signing.Ask{{Role: "snapshot"}, {Role: "timestamp"}}, []string{"secret\n"}, "secret", "Enter passphrase for the publisher's keys: \n"},
		{"slip", []signing.Ask{{Role: "alice", New: true}}, []string{"long secret\n", "long secrte\n"}, "do not match", ""},
		{"short", []signing.Ask{{Role: "alice", New: true}}, []string{"short\n"}, "fewer than 8", ""},
		{"nothing", []signing.Ask{old}, []string{"\n"}, "empty", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			person, process := openTerminal(t)
			w := &typist{person: person, answers: c.answers}
			p := &passphrases{getenv: func(string) string { return "" }, ask: terminal{in: process, out: w}, typed: make(map[string]string)}
			var got []byte
			var err error
			for _, a := range c.ask {
				got, err = p.forKeys(t.Context(), "")(a)
			}
			if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && string(got) != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if c.asked != "" && w.asked.String() != c.asked {
				t.Errorf("asked %q, want %q", w.asked.String(), c.asked)
			}
		})
	}
}

// until looks until something is so.
func until(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not come to be so")
		}
	}
}

// TestInterrupted: whoever changes their mind at the question gets out, with the terminal as it was.
func TestInterrupted(t *testing.T) {
	person, process := openTerminal(t)
	fd := int(process.Fd())
	flags := func() uint32 {
		s, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return s.Lflag
	}
	before := flags()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := terminal{in: process, out: new(bytes.Buffer)}.line(ctx, "? ", true)
		ended <- err
	}()
	until(t, func() bool { return flags()&unix.ECHO == 0 })
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Error(err)
	}
	if after := flags(); after != before {
		t.Errorf("the terminal has flags %x, and had %x", after, before)
	}
	// The read that was left behind ends before its terminal does.
	if _, err := person.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); return err == nil && n == 0 })
}

// TestConfirm: only a y is a yes.
func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "n\n": false, "\n": false, "yep\n": false} {
		person, process := openTerminal(t)
		w := &typist{person: person, answers: []string{answer}}
		got, err := terminal{in: process, out: w}.confirm(t.Context(), "Sign?")
		if err != nil || got != want || w.asked.String() != "Sign? [y/N] " {
			t.Errorf("%q: %v, %v after %q", answer, got, err, w.asked.String())
		}
	}
}
