// Package config reads and checks what an operator may say.
//
// Load takes one YAML file and returns a Config that is complete and consistent, or Problems: everything that is wrong
// with the file at once, each with its line and column. What a Config holds has been checked, so nobody downstream
// checks it again; only what the named files contain is left to whoever opens them.
//
// Nothing that is written is passed over. A key that means nothing where it stands, such as an end in a rule that never
// ends, is a problem: whoever wrote it expects something of it.
//
// The package decides nothing, opens no network connection and writes no log.
package config

import (
	"net/url"
	"time"
)

// A Config is everything that an operator may say. Every name in it is in its full form (see trust/names), every file
// path is absolute or relative to the folder that the process works in, and every default is filled in. It is only
// read after Parse or Load has returned it.
//
// Whoever can write the config file decides which images run behind the gateway. The field comments say what each
// field alone is worth to such a person.
type Config struct {
	// Listen is the host:port of the registry API. Default ":5000", all interfaces; port 0 takes a free one. An
	// attacker who controls it makes the gateway unreachable, or reachable from where it should not be.
	Listen string `yaml:"listen"`

	// Hosts are the gateway's own names as clients write them, host or host:port in lower case, each once. Default
	// none: loopback and IP addresses are always its own. An attacker who controls it has requests under one more name
	// answered, by the same rules.
	Hosts []string `yaml:"hosts"`

	// TLS holds the certificate of the registry API. Default nil: plain HTTP. An attacker who removes it reads and
	// changes what the gateway answers on the way to the client.
	TLS *TLS `yaml:"tls"`

	// Admin is the second listener, for operators. It has defaults and may be left out. An attacker who controls it
	// shows metrics to whom they are not meant for.
	Admin Admin `yaml:"admin"`

	// State is the folder of verified trust data and version floors. Default "/var/lib/tagwarden"; it is made when it
	// does not exist. An attacker who points it to an empty folder makes trust on first use begin anew; pins still hold.
	State string `yaml:"state"`

	// Cache is the store of image content. It has defaults and may be left out. An attacker who controls it fills a disk
	// or slows pulls; content is checked against its digest wherever it lies.
	Cache Cache `yaml:"cache"`

	// TrustMemory is how many bytes of verified trust data are held in memory, least recently used first out. Default
	// 256MiB, at least 1MiB. An attacker who controls it makes decisions slow or the process large.
	TrustMemory int64 `yaml:"trust_memory"`

	// Audit is the record of decisions. It has defaults and may be left out. An attacker who controls it hides what
	// was decided, not what is decided.
	Audit AuditLog `yaml:"audit"`

	// EgressProxy is the http or https address of a proxy for all requests to registries and sources, without user and
	// path. Default nil: direct. Redirects are then checked by host name only. An attacker who controls it sees which hosts are
	// asked and can cut them off, and reads and changes whatever goes over plain http.
	EgressProxy *url.URL `yaml:"egress_proxy"`

	// Registries are the entries for registries, by the full form of their names. Default none: a registry that a
	// rule's match names needs no entry; KnownRegistries has both. An attacker who controls it makes the gateway dial
	// hosts of his choice for digests, and for the tags of audit and allow rules; all other tags still need a signature.
	Registries map[string]Registry `yaml:"registries"`

	// DefaultRegistry is the full name of the registry for requests that name none. Default "", such requests are
	// refused; otherwise it is one of KnownRegistries. An attacker who controls it decides whose image a short name
	// means, among registries that have entries or rules.
	DefaultRegistry string `yaml:"default_registry"`

	// Sources say what tags mean, by name: a lower-case letter or digit, then up to 62 of those and . _ -. Default none;
	// enforce and audit rules need one. An attacker who controls it decides what is signed.
	Sources map[string]Source `yaml:"sources"`

	// Rules decide by image name, the most specific match first whatever the order here. At least one is required. An
	// attacker who controls it chooses which source speaks for an image, or that none has to.
	Rules []Rule `yaml:"rules"`
}

// TLS names the certificate of the registry API. Both files are required.
type TLS struct {
	// Cert is the path of the certificate chain in PEM, leaf first. Required, must exist. An attacker who controls it
	// makes clients fail, or trust him if they trust that certificate.
	Cert string `yaml:"cert"`

	// Key is the path of the private key in PEM. Required, must exist. An attacker who reads it is the gateway to
	// every client.
	Key string `yaml:"key"`
}

// Admin says where health, metrics and the status page are served.
type Admin struct {
	// Listen is a host:port other than Config.Listen. Default "127.0.0.1:5001"; port 0 takes a free one. An attacker
	// who controls it exposes metrics and status, which name rules and sources but no image.
	Listen string `yaml:"listen"`
}

// Cache says where image content is kept and how much of it.
type Cache struct {
	// Dir is the folder of cached content, not the same as Config.State. Default "/var/cache/tagwarden"; it is made
	// when it does not exist. An attacker who controls it can only lose content, not change it unnoticed.
	Dir string `yaml:"dir"`

	// Size is how many bytes of content are kept, least recently used first out. Default 100GiB, at least 1MiB. An
	// attacker who controls it fills the disk, or makes every pull go upstream.
	Size int64 `yaml:"size"`

	// Platforms are those for which rules with Prefetch fetch images ahead, "linux/amd64" or "linux/arm64/v8", each once:
	// of an index nothing else is fetched then. One without a variant stands for all of them. Default none: everything
	// that an index lists; only where some rule has Prefetch. An attacker who controls it has content fetched that nobody
	// needs, or lets the registry take away content before it is fetched.
	Platforms []string `yaml:"platforms"`
}

// AuditLog says where decisions are recorded.
type AuditLog struct {
	// File is the path of the audit log, one JSON line per decision. Default "": standard output; it is made when it
	// does not exist. An attacker who controls it decides who can read the decisions.
	File string `yaml:"file"`

	// OnFull says what happens when lines come faster than they can be written. Default Drop. An attacker who sets Drop
	// can act while lines are lost; one who sets Refuse can stop all pulls by filling the disk.
	OnFull OnFull `yaml:"on_full"`
}

// OnFull is what a full audit log does to requests.
type OnFull string

// The two answers to a full audit log.
const (
	Drop   OnFull = "drop"   // lines are dropped and counted, requests are served
	Refuse OnFull = "refuse" // requests are refused until lines can be written
)

// Mode is what a rule does with the tags it governs. The zero Mode means none of them and is never in a parsed Config.
type Mode string

// The modes of a rule.
const (
	Enforce Mode = "enforce" // signed tags are served, all others refused
	Audit   Mode = "audit"   // what the registry has is served; what Enforce would have done is recorded
	Allow   Mode = "allow"   // what the registry has is served, unsigned on purpose
	Deny    Mode = "deny"    // everything is refused, digests included
)

// defaults returns a Config as an empty file would mean it, before anything is checked.
func defaults() *Config {
	return &Config{
		Listen:      ":5000",
		Admin:       Admin{Listen: "127.0.0.1:5001"},
		State:       "/var/lib/tagwarden",
		Cache:       Cache{Dir: "/var/cache/tagwarden", Size: 100 << 30},
		TrustMemory: 256 << 20,
		Audit:       AuditLog{OnFull: Drop},
		Registries:  make(map[string]Registry),
		Sources:     make(map[string]Source),
	}
}

// defaultSource returns a Source as one that says nothing.
func defaultSource() Source {
	return Source{Refresh: time.Minute, MaxStale: 72 * time.Hour}
}
