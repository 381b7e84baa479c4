package upstreamtest

import (
	"archive/tar"
	"bytes"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image that was pushed.
type Image struct {
	Digest        digest.Digest // of the manifest, or of the index
	MediaType     string
	Manifest      []byte // the manifest, or the index
	Config, Layer digest.Digest
	// Platforms are the images of an index; Config and Layer are empty then.
	Platforms []Image
}

// PushImage stores an image for linux/amd64 whose one layer holds text as the file /hello.txt. Equal arguments make equal
// bytes.
func (r *Registry) PushImage(repository, tag, text string) Image {
	return r.pushImage(repository, tag, text, v1.Platform{OS: "linux", Architecture: "amd64"})
}

// PushIndex stores an index of two such images, for linux/amd64 and linux/arm64.
func (r *Registry) PushIndex(repository, tag, text string) Image {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	image := Image{MediaType: v1.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		p := v1.Platform{OS: "linux", Architecture: arch}
		m := r.pushImage(repository, "", text, p)
		image.Platforms = append(image.Platforms, m)
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Manifest)), Platform: &p,
		})
	}
	image.Manifest = encode(index)
	image.Digest = r.PushManifest(repository, tag, image.MediaType, image.Manifest)
	return image
}

// pushImage stores an image for one platform.
func (r *Registry) pushImage(repository, tag, text string, p v1.Platform) Image {
	layer := layer(text)
	config := encode(v1.Image{Platform: p, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}}})
	image := Image{
		MediaType: v1.MediaTypeImageManifest,
		Config:    r.PushBlob(repository, config),
		Layer:     r.PushBlob(repository, layer),
	}
	image.Manifest = encode(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: image.MediaType,
		Config:    v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: image.Config, Size: int64(len(config))},
		Layers:    []v1.Descriptor{{MediaType: v1.MediaTypeImageLayer, Digest: image.Layer, Size: int64(len(layer))}},
	})
	image.Digest = r.PushManifest(repository, tag, image.MediaType, image.Manifest)
	return image
}

// layer returns a tar archive with text as the file hello.txt, without compression and without a time.
func layer(text string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(text)), Format: tar.FormatUSTAR}); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
