package config

import (
	"net/url"
	"strings"
	"time"

	"github.com/tagwarden/tagwarden/trust/names"
)

// A Source is where trust data comes from: a Notary v1 server, or a TUF 1.0 repository on a server or in a folder. Exactly
// one of Notary, TUF and Dir is set. Notary comes with GUN and Pins, the other two with Root and Target.
type Source struct {
	// Notary is the http or https address of a Notary v1 server, without user, query and trailing slash; a path is
	// allowed. Default nil: TUF or Dir. An attacker who controls it can withhold trust data within MaxStale, but not
	// forge it; under a pin with TOFU he can forge it for names not seen before.
	Notary *url.URL `yaml:"notary"`

	// GUN makes the name of a trust data collection from a full image name: it holds "{name}" exactly once. Default
	// "{name}", and "" for a TUF source. An attacker who controls it lets the signer of one collection speak for another
	// image.
	GUN string `yaml:"gun"`

	// Pins say which root key may speak for which names, in the order of the file, each match once. At least one is
	// required for a Notary source, and none allowed for TUF; the most specific match governs, and a name that none
	// selects is refused. An attacker who controls it decides what is signed.
	Pins []Pin `yaml:"pins"`

	// TUF is the http or https address of the metadata of a TUF 1.0 repository, without user, query and trailing slash; a
	// path is allowed, and may hold "{name}" once: each image then has a repository of its own where its full name stands
	// for that word. Default nil: Dir or Notary. An attacker who controls it can withhold trust data within MaxStale, but
	// not forge it; under one Root for all names he can show one image's repository for another's, and gains nothing by it
	// as Target then holds the name.
	TUF *url.URL `yaml:"tuf"`

	// Dir is the folder of the metadata, where tuf is no address; it may hold "{name}" once, like TUF. Default "": TUF or
	// Notary. It need not exist: one that is missing is an outage of the source. An attacker who controls it gains what
	// he would by TUF.
	Dir string `yaml:"-"`

	// Root is the path of the root metadata that the first look at a repository begins with. Required for TUF, and must
	// exist, except where it holds "{name}", once: then it is one file for each image, looked for when the image is asked
	// for. That is only where TUF or Dir hold the word too, and required where Target does not. An attacker who controls
	// it, and the server's answers, decides what is signed.
	Root string `yaml:"root"`

	// Target makes the target path of a tag: it holds "{tag}" exactly once, and before it "{name}" at most once, which the
	// full image name takes the place of. Default "{name}:{tag}", and "" for a Notary source. Without the word "{name}",
	// the source speaks for one image only, or has a repository and a Root for each. An attacker who controls it has a
	// signature for other content of the repository speak for a tag.
	Target string `yaml:"target"`

	// Publish makes the gateway the publisher of the repository in Dir. Default nil: somebody else is; only for a Dir
	// without "{name}". An attacker who sets it, and can read the online keys, keeps the repository's data fresh, and
	// takes in what the signers' keys signed; he signs no tag.
	Publish *Publish `yaml:"publish"`

	// CA is the path of certificates in PEM that the server's may be signed by; like the next three, not for a Dir.
	// Default "": those of the system; otherwise it must exist. An attacker who controls it can stand in for the server,
	// see Notary and TUF.
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

// PerName tells whether each image has a repository of its own, at the place that its full name makes of TUF or Dir. It is
// false for a Notary source, whose collections are per image always.
func (s Source) PerName() bool {
	return strings.Contains(s.Dir, nameWord) || s.TUF != nil && strings.Contains(s.TUF.Path, nameWord)
}

// Publish says how the gateway publishes a repository: it keeps the online keys, those of timestamp and snapshot.
type Publish struct {
	// PassphraseFile is the path of a file that holds the passphrase of the online keys and nothing else. Required, must
	// exist. An attacker who reads it, and the key files, can show old data as fresh until it expires by itself.
	PassphraseFile string `yaml:"passphrase_file"`
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

	// Prefetch has the content of tags in use fetched and kept as soon as trust data gives them a new digest, before
	// anybody asks and before the registry may lose it; only for Enforce. Default false. An attacker who controls it
	// has the registry asked for more, or makes tags depend on what it still has when they are asked for.
	Prefetch bool `yaml:"prefetch"`
}

// Signers are some of whom must have signed the same content for a tag. The file says {all: NAMES}, {any: NAMES} or
// {threshold: N, of: NAMES}; all three come out as how many of whom.
type Signers struct {
	// Of are the signers' names as the source's format has them, for Notary v1 "release" for the role targets/release, for
	// TUF the name of the role: lower-case letters, digits and _ - /, up to 128, beginning with a letter or digit; in the
	// order of the file, each once. Required, 1 to 64 of them. An attacker who adds a name needs that signer's key to
	// gain by it.
	Of []string `yaml:"all|any|of"`

	// Threshold is how many of them are enough, from 1 to all. Required beside the key of; all of them where the file
	// says all, and 1 where it says any. An attacker who lowers it needs fewer keys.
	Threshold int `yaml:"threshold"`
}
