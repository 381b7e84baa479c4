package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

const (
	repo    = "registry.example.com/team/app"
	aDigest = digest.Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
)

// behind returns registries of which registry.example.com is reg.
func behind(t *testing.T, reg http.Handler) (Registries, *peer) {
	t.Helper()
	p := newPeer(t, reg)
	return NewRegistries(NewRegistry("registry.example.com", newClient(t, p.URL, Options{Name: "registry.example.com"}))), p
}

// OCI: end-3
func TestManifest(t *testing.T) {
	reg := &upstreamtest.Registry{}
	image := reg.PushIndex("team/app", "1", "hello")
	r, _ := behind(t, reg)
	body, mediaType, err := r.Manifest(t.Context(), repo, image.Digest)
	if err != nil || !bytes.Equal(body, image.Manifest) || mediaType != image.MediaType {
		t.Fatalf("%s %q %v", body, mediaType, err)
	}
	q := reg.Requests()
	if len(q) != 1 || q[0].Path != "/v2/team/app/manifests/"+image.Digest.String() {
		t.Errorf("requests %v", q)
	}
	accept := q[0].Header.Get("Accept")
	for _, want := range []string{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json", "*/*",
	} {
		if !strings.Contains(accept, want) {
			t.Errorf("Accept %q lacks %s", accept, want)
		}
	}
	_, _, err = r.Manifest(t.Context(), repo, aDigest)
	wantError(t, err, NotFound, "404 not found", "MANIFEST_UNKNOWN")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("a missing manifest is not fs.ErrNotExist")
	}
}

// What is asked for is never judged here, only how it comes.
func TestManifestFaults(t *testing.T) {
	contentType := func(s string) http.Header { return http.Header{"Content-Type": {s}} }
	full := bytes.Repeat([]byte("m"), maxDocument)
	for _, tt := range []struct {
		name      string
		fault     upstreamtest.Fault
		mediaType string // empty: an error
		kind      Kind
		want      string
	}{
		{"exactly the limit", upstreamtest.Fault{Body: full, Header: contentType("a/b")}, "a/b", 0, ""},
		{"over the limit", upstreamtest.Fault{Body: append(full, 'x')}, "", Invalid, "answer of 4194305 bytes"},
		{"over the limit, unannounced", upstreamtest.Fault{Body: append(full, 'x'), Length: -1}, "", Invalid, "more than 4194304 bytes"},
		{"parameters", upstreamtest.Fault{Header: contentType(`Application/JSON; charset="utf-8"; q`)}, "application/json", 0, ""},
		{"wrong bytes", upstreamtest.Fault{CorruptLast: true, Header: contentType("a/b")}, "a/b", 0, ""},
		{"no type", upstreamtest.Fault{Header: contentType("a b c/")}, "", Invalid, "content type"},
		{"created", upstreamtest.Fault{Status: 201}, "", Invalid, "201 created, where 200 was to come"},
		{"partial", upstreamtest.Fault{Status: 206}, "", Invalid, "206 partial content"},
		{"not modified", upstreamtest.Fault{Status: 304}, "", Unreachable, "304 not modified"},
		{"bad gateway", upstreamtest.Fault{Status: 502}, "", Unreachable, "502 bad gateway"},
		{"gzip", upstreamtest.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}, "", Invalid, "content encoding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := &upstreamtest.Registry{}
			image := reg.PushImage("team/app", "1", "hello")
			reg.Fail("/v2/team/app/manifests/"+image.Digest.String(), tt.fault)
			r, _ := behind(t, reg)
			body, mediaType, err := r.Manifest(t.Context(), repo, image.Digest)
			if tt.mediaType == "" {
				wantError(t, err, tt.kind, tt.want)
				return
			}
			if err != nil || mediaType != tt.mediaType || len(body) == 0 {
				t.Errorf("%d bytes, %q, %v", len(body), mediaType, err)
			}
		})
	}
}

// Fewer bytes than announced are an error, whatever the protocol calls it.
func TestCutShort(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		reg := &upstreamtest.Registry{}
		image := reg.PushImage("team/app", "1", "hello")
		for _, path := range []string{"manifests/" + image.Digest.String(), "blobs/" + image.Layer.String()} {
			reg.Fail("/v2/team/app/"+path, upstreamtest.Fault{Truncate: 1})
		}
		p := unstarted(t, reg)
		p.EnableHTTP2 = http2
		p.StartTLS()
		kind := Invalid
		if http2 {
			kind = Unreachable // a stream that was reset looks like any failure of the network
		}
		r := NewRegistries(NewRegistry("registry.example.com", newClient(t, p.URL, Options{})))
		_, _, err := r.Manifest(t.Context(), repo, image.Digest)
		wantError(t, err, kind, "registry test: ")
		body, _, err := r.Blob(t.Context(), repo, image.Layer, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(body)
		wantError(t, err, kind, "registry test: ")
		body.Close()
	}
}

// OCI: end-2
func TestBlob(t *testing.T) {
	reg := &upstreamtest.Registry{}
	content := []byte("0123456789")
	d := reg.PushBlob("team/app", content)
	r, _ := behind(t, reg)
	for offset := range int64(10) {
		body, size, err := r.Blob(t.Context(), repo, d, offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || size != 10 || string(got) != string(content[offset:]) {
			t.Errorf("offset %d: %q of %d, %v", offset, got, size, err)
		}
	}
	if got := reg.Requests()[0].Header.Get("Range"); got != "" {
		t.Errorf("offset 0 asks for range %q", got)
	}
	_, _, err := r.Blob(t.Context(), repo, d, 10)
	wantError(t, err, Invalid, "416")
	_, _, err = r.Blob(t.Context(), repo, d, -1)
	wantError(t, err, Invalid, "negative")
	_, _, err = r.Blob(t.Context(), repo, aDigest, 0)
	wantError(t, err, NotFound, "BLOB_UNKNOWN")

	reg.Fail("/v2/team/app/blobs/"+d.String(), upstreamtest.Fault{Length: -1})
	body, size, err := r.Blob(t.Context(), repo, d, 0)
	if err != nil || size != -1 {
		t.Fatalf("size %d, %v", size, err)
	}
	body.Close()
}

// HTTP: RFC 9110 14.4, a part that is not the one asked for is not taken for it.
func TestBlobRanges(t *testing.T) {
	for header, want := range map[string]string{
		"bytes 4-9/10": "", "bytes 4-9/*": "content range", "bytes 4-8/10": "content range", "bytes 3-9/10": "content range",
		"bytes 0-9/10": "content range", "bytes 4-9/11": "content range", "bytes 04-9/10": "content range", "bytes 4-9/+10": "content range",
		"4-9/10": "content range", "items 4-9/10": "content range", "": "content range", "bytes 4-10/11": "with a body of 6 bytes",
		"bytes 4-3/4": "with a body", "bytes */10": "content range", "bytes 4-9/10, bytes 4-9/10": "content range",
		"bytes 4-9223372036854775806/9223372036854775807": "with a body",
	} {
		reg := &upstreamtest.Registry{}
		d := reg.PushBlob("team/app", []byte("0123456789"))
		reg.Fail("/v2/team/app/blobs/"+d.String(), upstreamtest.Fault{
			Status: 206, Body: []byte("456789"), Header: http.Header{"Content-Range": {header}},
		})
		r, _ := behind(t, reg)
		body, size, err := r.Blob(t.Context(), repo, d, 4)
		if want != "" {
			wantError(t, err, Invalid, want)
			continue
		}
		if err != nil || size != 10 {
			t.Fatalf("%q: %d %v", header, size, err)
		}
		body.Close()
	}
	empty := &http.Response{Header: http.Header{"Content-Range": {"bytes 4-3/4"}}}
	if _, err := rest(empty, 4); err == nil {
		t.Error("a part without a byte passes")
	}
	reg := &upstreamtest.Registry{}
	d := reg.PushBlob("team/app", []byte("0123456789"))
	reg.Fail("/v2/team/app/blobs/"+d.String(), upstreamtest.Fault{}) // honours no range
	r, _ := behind(t, reg)
	_, _, err := r.Blob(t.Context(), repo, d, 4)
	wantError(t, err, Invalid, "200 ok, where 206 was to come")
}

// The context of a caller bounds the body, too.
func TestBlobContext(t *testing.T) {
	reg := &upstreamtest.Registry{}
	d := reg.PushBlob("team/app", []byte("0123456789"))
	reg.Fail("/v2/team/app/blobs/"+d.String(), upstreamtest.Fault{Stall: make(chan struct{}), StallAfter: 5})
	r, _ := behind(t, reg)
	ctx, cancel := context.WithCancel(t.Context())
	body, _, err := r.Blob(ctx, repo, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.ReadAll(body)
	wantError(t, err, Unreachable, "canceled")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
