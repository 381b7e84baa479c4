package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"registry docker.io: 429 too many requests, retry after 30 s": {Registry: "docker.io", Status: 429, Err: errors.New("retry after 30 s")},
		"registry docker.io: 404 not found":                           {Registry: "docker.io", Status: 404, Kind: NotFound},
		"registry docker.io: not configured":                          {Registry: "docker.io", Err: errors.New("not configured")},
		"registry docker.io: 599":                                     {Registry: "docker.io", Status: 599},
		"source corp: 503 service unavailable":                        {Registry: "corp", Status: 503, what: "source"},
		"registry a?b: x??[31my?":                                     {Registry: "a\nb", Err: errors.New("x\r\x1b[31my\u2028")},
		"registry r: " + strings.Repeat("é", 494) + "...":             {Registry: "r", Err: errors.New(strings.Repeat("é", 600))},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestStatusError(t *testing.T) {
	for _, tt := range []struct {
		status int
		header string
		body   string
		kind   Kind
		want   string
	}{
		{404, "", "", NotFound, "registry test: 404 not found"},
		{404, "", "<html>", NotFound, `registry test: 404 not found, it says "<html>"`},
		{404, "", `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, NotFound, `registry test: 404 not found, it says "MANIFEST_UNKNOWN manifest unknown"`},
		{400, "", `{"errors":[{"code":"NAME_UNKNOWN"}]}`, NotFound, `registry test: 400 bad request, it says "NAME_UNKNOWN"`},
		{403, "", `{"errors":[{"code":"BLOB_UNKNOWN"}]}`, NotFound, `registry test: 403 forbidden, it says "BLOB_UNKNOWN"`},
		{403, "", `{"errors":[{"code":"DENIED"}]}`, Unreachable, `registry test: 403 forbidden, it says "DENIED"`},
		{401, "", `{"errors":[{"code":"NAME_UNKNOWN"}]}`, Unreachable, `registry test: 401 unauthorized, it says "NAME_UNKNOWN"`},
		{429, "30", `{"errors":[{"code":"NAME_UNKNOWN"}]}`, Unreachable, `registry test: 429 too many requests, retry after 30 s, it says "NAME_UNKNOWN"`},
		{500, "", `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, Unreachable, `registry test: 500 internal server error, it says "MANIFEST_UNKNOWN"`},
		{503, "-1", "", Unreachable, "registry test: 503 service unavailable"},
		{503, "1e9", "", Unreachable, "registry test: 503 service unavailable"},
		{503, "99999", "", Unreachable, "registry test: 503 service unavailable"},
		{503, "", `{"errors":[]}`, Unreachable, `registry test: 503 service unavailable, it says "{\"errors\":[]}"`},
		{503, "", strings.Repeat("a\x1b", 300), Unreachable, `registry test: 503 service unavailable, it says "` + strings.Repeat(`a\x1b`, 100) + `..."`},
	} {
		res := &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {tt.header}}, Body: io.NopCloser(strings.NewReader(tt.body))}
		err := (&Client{name: "test"}).fail(statusError(res, ""))
		wantError(t, err, tt.kind)
		if err.Error() != tt.want {
			t.Errorf("%q, want %q", err, tt.want)
		}
		var after interface{ RetryAfter() time.Duration }
		if !errors.As(err, &after) || after.RetryAfter() != map[string]time.Duration{"30": 30 * time.Second}[tt.header] {
			t.Errorf("%q: to be left alone for %s", err, after.RetryAfter())
		}
		if errors.Is(err, fs.ErrNotExist) != (tt.kind == NotFound) {
			t.Errorf("%q is not told by fs.ErrNotExist", err)
		}
	}
}

func TestFail(t *testing.T) {
	c := &Client{name: "test"}
	shared := invalid("x")
	if err := c.fail(shared); err == error(shared) || shared.Registry != "" {
		t.Error("an error that callers share was changed")
	}
	err := c.fail(context.Canceled)
	if !errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v lost its cause", err)
	}
	wantError(t, err, Unreachable)
	if !errors.Is(c.fail(invalid("x")), fs.ErrInvalid) {
		t.Error("what is invalid is not fs.ErrInvalid")
	}
	for _, chance := range []error{fs.ErrNotExist, fs.ErrInvalid, io.ErrUnexpectedEOF} {
		err := c.fail(fmt.Errorf("password file: %w", chance))
		wantError(t, err, Unreachable, chance.Error())
		if errors.Is(err, chance) {
			t.Errorf("%v is taken for what %v says of content", err, chance)
		}
	}
}
