package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemo: the demo shows its three pulls, what it prints for a second terminal makes the refused tag pull at once, and
// nothing of it is left.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		status := run(ctx, []string{"demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, in, &errs)
		in.Close()
		ended <- status
	}()
	var page strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		page.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	for _, want := range []string{
		`signed +GET /v2/hello/manifests/1\.0\n +200 sha256:[0-9a-f]{64}\n`,
		`unsigned +GET /v2/hello/manifests/2\.0\n +403 registry\.example/hello:2\.0 is not signed: .*\[unsigned_tag [0-9A-Z]{26}\]\n`,
		`by digest +GET /v2/hello/manifests/sha256:[0-9a-f]{64}\n +200 sha256:[0-9a-f]{64}\n`,
		`docker pull 127\.0\.0\.1:\d+/hello:2\.0\n`, `podman pull `, `crane digest `, `curl -i `,
	} {
		if !regexp.MustCompile(want).MatchString(page.String()) {
			t.Errorf("%s is missing in\n%s%s", want, page.String(), errs.String())
		}
	}
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+/v2/hello/manifests/2\.0`).FindString(page.String())
	if got := statusOf(t, url); got != http.StatusForbidden {
		t.Fatalf("unsigned: %d", got)
	}
	// What the page says, without the shell: the passphrase, this program, and its arguments.
	sign := regexp.MustCompile(`TAGWARDEN_REPOSITORY_PASSPHRASE=(\S+) \S+ (--config .* trust sign .*)`).FindStringSubmatch(page.String())
	if sign == nil {
		t.Fatal("no command to sign with")
	}
	t.Setenv("TAGWARDEN_REPOSITORY_PASSPHRASE", sign[1])
	var said bytes.Buffer
	if status := run(t.Context(), strings.Fields(sign[2]), &said, &said); status != 0 {
		t.Fatalf("sign: exit status %d\n%s", status, said.String())
	}
	// A refusal may rest on a check of a moment before.
	got, end := statusOf(t, url), time.Now().Add(time.Second)
	for got != http.StatusOK && time.Now().Before(end) {
		got = statusOf(t, url)
	}
	if got != http.StatusOK {
		t.Errorf("signed: %d\n%s\n%s", got, said.String(), errs.String())
	}
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d\n%s", status, errs.String())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}
