package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	// registryTime is how long a registry may take to say all about one image.
	registryTime = time.Minute
	// maxImageConfig is the most bytes that are read of the configuration of an image.
	maxImageConfig = 4 << 20
	// maxPlatforms is how many platforms are named.
	maxPlatforms = 32
)

// imageName reads IMAGE[:TAG] as a shell or a Pod has it, the gateway's prefix included, into full form. Without a tag
// the tag is empty; a digest is refused. A registry that the configuration does not know is taken as it is named: what is
// signed today may get its rule tomorrow.
func imageName(cfg *config.Config, image string) (trust.Name, error) {
	var repository string
	var named reference.Named
	var err error
	if cfg != nil {
		repository, named, err = locate(cfg, image)
	} else {
		if named, err = reference.ParseNormalizedNamed(image); err != nil {
			err = fmt.Errorf("%.200q is not an image: %w", image, err)
		}
	}
	if named == nil {
		return trust.Name{}, usageError{err}
	}
	if cfg == nil || err != nil {
		if repository, err = names.Repository(named.Name()); err != nil {
			return trust.Name{}, usageError{err}
		}
	}
	n := trust.Name{Repository: repository}
	if _, ok := named.(reference.Digested); ok {
		return n, usageError{fmt.Errorf("%.200q names a digest: what is signed is a tag; name the digest with --digest", image)}
	}
	if tagged, ok := named.(reference.Tagged); ok {
		n.Tag = tagged.Tag()
	}
	return n, nil
}

// registriesFor returns what asks the registry of an image: as configured, or, where the configuration does not know it,
// under its own name.
func registriesFor(cfg *config.Config, repository string) (upstream.Registries, error) {
	known := &config.Config{}
	if cfg != nil {
		known = cfg
	}
	host, _ := names.Split(repository)
	if _, ok := known.KnownRegistries()[host]; !ok {
		m, err := names.ParseMatch(repository)
		if err != nil {
			return upstream.Registries{}, err
		}
		known = &config.Config{Rules: []config.Rule{{Match: m}}, EgressProxy: known.EgressProxy}
	}
	return newRegistries(known, nil)
}

// An upstreamImage is what a registry has of an image.
type upstreamImage struct {
	target    trust.Target
	platforms []string
}

// look asks a registry for the content of a tag, or for a digest; the bytes have the digest, or it is an error.
func look(ctx context.Context, r upstream.Registries, n trust.Name, d digest.Digest) (upstreamImage, error) {
	ctx, cancel := context.WithTimeout(ctx, registryTime)
	defer cancel()
	var err error
	if d == "" {
		if d, err = r.Resolve(ctx, n.Repository, n.Tag); err != nil {
			return upstreamImage{}, fmt.Errorf("%s: %w", n, err)
		}
	}
	// TUF: section 3.4, an entry has the sha256 of the manifest.
	if d.Algorithm() != digest.SHA256 {
		return upstreamImage{}, fmt.Errorf("%s: digest %s is not of sha256, which is what is signed", n, d)
	}
	body, _, err := r.Manifest(ctx, n.Repository, d)
	if err != nil {
		return upstreamImage{}, fmt.Errorf("%s@%s: %w", n, d, err)
	}
	if got := digest.FromBytes(body); got != d {
		return upstreamImage{}, fmt.Errorf("%s: its registry sent %s for %s", n, got, d)
	}
	m, err := readManifest(body)
	if err != nil {
		return upstreamImage{}, fmt.Errorf("%s@%s: %w", n, d, err)
	}
	image := upstreamImage{target: trust.Target{Digest: d, Size: int64(len(body)), MediaType: m.mediaType()}}
	image.platforms = m.platforms(ctx, r, n.Repository)
	return image, nil
}

// An imageManifest is what matters of a manifest to who signs it.
type imageManifest struct {
	MediaType string          `json:"mediaType"`
	Manifests []v1.Descriptor `json:"manifests"`
	Config    *v1.Descriptor  `json:"config"`
	Layers    json.RawMessage `json:"layers"`
	FSLayers  json.RawMessage `json:"fsLayers"`
}

// The media types of Docker's manifests; those of schema 1 begin with the last.
const (
	dockerIndex   = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerImage   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerSchema1 = "application/vnd.docker.distribution.manifest.v1+"
)

// readManifest reads a manifest, and refuses what the gateway would never serve.
func readManifest(body []byte) (imageManifest, error) {
	var m imageManifest
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("the manifest is not one: %w", err)
	}
	index, image := m.Manifests != nil, m.Config != nil || m.Layers != nil
	saysIndex := m.MediaType == v1.MediaTypeImageIndex || m.MediaType == dockerIndex
	saysImage := m.MediaType == v1.MediaTypeImageManifest || m.MediaType == dockerImage
	switch {
	// PRODUCT: section 8, schema 1 manifests.
	case m.FSLayers != nil || strings.HasPrefix(m.MediaType, dockerSchema1):
		return m, errors.New("the manifest is of schema 1, whose digest does not cover all of it: push it again with a current client")
	// CVE-2021-41190: a document that is an index to one client and an image to another.
	case index && image:
		return m, errors.New("the manifest is an index and an image at once")
	case index && saysImage || image && saysIndex:
		return m, fmt.Errorf("the manifest is not what its mediaType %q says", m.MediaType)
	case m.MediaType == "" && !index && m.Layers == nil:
		return m, errors.New("the manifest is neither an index nor an image")
	}
	return m, nil
}

// mediaType returns the type under which the gateway serves the manifest: what its bytes say, or what follows from them.
func (m imageManifest) mediaType() string {
	switch {
	case m.MediaType != "":
		return m.MediaType
	case m.Manifests != nil:
		return v1.MediaTypeImageIndex
	}
	return v1.MediaTypeImageManifest
}

// platforms returns for which platforms the image is, as far as it says.
func (m imageManifest) platforms(ctx context.Context, r upstream.Registries, repository string) []string {
	if m.Manifests == nil {
		if m.Config == nil {
			return nil
		}
		return configPlatform(ctx, r, repository, *m.Config)
	}
	var all []string
	for _, d := range m.Manifests {
		// Attestations lie in an index as images for no platform.
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		if len(all) == maxPlatforms {
			return append(all, "...")
		}
		all = append(all, platform(*d.Platform))
	}
	return all
}

// configPlatform returns the platform that the configuration of an image says. It is shown to a person, and not signed: a
// registry that does not answer is no reason to fail.
func configPlatform(ctx context.Context, r upstream.Registries, repository string, d v1.Descriptor) []string {
	if d.Size <= 0 || d.Size > maxImageConfig {
		return nil
	}
	body, _, err := r.Blob(ctx, repository, d.Digest, 0)
	if err != nil {
		return nil
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxImageConfig))
	var p v1.Platform
	if err != nil || digest.FromBytes(data) != d.Digest || json.Unmarshal(data, &p) != nil || p.OS == "" {
		return nil
	}
	return []string{platform(p)}
}

func platform(p v1.Platform) string {
	parts := []string{p.OS, p.Architecture}
	if p.Variant != "" {
		parts = append(parts, p.Variant)
	}
	return safe(strings.Join(parts, "/"))
}
