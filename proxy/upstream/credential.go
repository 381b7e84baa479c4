package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"oras.land/oras-go/v2/registry/remote/credentials"
)

const (
	maxPasswordFile = 64 << 10
	maxLookups      = 4 // in Docker's stores at a time, per registry
)

// Credential is one identity. The zero Credential is anonymous.
type Credential struct {
	// Username and Password are for Basic authentication, and to ask for tokens.
	Username, Password string
	// IdentityToken is exchanged for tokens; it takes precedence over the password.
	IdentityToken string
	// RegistryToken is a token handed out beforehand; it is used as it is.
	RegistryToken string
}

// Credentials returns the credentials as they are now; it is asked for every token, so that passwords may change. It must
// be safe for concurrent use. It is given 30 s.
type Credentials func(ctx context.Context) (Credential, error)

// check returns whom c makes of us, to continue "asked ...", and an error if it cannot be sent.
func (c Credential) check() (as string, err error) {
	switch {
	case c.RegistryToken != "":
		if !secret(c.RegistryToken) {
			return "", errors.New("credentials: the registry token has characters that no token has")
		}
		return "with the configured token", nil
	case c.IdentityToken != "":
		return "with the configured identity token", nil
	case c.Username == "":
		return "without credentials, of which the configured store has none for this host", nil
	case strings.Contains(c.Username, ":"):
		return "", errors.New("credentials: a user name cannot contain a colon")
	}
	return fmt.Sprintf("as user %.80q", c.Username), nil
}

// StaticCredentials returns Credentials of one user, whose password is what passwordFile holds each time it is asked for,
// without one trailing line end. At most 64 KiB.
func StaticCredentials(username, passwordFile string) Credentials {
	return func(context.Context) (Credential, error) {
		f, err := os.Open(passwordFile)
		if err != nil {
			return Credential{}, fmt.Errorf("password file: %w", err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxPasswordFile+1))
		if err != nil {
			return Credential{}, fmt.Errorf("password file: %w", err)
		}
		if len(data) > maxPasswordFile {
			return Credential{}, fmt.Errorf("password file %s: more than %d bytes", passwordFile, maxPasswordFile)
		}
		password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
		if password == "" {
			return Credential{}, fmt.Errorf("password file %s: empty", passwordFile)
		}
		return Credential{Username: username, Password: password}, nil
	}
}

// DockerCredentials returns Credentials that look host up in a Docker configuration file each time they are asked for: in
// the credential helper that it names, or in the file itself. For docker.io that is the entry that "docker login" writes.
// What a helper writes to standard error goes to ours. A lookup that does not end within its context is left behind; with
// four of those no more are begun.
func DockerCredentials(configFile, host string) Credentials {
	slots := make(chan struct{}, maxLookups)
	return func(ctx context.Context) (Credential, error) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return Credential{}, fmt.Errorf("docker credentials of %s: earlier look-ups hang: %w", host, ctx.Err())
		}
		type result struct {
			cred Credential
			err  error
		}
		done := make(chan result, 1)
		go func() {
			defer func() { <-slots }()
			cred, err := lookUp(ctx, configFile, host)
			done <- result{cred, err}
		}()
		select {
		case r := <-done:
			return r.cred, r.err
		case <-ctx.Done():
			return Credential{}, fmt.Errorf("docker credentials of %s: the credential helper does not answer: %w", host, ctx.Err())
		}
	}
}

// lookUp reads what the Docker configuration file knows of host. A helper is killed when ctx ends, but what the helper
// started may keep this waiting.
func lookUp(ctx context.Context, configFile, host string) (Credential, error) {
	if _, err := os.Stat(configFile); err != nil {
		return Credential{}, fmt.Errorf("docker credentials of %s: %w", host, err)
	}
	store, err := credentials.NewStore(configFile, credentials.StoreOptions{})
	if err != nil {
		return Credential{}, fmt.Errorf("docker credentials of %s: %w", host, err)
	}
	found, err := store.Get(ctx, credentials.ServerAddressFromRegistry(host))
	if err != nil && !fromHelper(err) {
		return Credential{}, fmt.Errorf("docker credentials of %s: the entry in %s cannot be read", host, configFile)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("docker credentials of %s: credential helper: %.200q", host, err)
	}
	return Credential{
		Username: found.Username, Password: found.Password,
		IdentityToken: found.RefreshToken, RegistryToken: found.AccessToken,
	}, nil
}

// fromHelper tells whether err is about a credential helper, or its own words. The other errors of a look-up are about
// the file and may quote the secret that could not be decoded, so they must not be passed on.
func fromHelper(err error) bool {
	var missing *exec.Error
	var failed *exec.ExitError
	return errors.As(err, &missing) || errors.As(err, &failed) || errors.Unwrap(err) == nil
}
