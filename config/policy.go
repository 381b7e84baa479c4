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

	// Mode is Enforce, Audit, Allow or Deny. Default Enforce. An attacker who controls it has unsigned and denied images
	// served.
	Mode Mode `yaml:"mode"`

	// Source is the name of the source that speaks for the images; only for Enforce and Audit. Default the only source
	// there is; required where there are several. An attacker who controls it chooses who signs.
	Source string `yaml:"source"`

	// Signers are some of whom must have signed the same content for a tag; only for Enforce and Audit. Default nil: a
	// tag means what the source's format releases. An attacker who controls it has content served that one holder of a
	// signing key signed alone.
	Signers *Signers `yaml:"signers"`

	// Until is the instant at which the rule ends, from which on it refuses all tags and lets digests pass; only for
	// Audit and Allow. In the file it is a date, "2027-03-01", from 2000-01-01 to 2999-12-31: the last day, in UTC, so
	// that Until is the first instant of the day after. It may have passed. Default zero: the rule does not end. An
	// attacker who controls it keeps an exception open, or ends one and with it the deployments that rest on it.
	Until time.Time `yaml:"until"`

	// Reason says why the rule is there: up to 200 printable characters in one line; not for Enforce. Required for
	// Allow, which serves what nobody signed and has nothing else to show for it; otherwise default "". An attacker who
	// controls it misleads the reader of the file and of what is printed about the rule.
	Reason string `yaml:"reason"`

	// TagTTL is how long the registry's own meaning of a tag may be used again before the registry is asked anew; only
	// for Audit and Allow, as under Enforce the registry has no say. Default 0: it is asked each time; up to 24h. An
	// attacker who controls it keeps a tag on content that its registry has replaced, or sends every pull upstream.
	TagTTL time.Duration `yaml:"tag_ttl"`

	// StaleIfError is how long beyond TagTTL that meaning serves while the registry cannot be reached or limits the
	// gateway; only for Audit and Allow. Default 0: an outage of the registry is one of its tags; up to 30d. An attacker
	// who controls it, and cuts the registry off, freezes tags that long.
	StaleIfError time.Duration `yaml:"stale_if_error"`
}

// Signers are some of whom must have signed the same content for a tag. The file says {all: NAMES}, {any: NAMES} or
// {threshold: N, of: NAMES}; all three come out as how many of whom.
type Signers struct {
	// Of are the signers' names as the source's format has them, for Notary v1 "release" for the role targets/release:
	// lower-case letters, digits and _ - /, up to 128, beginning with a letter or digit; in the order of the file, each
	// once. Required, 1 to 64 of them. An attacker who adds a name needs that signer's key to gain by it.
	Of []string `yaml:"all|any|of"`

	// Threshold is how many of them are enough, from 1 to all. Required beside the key of; all of them where the file
	// says all, and 1 where it says any. An attacker who lowers it needs fewer keys.
	Threshold int `yaml:"threshold"`
}
