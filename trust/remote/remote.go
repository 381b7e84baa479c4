// Package remote fetches metadata files, over HTTP or from a directory.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// ErrConflict is what Put returns when somebody else has published what the file was to replace.
var ErrConflict = errors.New("somebody else has published in the meantime")

// Fetch implements trust.Source. The file's name is what stands in the URL: what is escaped there is escaped in it. The
// error matches fs.ErrPermission where the server answers that it forbids the file, which is how some stores say that
// there is none.
func (h HTTP) Fetch(ctx context.Context, file string, limit int64) ([]byte, error) {
	res, where, err := h.send(ctx, http.MethodGet, file, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: %w", where, fs.ErrNotExist)
	case http.StatusForbidden:
		return nil, fmt.Errorf("%s answers 403: %w", where, fs.ErrPermission)
	default:
		return nil, fmt.Errorf("%s answers %d", where, res.StatusCode)
	}
	// PRODUCT: invariant 9, bounded whatever Content-Length says.
	return read(res.Body, where, file, limit)
}

// maxAnswer is how many bytes of an answer to Put are read.
const maxAnswer = 64 << 10

// Put publishes a file. The error matches ErrConflict when the server answers 409, and else says what the server says.
func (h HTTP) Put(ctx context.Context, file string, data []byte) error {
	res, where, err := h.send(ctx, http.MethodPut, file, data)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		return nil
	}
	// What a server adds to its status helps who reads; that it cannot be read is no further error.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	err = fmt.Errorf("%s answers %d%s", where, res.StatusCode, message(body))
	if res.StatusCode == http.StatusConflict {
		err = fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// message returns the first line of the message in an answer, quoted and cut, as registries write it or as one member.
func message(body []byte) string {
	var answer struct {
		Message string
		Errors  []struct{ Message string }
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	if len(answer.Errors) > 0 {
		answer.Message = answer.Errors[0].Message
	}
	line, _, _ := strings.Cut(answer.Message, "\n")
	if line == "" {
		return ""
	}
	return fmt.Sprintf(": %.300q", line)
}

// send sends a request about a file, and returns the answer and the URL for messages.
func (h HTTP) send(ctx context.Context, method, file string, body []byte) (*http.Response, string, error) {
	path, err := url.PathUnescape(file)
	if err != nil {
		return nil, "", fmt.Errorf("file name %.80q: %w", file, err)
	}
	u := *h.Base
	u.Path = strings.TrimSuffix(h.Base.Path, "/") + "/" + path
	u.RawPath = strings.TrimSuffix(h.Base.EscapedPath(), "/") + "/" + file
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, "", err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := h.Client.Do(req)
	return res, u.Redacted(), err
}

// read returns all of r, of at most limit bytes.
func read(r io.Reader, where, file string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if int64(len(data)) > limit {
		return nil, &trust.Refusal{Reason: trust.MetadataInvalid, Text: fmt.Sprintf("%s is larger than %d bytes", file, limit)}
	}
	return data, nil
}
