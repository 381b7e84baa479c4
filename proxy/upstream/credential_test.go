package upstream

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestStaticCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	c := StaticCredentials("puller", file)
	if _, err := c(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("missing file: %v", err)
	}
	for content, want := range map[string]string{
		"pass": "pass", "pass\n": "pass", "pass\r\n": "pass", "pass\n\n": "pass\n", " p s \n": " p s ", "\n": "", "": "",
		strings.Repeat("p", maxPasswordFile+1): "",
	} {
		write(t, file, content, 0o600) // read again each time
		got, err := c(t.Context())
		if got.Password != want || (err != nil) != (want == "") || err == nil && got.Username != "puller" {
			t.Errorf("%.20q: %.20q %v, want %q", content, got.Password, err, want)
		}
	}
}

// helper puts a credential helper on PATH that answers as docker's do, and notes what it was asked.
func helper(t *testing.T, name, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "docker-credential-"+name), "#!/bin/sh\n"+script, 0o700)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return dir
}

const answering = `server=$(cat); echo "$1 $server" >>"$(dirname "$0")/asked"
case "$server" in
*missing*) echo "credentials not found in native keychain"; exit 1;;
*broken*) echo "the vault is sealed"; exit 1;;
*identity*) echo '{"ServerURL":"'"$server"'","Username":"<token>","Secret":"identity"}';;
*) echo '{"ServerURL":"'"$server"'","Username":"puller","Secret":"secret"}';;
esac
`

func TestDockerCredentials(t *testing.T) {
	dir := helper(t, "fake", answering)
	auth := base64.StdEncoding.EncodeToString([]byte("user:pass"))
	file := write(t, filepath.Join(t.TempDir(), "config.json"), `{
		"auths": {
			"plain.example.com": {"auth": "`+auth+`"},
			"port.example.com:5000": {"auth": "`+auth+`"},
			"https://legacy.example.com/": {"auth": "`+auth+`"},
			"id.example.com": {"auth": "`+auth+`", "identitytoken": "identity"},
			"token.example.com": {"registrytoken": "handed-out"}
		},
		"credHelpers": {
			"https://index.docker.io/v1/": "fake", "helped.example.com": "fake", "missing.example.com": "fake", "identity.example.com": "fake"
		}
	}`, 0o600)
	for host, want := range map[string]Credential{
		"plain.example.com":     {Username: "user", Password: "pass"},
		"port.example.com:5000": {Username: "user", Password: "pass"},
		"legacy.example.com":    {Username: "user", Password: "pass"},
		"id.example.com":        {Username: "user", Password: "pass", IdentityToken: "identity"},
		"token.example.com":     {RegistryToken: "handed-out"},
		"docker.io":             {Username: "puller", Password: "secret"},
		"helped.example.com":    {Username: "puller", Password: "secret"},
		"identity.example.com":  {IdentityToken: "identity"},
		"missing.example.com":   {},
		"other.example.com":     {},
		"port.example.com":      {},
		"example.com":           {},
	} {
		got, err := DockerCredentials(file, host)(t.Context())
		if got != want || err != nil {
			t.Errorf("%s: %+v %v, want %+v", host, got, err, want)
		}
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || !strings.Contains(string(asked), "get https://index.docker.io/v1/\n") {
		t.Errorf("the helper was asked %q, %v", asked, err)
	}
}

// Errors help, and hold no secret.
func TestDockerCredentialsErrors(t *testing.T) {
	helper(t, "fake", answering)
	bad := base64.StdEncoding.EncodeToString([]byte("hunter2"))
	file := write(t, filepath.Join(t.TempDir(), "config.json"), `{
		"auths": {"bad.example.com": {"auth": "`+bad+`"}},
		"credHelpers": {"broken.example.com": "fake", "none.example.com": "nowhere"}
	}`, 0o600)
	for host, want := range map[string]string{
		"bad.example.com":    "the entry in " + file + " cannot be read",
		"broken.example.com": "the vault is sealed",
		"none.example.com":   "docker-credential-nowhere",
	} {
		_, err := DockerCredentials(file, host)(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v, want %q", host, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is told: %v", err)
		}
	}
	if _, err := DockerCredentials(file+".missing", "x.example.com")(t.Context()); err == nil {
		t.Error("a missing file gives no error")
	}
	write(t, file, "{", 0o600)
	if _, err := DockerCredentials(file, "x.example.com")(t.Context()); err == nil {
		t.Error("a broken file gives no error")
	}
}

// A helper that leaves a child behind, which keeps its output open, holds nobody up; and only so many can hang.
func TestDockerCredentialsHang(t *testing.T) {
	dir := helper(t, "slow", `cat "$(dirname "$0")/release" & echo >"$(dirname "$0")/started"; wait`)
	started, release := filepath.Join(dir, "started"), filepath.Join(dir, "release")
	for _, name := range []string{started, release} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := write(t, filepath.Join(t.TempDir(), "config.json"), `{"credsStore":"slow"}`, 0o600)
	c := DockerCredentials(file, "x.example.com")
	for range maxLookups {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := c(ctx)
			failed <- err
		}()
		if _, err := os.ReadFile(started); err != nil { // until the child is there
			t.Fatal(err)
		}
		cancel()
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "the credential helper does not answer") {
			t.Errorf("%v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c(ctx); err == nil || !strings.Contains(err.Error(), "earlier look-ups hang") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil { // the children end
		t.Fatal(err)
	}
}
