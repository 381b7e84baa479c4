package config

import (
	"net/url"
	"time"

	"github.com/tagwarden/tagwarden/trust/names"
)

// A Source is a server of trust data. The address and at least one pin are required.
type Source struct {
	// Notary is the http or https address of a Notary v1 server, without user, query and trailing slash; a path is
	// allowed. Required. An attacker who controls it can withhold trust data within MaxStale, but not forge it; under a
	// pin with TOFU he can forge it for names not seen before.
	Notary *url.URL `yaml:"notary"`

	// GUN makes the name of a trust data collection from a full image name: it holds "{name}" exactly once. Default
	// "{name}". An attacker who controls it lets the signer of one collection speak for another image.
	GUN string `yaml:"gun"`

	// Pins say which root key may speak for which names, in the order of the file, each match once. At least one is
	// required; the most specific match governs, and a name that none selects is refused. An attacker who controls it
	// decides what is signed.
	Pins []Pin `yaml:"pins"`

	// CA is the path of certificates in PEM that the server's may be signed by. Default "": those of the system;
	// otherwise it must exist. An attacker who controls it can stand in for the server, see Notary.
	CA string `yaml:"ca"`

	// Credentials are shown to the server and its token realms. Default nil: anonymous. An attacker who controls it
	// makes the server refuse the gateway.
	Credentials *Credentials `yaml:"credentials"`

	// TokenRealms are hosts, beyond the server's own, that may ask for its credentials: host (any port) or host:port,
	// in lower case. Default none. An attacker who controls it, and the server's answers, receives the credentials.
	TokenRealms []string `yaml:"token_realms"`

	// RedirectHosts are non-public hosts that the server may redirect to: host (any port) or host:port, in lower case.
	// Default none. An attacker who controls it, and the server's answers, has the gateway ask internal hosts.
	RedirectHosts []string `yaml:"redirect_hosts"`

	// Refresh is how old the last successful check may be before an answer waits for a new one. Default 1m, from
	// 500ms to 24h. An attacker who controls it delays revocations, or loads the server.
	Refresh time.Duration `yaml:"refresh"`

	// MaxStale is how long verified data serves while the source cannot be reached, and never beyond its own expiry.
	// Default 72h, from Refresh to 90d. An attacker who controls it, and cuts the source off, freezes tags that long.
	MaxStale time.Duration `yaml:"max_stale"`

	// Grace is how long verified data serves beyond its expiry. Default 0, up to 30d. An attacker who controls it
	// keeps revoked tags alive that much longer.
	Grace time.Duration `yaml:"grace"`
}

// A Pin says which root may speak for the names that its match selects. Exactly one of Keys, CA and TOFU is set.
type Pin struct {
	// Match is the key of the entry under pins. Required. An attacker who controls it widens what a root speaks for.
	Match names.Match `yaml:"-"`

	// Keys are root key ids, of the certificate or of the bare public key: 64 lower-case hexadecimal digits each.
	// Default none; at least one where the word stands. An attacker who adds his own signs whatever Match selects.
	Keys []string `yaml:"keys"`

	// CA is the path of certificates in PEM that the root's certificate must chain to. Default ""; otherwise it must
	// exist. An attacker who controls it signs whatever Match selects.
	CA string `yaml:"ca"`

	// TOFU trusts the first root that is seen for a name, from then on. Default false. An attacker who sets it needs
	// to control only the first answer of the server for each name.
	TOFU bool `yaml:"tofu"`
}

// A Rule says what happens to the tags of the images that its match selects.
type Rule struct {
	// Match selects full image names; no two rules have the same. Required. An attacker who controls it moves images
	// from a rule to a less strict one.
	Match names.Match `yaml:"match"`

	// Name is the label of the rule in metrics and audit lines: up to 255 printable ASCII characters without spaces,
	// quotes and backslashes, unique. Default the full form of Match. An attacker who controls it misleads the reader
	// of metrics.
	Name string `yaml:"name"`

	// Mode is Enforce or Deny. Default Enforce. An attacker who controls it has denied images served if they are
	// signed.
	Mode Mode `yaml:"mode"`

	// Source is the name of the source that speaks for the images. Default the only source there is; required where
	// there are several, and empty in a Deny rule. An attacker who controls it chooses who signs.
	Source string `yaml:"source"`
}
