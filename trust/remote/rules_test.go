package remote

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
)

// endless is a Doer whose answers have no end, whatever they claim. It counts what is read of them.
type endless struct{ read int }

// Do implements Doer.
func (e *endless) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 5, Body: io.NopCloser(e)}, nil
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// PRODUCT: invariant 9, no more is read than tells that it is too much.
func TestEndlessFile(t *testing.T) {
	e := &endless{}
	h := HTTP{Base: &url.URL{Scheme: "https", Host: "notary.example"}, Client: e}
	if _, err := h.Fetch(t.Context(), "root.json", 1000); trust.ReasonOf(err) != trust.MetadataInvalid || err == nil || e.read > 1001 {
		t.Errorf("%v, %d bytes were read", err, e.read)
	}
}
