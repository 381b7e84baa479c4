package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust/names"
)

// clientTexts are what is printed for each client, and what several of them share.
//
//go:embed client/*.tmpl
var clientTexts embed.FS

// A client is a program that pulls images.
type client struct {
	name  string // of the command
	title string // as its makers write it
	text  string // the template
	certs string // the folder of the hosts.toml files it reads; "" for none
}

const containerdCerts = "/etc/containerd/certs.d"

func clientCommand(file *string) *cobra.Command {
	const which = "containerd, docker, podman or crio"
	c := &cobra.Command{
		Use:   "client",
		Short: "Print client configuration that cannot fall back to the upstream: " + which,
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("client: %q is not one of %s", args[0], which)}
			}
			return usageError{errors.New("client: which is missing: " + which)}
		},
	}
	for _, k := range []client{
		{"containerd", "containerd", "containerd.tmpl", containerdCerts},
		{"docker", "Docker", "docker.tmpl", "/etc/docker/certs.d"},
		{"podman", "podman", "containers", ""},
		{"crio", "CRI-O", "containers", ""},
	} {
		c.AddCommand(k.command(file))
	}
	return c
}

// command returns the command that prints the configuration of one client.
func (k client) command(file *string) *cobra.Command {
	var gateway string
	variant := "strict"
	c := &cobra.Command{
		Use:   k.name,
		Short: "Print the configuration of " + k.title,
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if variant != "strict" && variant != "digests" {
				return usageError{fmt.Errorf("client: --variant %.80q: strict or digests", variant)}
			}
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			p, err := newClientPage(cfg, k, gateway, variant == "digests")
			if err != nil {
				return err
			}
			return p.print(c.OutOrStdout(), k.text)
		},
	}
	c.Flags().StringVar(&gateway, "gateway", "", "`URL` of the gateway as clients reach it (default from hosts and tls of the configuration)")
	if k.certs == containerdCerts {
		c.Flags().StringVar(&variant, "variant", variant, "strict: the gateway is asked for everything; digests: the upstream may deliver content by digest")
	}
	return c
}

// A clientPage is what the text for a client is made of.
type clientPage struct {
	Client     string
	Path       string // of the file, where it is one
	Gateway    string // "https://images.corp:5000"
	Host       string // "images.corp:5000"
	TLS        bool   // the gateway speaks https
	Digests    bool   // the upstream may deliver content by digest
	Reload     bool   // the client must be told that the file has changed
	Registries []clientRegistry
	Files      []hostsFile
}

// A clientRegistry is a registry that the gateway knows.
type clientRegistry struct {
	Name     string
	Upstream string // address
	Below    string // first path component that names it at the gateway; "" for none
}

// A hostsFile is a hosts.toml, which containerd and Docker read.
type hostsFile struct {
	Path     string
	Gateway  string
	Upstream string // the address that may be asked by digest; "" for none
	CA       string // where the authority of the gateway's certificate may lie; "" for plain http
}

// newClientPage takes from the configuration what the client has to know. An error about the gateway's address is one of
// usage.
func newClientPage(cfg *config.Config, k client, gateway string, digests bool) (clientPage, error) {
	u, err := gatewayAddress(cfg, gateway)
	if err != nil {
		return clientPage{}, usageError{fmt.Errorf("client: %w", err)}
	}
	p := clientPage{
		Client: k.title, Path: "/etc/containers/registries.conf.d/zz-tagwarden.conf", Gateway: u.String(), Host: u.Host,
		TLS: u.Scheme == "https", Digests: digests, Reload: k.name == "crio", Registries: clientRegistries(cfg),
	}
	if len(p.Registries) == 0 {
		return clientPage{}, errors.New("client: the configuration names no registry: add one to registries, or a rule whose match names it")
	}
	for _, r := range p.Registries {
		if err := meansRegistry(cfg, u.Host, r); err != nil {
			return clientPage{}, usageError{fmt.Errorf("client: gateway %s: %w", u, err)}
		}
	}
	p.Files = hostsFiles(p, k.certs)
	return p, nil
}

// gatewayAddress returns the address of the gateway as clients reach it: the one that was given, or the first of its own
// names.
func gatewayAddress(cfg *config.Config, given string) (*url.URL, error) {
	if given == "" {
		if len(cfg.Hosts) == 0 {
			return nil, errors.New("the configuration has no hosts: give the gateway's address with --gateway")
		}
		given = "http://" + cfg.Hosts[0]
		if cfg.TLS != nil {
			given = "https://" + cfg.Hosts[0]
		}
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.TrimSuffix(given, "/") != u.Scheme+"://"+u.Host {
		return nil, fmt.Errorf("gateway %.80q: write https://HOST or https://HOST:PORT", given)
	}
	// Clients take a first component without dot and port for a part of a name at docker.io.
	if _, err := names.Host(u.Host); err != nil {
		return nil, fmt.Errorf("gateway %.80q: %w", given, err)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// clientRegistries returns the registries that the gateway knows, sorted by name.
func clientRegistries(cfg *config.Config) []clientRegistry {
	var all []clientRegistry
	for name, r := range cfg.KnownRegistries() {
		below := name
		// OCI: a name has no colon in its path.
		if strings.Contains(name, ":") {
			below = r.Path
		}
		all = append(all, clientRegistry{Name: name, Upstream: r.URL.String(), Below: below})
	}
	slices.SortFunc(all, func(a, b clientRegistry) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// meansRegistry checks that the gateway takes a name below its host for one of the registry, as the client will ask.
func meansRegistry(cfg *config.Config, host string, r clientRegistry) error {
	if r.Below == "" {
		return nil
	}
	const image = "/any/image"
	got, err := namesOf(cfg).Repository(host, r.Below+image)
	if err != nil {
		return err
	}
	if got != r.Name+image {
		return fmt.Errorf("a request there for %s means %s", r.Below+image, got)
	}
	return nil
}

// hostsFiles returns the hosts.toml below a folder: one for each registry, and the one for all others.
func hostsFiles(p clientPage, folder string) []hostsFile {
	if folder == "" {
		return nil
	}
	file := func(registry string) hostsFile {
		f := hostsFile{Path: folder + "/" + registry + "/hosts.toml", Gateway: p.Gateway}
		if p.TLS {
			f.CA = strings.TrimSuffix(folder, "/certs.d") + "/tagwarden-ca.crt"
		}
		return f
	}
	var all []hostsFile
	for _, r := range p.Registries {
		f := file(r.Name)
		if p.Digests {
			f.Upstream = r.Upstream
		}
		all = append(all, f)
	}
	return append(all, file("_default"))
}

// print writes the page in the words of one template.
func (p clientPage) print(w io.Writer, name string) error {
	t, err := template.New("").Funcs(template.FuncMap{"quote": quoted}).ParseFS(clientTexts, "client/*.tmpl")
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, name, p)
}

// quoted returns s as a string of TOML, in a form that is one of JSON too.
// TOML: 1.0, a basic string holds no quotation mark, backslash or control character, but by escape.
func quoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}
