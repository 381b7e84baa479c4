package config

import (
	"net/url"

	"github.com/tagwarden/tagwarden/trust/names"
)

// A Registry says how a registry is reached.
type Registry struct {
	// URL is the http or https address without user, path and query. Default https and the registry's name, for docker.io
	// "https://registry-1.docker.io"; never nil. An attacker who controls it serves other content for digests, which
	// is found out, learns what is pulled, and says what the tags of audit and allow rules mean.
	URL *url.URL `yaml:"url"`

	// Path is a first path component under which the registry is also reached: lower-case letters, digits and _ -,
	// unique. Default "": only by its name. An attacker who controls it makes a short name mean another image.
	Path string `yaml:"path"`

	// CA is the path of certificates in PEM that the registry's may be signed by. Default "": those of the system;
	// otherwise it must exist. An attacker who controls it can stand in for the registry, see URL.
	CA string `yaml:"ca"`

	// Credentials are shown to the registry and its token realms. Default nil: anonymous. An attacker who controls it
	// pulls with other rights, into a cache that serves everybody.
	Credentials *Credentials `yaml:"credentials"`

	// TokenRealms are hosts, beyond the registry's own and the built-in ones, that may ask for its credentials: host
	// (any port) or host:port, in lower case. Default none. An attacker who controls it, and the registry's answers, receives
	// the credentials.
	TokenRealms []string `yaml:"token_realms"`

	// RedirectHosts are non-public hosts that blobs may redirect to: host (any port) or host:port, in lower case.
	// Default none. An attacker who controls it, and the registry's answers, has the gateway ask internal hosts.
	RedirectHosts []string `yaml:"redirect_hosts"`
}

// Credentials are a user name and a password file, or a Docker config file. Secrets themselves never stand in the
// config.
type Credentials struct {
	// Username is up to 255 printable characters without a colon. Default "", required beside PasswordFile. An
	// attacker who controls it makes the server refuse the gateway.
	Username string `yaml:"username"`

	// PasswordFile is the path of a file that holds the password and nothing else. Default ""; otherwise it must
	// exist. It is not read here, so a changed password needs no new config. An attacker who controls it has another
	// file sent to the server.
	PasswordFile string `yaml:"password_file"`

	// DockerConfig is the path of a Docker config.json, whose credential helpers are run. Default ""; otherwise it must
	// exist, and the other two are empty. An attacker who controls it has the gateway run a helper of his choice from
	// those on its PATH.
	DockerConfig string `yaml:"docker_config"`
}

// KnownRegistries returns every registry that may be asked, by its full name: those with an entry and those that a
// rule's match names. A well-known registry that neither names is not among them.
func (c *Config) KnownRegistries() map[string]Registry {
	known := make(map[string]Registry, len(c.Registries)+len(c.Rules))
	for name, g := range c.Registries {
		known[name] = g
	}
	for _, u := range c.Rules {
		host := u.Match.Host()
		if _, ok := known[host]; !ok && host != "" {
			known[host] = Registry{URL: defaultURL(host)}
		}
	}
	return known
}

// defaultURL returns where the registry with this full name is reached when nothing else is said.
func defaultURL(name string) *url.URL {
	if name == names.DockerHub {
		name = "registry-1.docker.io"
	}
	return &url.URL{Scheme: "https", Host: name}
}
