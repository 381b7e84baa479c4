package proxy

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// A reel is content without end, that may fail.
type reel struct {
	err  error
	read int
}

// Read implements io.Reader.
func (r *reel) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	clear(b)
	r.read += len(b)
	return len(b), nil
}

// Seek implements io.Seeker.
func (r *reel) Seek(int64, int) (int64, error) { return 0, nil }

// Close implements io.Closer.
func (r *reel) Close() error { return nil }

// PRODUCT: section 8. Of a large manifest no more is read than one may have, when there is room for it, which is not waited
// for without end; and one that cannot be read names nothing.
func TestLinksOfLargeManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Handler{large: semaphore.NewWeighted(maxLarge)}
		endless := &reel{}
		if all, err := h.linksOf(t.Context(), manifest{content: endless}); err == nil || endless.read > 2*maxManifest {
			t.Errorf("%d links, %v, of %d bytes", len(all), err, endless.read)
		}
		if _, err := h.linksOf(t.Context(), manifest{content: &reel{err: fs.ErrPermission}}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("content that cannot be read: %v", err)
		}
		if !h.large.TryAcquire(maxLarge) {
			t.Fatal("the room was not given back")
		}
		began := time.Now()
		if _, err := h.linksOf(t.Context(), manifest{content: endless}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != roomTime {
			t.Errorf("without room: %v, after %s", err, time.Since(began))
		}
		h.large.Release(maxLarge)
	})
}

// OCI: image-spec, non-distributable layers.
func TestElsewhere(t *testing.T) {
	for mediaType, want := range map[string]bool{
		"application/vnd.oci.image.layer.nondistributable.v1.tar":   true,
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": true,
		"application/vnd.oci.image.layer.v1.tar":                    false,
		"":                                                          false,
	} {
		if elsewhere(mediaType) != want {
			t.Errorf("%q: %v", mediaType, !want)
		}
	}
}
