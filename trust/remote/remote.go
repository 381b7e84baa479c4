// Package remote fetches metadata files, over HTTP or from a directory.
package remote

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/tagwarden/tagwarden/trust"
)

// A Doer sends a request as http.Client does. Guard, credentials and time limits are its business.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// HTTP is a trust.Source of files below one URL.
type HTTP struct {
	// Base is the folder: file names are added to its path as they are.
	Base *url.URL
	// Client sends the requests. Nothing is asked of it but what trust.Source promises.
	Client Doer
}

// Fetch implements trust.Source.
func (h HTTP) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	u := *h.Base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + file
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	res, err := h.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", u.Redacted(), fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s answers %d", u.Redacted(), res.StatusCode)
	}
	// PRODUCT: invariant 9, bounded whatever Content-Length says.
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	if int64(len(data)) > limit {
		return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("%s is larger than %d bytes", file, limit)}
	}
	return data, nil
}
